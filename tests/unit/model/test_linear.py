import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from manymill.errors import PlanError
from manymill.model import choose_classes, probabilities

finite = st.floats(-1e4, 1e4, width=32)
scores = st.sampled_from([1, 3, 7]).flatmap(
    lambda n: st.integers(0, 9).flatmap(lambda rows: arrays(np.float32, (rows, n), elements=finite))
)


@given(scores, st.sampled_from(["log", "modified_huber"]))
@settings(deadline=None)
def test_probabilities_sum_to_one_and_agree_with_the_choice(scores, loss):
    n_classes = max(2, scores.shape[1])
    given = probabilities(scores, loss, n_classes)
    assert given.shape == (len(scores), n_classes)
    np.testing.assert_allclose(given.sum(axis=1), 1)
    chosen = given[np.arange(len(given)), choose_classes(scores)]
    assert (chosen >= given.max(axis=1) - 1e-12).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_modified_huber_gives_the_probabilities_of_scikit_learn(n_classes):
    from sklearn.linear_model import SGDClassifier

    rng = np.random.default_rng(n_classes)
    X, y = rng.normal(size=(300, 5)), rng.integers(0, n_classes, 300)
    peer = SGDClassifier(loss="modified_huber", random_state=0).fit(X, y)
    scores = peer.decision_function(4 * X).reshape(300, -1)
    np.testing.assert_allclose(probabilities(scores, "modified_huber", n_classes), peer.predict_proba(4 * X))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_log_loss_gives_the_probabilities_of_logistic_regression(n_classes):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(n_classes)
    X, y = rng.normal(size=(300, 5)), rng.integers(0, n_classes, 300)
    peer = LogisticRegression().fit(X, y)
    scores = peer.decision_function(X).reshape(300, -1)
    np.testing.assert_allclose(probabilities(scores, "log", n_classes), peer.predict_proba(X))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "squared_error"])
def test_other_losses_have_no_probabilities_and_say_so(loss):
    with pytest.raises(PlanError, match=f"{loss}.*no probabilities.*Hint"):
        probabilities(np.zeros((1, 1)), loss, 2)


def test_the_first_of_equal_scores_is_chosen():
    assert choose_classes(np.array([[1, 1, 0], [0, 2, 2.0]])).tolist() == [0, 1]
    assert choose_classes(np.array([[0.0], [-1], [1e-30]])).tolist() == [0, 0, 1]


def test_extreme_scores_give_no_warning():
    given = probabilities(np.array([[3e38], [-3e38]], np.float32), "log", 2)
    np.testing.assert_array_equal(given, [[0, 1], [1, 0]])
    assert probabilities(np.zeros((0, 3)), "log", 3).shape == (0, 3)
