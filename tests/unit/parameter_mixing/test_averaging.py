"""The weighted mean, class by class, with parts that lack classes."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.svm import SVC, LinearSVC

from manymill import ParameterMixingClassifier
from manymill.errors import PlanError, SettingsError
from manymill.parameter_mixing.averaging import add_sums, class_sums, select_classes, weighted_mean


def four_classes():
    """Three times 78 rows: of all four classes, of classes 0 to 2, of classes 1 and 2."""
    X, y = make_classification(400, 5, n_informative=5, n_redundant=0, n_classes=4, random_state=0)
    of = [np.flatnonzero(y == k) for k in range(4)]
    first = [of[0][:20], of[1][:20], of[2][:19], of[3][:19]]
    second = [of[0][20:46], of[1][20:46], of[2][20:46]]
    rows = np.concatenate([*first, *second, of[1][46:85], of[2][46:85]])
    return X[rows], y[rows], 78


def mixture(estimator, **options):
    X, y, size = four_classes()
    mixed = ParameterMixingClassifier(estimator, n_partitions=3, partitioning="contiguous", **options).fit(
        X, y
    )
    fits = [
        type(estimator)(**estimator.get_params()).fit(X[a : a + size], y[a : a + size])
        for a in (0, size, 2 * size)
    ]
    return mixed, fits


@pytest.mark.parametrize(
    ("estimator", "share"),
    [(LogisticRegression(), 0.5), (RidgeClassifier(), 1.0)],
    ids=repr,
)
def test_a_class_is_the_mean_of_the_parts_that_met_it(estimator, share):
    mixed, (first, second, third) = mixture(estimator)
    f = np.ravel(third.coef_)
    np.testing.assert_allclose(mixed.coef_[3], first.coef_[3], rtol=1e-12)
    np.testing.assert_allclose(mixed.coef_[0], (first.coef_[0] + second.coef_[0]) / 2, rtol=1e-12)
    np.testing.assert_allclose(mixed.coef_[1], (first.coef_[1] + second.coef_[1] - share * f) / 3, rtol=1e-12)
    np.testing.assert_allclose(mixed.coef_[2], (first.coef_[2] + second.coef_[2] + share * f) / 3, rtol=1e-12)


def test_a_mixture_of_parts_that_lack_classes_knows_all_and_goes_on():
    X, _, _ = four_classes()
    for estimator in (SGDClassifier(random_state=0), RidgeClassifier(), LinearSVC()):
        mixed, _ = mixture(estimator)
        assert mixed.estimator_.classes_.tolist() == [0, 1, 2, 3]
        assert mixed.estimator_.decision_function(X).shape == (len(X), 4)
        assert set(mixed.predict(X)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=50), SGDClassifier()], ids=repr)
def test_parts_that_lack_classes_start_from_what_the_mean_says_of_theirs(estimator):
    X, y, _ = four_classes()
    mixed = ParameterMixingClassifier(estimator, n_partitions=3, rounds=3, partitioning="contiguous").fit(
        X, y
    )
    assert mixed.score(X, y) > 0.4


@pytest.mark.parametrize("jointly", [True, False])
def test_two_classes_of_many_are_two_rows_that_mean_the_same(jointly):
    f = {"coef_": np.array([[1.0, -2.0]]), "intercept_": np.array([0.5])}
    votes = class_sums(f, np.array([1, 3]), 4, 2.0, jointly=jointly)
    mean = {name: array[[1, 3]] for name, array in votes.sums.items()}
    back = select_classes(
        {name: array / 2 for name, array in votes.sums.items()}, np.array([1, 3]), jointly=jointly
    )
    np.testing.assert_array_equal(mean["coef_"][0], -mean["coef_"][1])
    np.testing.assert_array_equal(back["coef_"], f["coef_"])
    np.testing.assert_array_equal(back["intercept_"], f["intercept_"])
    assert votes.weights.tolist() == [0, 2, 0, 2]


def test_adding_votes_leaves_them_as_they_are():
    arrays = {"coef_": np.ones((1, 2)), "intercept_": np.ones(1)}
    votes = [class_sums(arrays, np.arange(2), 2, weight, jointly=False) for weight in (1.0, 3.0)]
    total = add_sums(votes)
    assert weighted_mean(total)["coef_"].tolist() == [[1, 1]]
    assert votes[0].weights.tolist() == [1]
    assert votes[0].sums["coef_"].tolist() == [[1, 1]]


def test_sorted_rows_in_contiguous_parts_are_refused_with_a_way_out():
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.repeat([0, 1], 20)
    with pytest.raises(PlanError, match=r"single class.*shuffled"):
        ParameterMixingClassifier(n_partitions=4, partitioning="contiguous").fit(X, y)


def test_a_class_that_only_parts_of_one_class_have_is_named():
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.repeat(["a", "b", "c"], 20)
    y[:20] = np.tile(["a", "b"], 10)
    y[20:40] = np.tile(["a", "b"], 10)
    with pytest.raises(PlanError, match="model of the class 'c'"):
        ParameterMixingClassifier(n_partitions=3, partitioning="contiguous").fit(X, y)


def test_a_part_of_one_class_has_no_vote():
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 1], 20)
    y[20:] = 1
    mixed = ParameterMixingClassifier(LinearSVC(), n_partitions=2, partitioning="contiguous").fit(X, y)
    np.testing.assert_allclose(mixed.coef_, LinearSVC().fit(X[:20], y[:20]).coef_, rtol=0.01)
    assert mixed.history_[0].weights == (20.0, 0.0) or mixed.history_[0].weights == (20, 0)


def test_models_that_are_no_sums_of_features_are_refused():
    X, y = make_classification(40, random_state=0)
    from sklearn.tree import DecisionTreeClassifier

    with pytest.raises(SettingsError, match="no coef_"):
        ParameterMixingClassifier(DecisionTreeClassifier(), n_partitions=2).fit(X, y)
    with pytest.raises(SettingsError, match="cannot be set"):
        ParameterMixingClassifier(SVC(kernel="linear"), n_partitions=2).fit(X, y)


def test_rounds_need_a_way_to_start_from_a_mean():
    X, y = make_classification(40, random_state=0)
    with pytest.raises(SettingsError, match="LinearSVC cannot start from a mean"):
        ParameterMixingClassifier(LinearSVC(), n_partitions=2, rounds=2).fit(X, y)
    with pytest.raises(SettingsError, match="liblinear"):
        ParameterMixingClassifier(LogisticRegression(solver="liblinear"), rounds=2).fit(X, y)
