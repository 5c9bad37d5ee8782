from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from manymill.errors import PlanError
from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, choose_classes, logits, probabilities


def described(loss):
    analyzer = Analyzer(**vars(word_form()), value="log", norm=None, n_features=4)
    return ModelDescription(classes=("a", "b"), loss=loss, analyzer=analyzer)


finite = st.floats(-1e4, 1e4, width=32)
scores = st.sampled_from([1, 3, 7]).flatmap(
    lambda n: st.integers(0, 9).flatmap(lambda rows: arrays(np.float32, (rows, n), elements=finite))
)


@given(scores, st.sampled_from(["softmax", "one_vs_rest", "clipped"]))
@settings(deadline=None)
def test_probabilities_sum_to_one_and_agree_with_the_choice(scores, link):
    n_classes = max(2, scores.shape[1])
    given = probabilities(scores, link)
    assert given.shape == (len(scores), n_classes)
    np.testing.assert_allclose(given.sum(axis=1), 1)
    chosen = given[np.arange(len(given)), choose_classes(scores)]
    assert (chosen >= given.max(axis=1) - 1e-12).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_clipped_probabilities_of_modified_huber_are_those_of_scikit_learn(n_classes):
    from sklearn.linear_model import SGDClassifier

    rng = np.random.default_rng(n_classes)
    X, y = rng.normal(size=(300, 5)), rng.integers(0, n_classes, 300)
    peer = SGDClassifier(loss="modified_huber", random_state=0).fit(X, y)
    scores = peer.decision_function(4 * X).reshape(300, -1)
    np.testing.assert_allclose(probabilities(scores, "clipped"), peer.predict_proba(4 * X))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_log_loss_gives_the_probabilities_of_logistic_regression(n_classes):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(n_classes)
    X, y = rng.normal(size=(300, 5)), rng.integers(0, n_classes, 300)
    peer = LogisticRegression().fit(X, y)
    scores = peer.decision_function(X).reshape(300, -1)
    np.testing.assert_allclose(probabilities(scores, "softmax"), peer.predict_proba(X))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "squared_error"])
def test_other_losses_have_no_probabilities_and_say_so(loss):
    with pytest.raises(PlanError, match=f"{loss}.*no probabilities.*Hint"):
        described(loss).probabilities(np.zeros((1, 1)))


@pytest.mark.parametrize("loss", ["log", "modified_huber"])
@pytest.mark.parametrize("link", ["softmax", "one_vs_rest", "clipped"])
def test_a_model_gives_probabilities_by_its_link_and_temperature_whatever_its_loss(loss, link):
    scores = np.array([[0.3], [-2.0]])
    model = replace(described(loss), probability=link, temperature=0.5)
    np.testing.assert_array_equal(model.probabilities(scores), probabilities(scores, link, 0.5))


def test_the_first_of_equal_scores_is_chosen():
    assert choose_classes(np.array([[1, 1, 0], [0, 2, 2.0]])).tolist() == [0, 1]
    assert choose_classes(np.array([[0.0], [-1], [1e-30]])).tolist() == [0, 0, 1]


def test_extreme_scores_give_no_warning():
    given = probabilities(np.array([[3e38], [-3e38]], np.float32), "softmax")
    np.testing.assert_array_equal(given, [[0, 1], [1, 0]])
    assert probabilities(np.zeros((0, 3)), "softmax").shape == (0, 3)


def test_one_vs_rest_probabilities_are_powers_of_smoothed_shares():
    scores = np.array([[0.9, -0.95, -1.2], [0.1, 0.0, -3.0]])
    shares = (0.1 * np.log1p(np.exp((scores + 1) / 2 / 0.1))) ** (1 / 0.4)
    expected = shares / shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(scores, "one_vs_rest", 0.4), expected, rtol=1e-12)


@given(scores)
@settings(deadline=None)
def test_one_vs_rest_of_two_classes_is_logistic(scores):
    two = scores[:, :1]
    np.testing.assert_array_equal(probabilities(two, "one_vs_rest", 0.3), probabilities(two, "softmax", 0.3))


def test_one_vs_rest_logits_grow_with_the_scores_everywhere():
    wide = np.concatenate([-np.logspace(38, -3, 200), np.linspace(-9, 2, 500), np.logspace(1, 38, 200)])
    grown = np.diff(logits(np.sort(wide)[None].repeat(2, 0), "one_vs_rest")[0])
    assert (grown > 0).all()
