"""Combining forests, and drawing trees from a forest."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from manymill import combine_forests, sub_forest
from manymill.errors import PlanError
from manymill.forest.combining import RepeatedTreesWarning

X, y = load_iris(return_X_y=True)
WORDS = np.array(["birch", "larch", "oak"])[y]


def grown(kind, rows=slice(None), target=WORDS, *, n=4, seed=0, **options):
    return kind(n_estimators=n, random_state=seed, **options).fit(X[rows], target[rows])


def mean_of(forests):
    """The mean over all trees of forests of the same classes: the slow twin."""
    sums = sum(len(forest.estimators_) * forest.predict_proba(X) for forest in forests)
    return sums / sum(len(forest.estimators_) for forest in forests)


KINDS = [RandomForestClassifier, ExtraTreesClassifier, BaggingClassifier]


@pytest.mark.parametrize("kind", KINDS)
def test_the_probabilities_are_the_mean_over_all_trees(kind):
    forests = [grown(kind, seed=seed, n=seed + 2) for seed in range(3)]
    combined = combine_forests(forests)
    assert type(combined) is kind
    assert len(combined.estimators_) == combined.n_estimators == 9
    np.testing.assert_allclose(combined.predict_proba(X), mean_of(forests), atol=1e-14)


@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor, BaggingRegressor])
def test_values_are_the_mean_over_all_trees(kind):
    rows, target = load_diabetes(return_X_y=True)
    forests = [kind(n_estimators=3, random_state=seed).fit(rows, target) for seed in range(2)]
    expected = (forests[0].predict(rows) + forests[1].predict(rows)) / 2
    np.testing.assert_allclose(combine_forests(forests).predict(rows), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_that_a_part_lacks_have_no_probability_from_it(kind):
    forests = [grown(kind, y != 1, seed=1), grown(kind, y != 0, seed=2), grown(kind, seed=3)]
    combined = combine_forests(forests)
    expected = np.zeros((len(X), 3))
    for forest, places in zip(forests, [[0, 2], [1, 2], [0, 1, 2]], strict=True):
        expected[:, places] += forest.predict_proba(X) / 3
    assert combined.classes_.tolist() == ["birch", "larch", "oak"]
    np.testing.assert_allclose(combined.predict_proba(X), expected, atol=1e-14)


def test_classes_of_several_outputs_are_aligned_each_by_itself():
    both = np.stack([y, y % 2], axis=1)
    parts = [
        grown(ExtraTreesClassifier, y != 2, both, seed=1),
        grown(ExtraTreesClassifier, y > 0, both, seed=2),
    ]
    combined = combine_forests(parts)
    assert [classes.tolist() for classes in combined.classes_] == [[0, 1, 2], [0, 1]]
    first = [part.predict_proba(X)[0] for part in parts]
    expected = np.stack([first[0][:, 0], first[0][:, 1] + first[1][:, 0], first[1][:, 1]], axis=1) / 2
    np.testing.assert_allclose(combined.predict_proba(X)[0], expected, atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.sampled_from([0, 1, 2]), min_size=1), min_size=1, max_size=4))
def test_whatever_classes_parts_have_the_whole_is_their_mean(subsets):
    forests = [
        grown(ExtraTreesClassifier, np.isin(y, list(subset)), n=2, seed=seed)
        for seed, subset in enumerate(subsets)
    ]
    combined = combine_forests(forests)
    names = combined.classes_.tolist()
    expected = np.zeros((len(X), len(names)))
    for forest in forests:
        expected[:, [names.index(name) for name in forest.classes_]] += forest.predict_proba(X) / len(forests)
    np.testing.assert_allclose(combined.predict_proba(X), expected, atol=1e-14)


def test_the_result_is_an_ordinary_forest():
    combined = combine_forests([grown(RandomForestClassifier, y != 1), grown(RandomForestClassifier, seed=1)])
    assert pickle.loads(pickle.dumps(combined)).predict(X).tolist() == combined.predict(X).tolist()
    assert combined.feature_importances_.sum() == pytest.approx(1)
    assert clone(combined).get_params()["n_estimators"] == 8
    assert combined.apply(X).shape == (len(X), 8)
    assert combined.score(X, WORDS) > 0.9


def test_what_was_true_of_one_fit_alone_is_gone():
    forests = [grown(RandomForestClassifier, n=30, seed=seed, oob_score=True) for seed in (0, 1)]
    combined = combine_forests(forests)
    assert not hasattr(combined, "oob_score_")
    assert not hasattr(combined, "estimators_samples_")
    assert hasattr(forests[0], "oob_score_")


def test_weights_choose_the_number_of_trees():
    forests = [grown(ExtraTreesClassifier, n=10, seed=seed) for seed in range(3)]
    combined = combine_forests(forests, weights=[500, 250, 0])
    assert combined.estimators_ == forests[0].estimators_ + forests[1].estimators_[:5]


def test_a_weight_that_is_next_to_nothing_is_worth_a_tree():
    forests = [grown(ExtraTreesClassifier, n=10, seed=seed) for seed in (0, 1)]
    assert len(combine_forests(forests, weights=[1e-310, 1e-312]).estimators_) == 11


def test_words_are_words_whatever_array_they_came_in():
    parts = [grown(ExtraTreesClassifier), grown(ExtraTreesClassifier, target=WORDS.astype(object), seed=1)]
    combined = combine_forests(parts)
    assert combined.classes_.tolist() == ["birch", "larch", "oak"]
    np.testing.assert_allclose(combined.predict_proba(X), mean_of(parts), atol=1e-14)


def test_members_whose_classes_cannot_be_told_anew_are_refused_where_a_class_lacks():
    member = Pipeline([("learn", LogisticRegression(max_iter=1000))])
    parts = [grown(BaggingClassifier, rows, estimator=member) for rows in (y != 1, y >= 0)]
    with pytest.raises(PlanError, match="lacks a class"):
        combine_forests(parts)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")], ["a", "b"], 1])
def test_weights_that_weigh_nothing_are_refused(weights):
    forests = [grown(ExtraTreesClassifier, seed=seed) for seed in (0, 1)]
    with pytest.raises(PlanError, match=r"weights=.* is invalid: expected 2 numbers"):
        combine_forests(forests, weights=weights)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: grown(RandomForestClassifier), "differs from forest 1 in its kind: RandomForestClassifier"),
        (lambda: ExtraTreesClassifier(2).fit(X[:, :3], WORDS), "number of features: 3, not 4"),
        (lambda: grown(ExtraTreesClassifier, criterion="entropy"), "criterion: entropy, not gini"),
        (lambda: grown(ExtraTreesClassifier, target=np.stack([y, y], 1)), "number of outputs: 2, not 1"),
        (lambda: grown(ExtraTreesClassifier, target=y), "classes of the forests have different types"),
        (lambda: grown(ExtraTreesClassifier, target=y > 0), "classes of the forests have different types"),
        (lambda: ExtraTreesClassifier(), "not fitted"),
        (lambda: grown(GradientBoostingClassifier), "each of its trees corrects the errors of the trees before it"),
        (lambda: LogisticRegression(), "forest 2 is a LogisticRegression"),
    ],
)  # fmt: skip
def test_what_cannot_be_one_forest_is_refused_with_the_reason(other, message):
    with pytest.raises(PlanError, match=message):
        combine_forests([grown(ExtraTreesClassifier), other()])


def test_columns_of_other_names_are_refused():
    import pandas as pd

    frames = [pd.DataFrame(X, columns=list(names)) for names in ("abcd", "abdc")]
    forests = [ExtraTreesClassifier(2).fit(frame, WORDS) for frame in frames]
    with pytest.raises(PlanError, match="names of features"):
        combine_forests(forests)


def test_nothing_is_no_forest():
    with pytest.raises(PlanError, match="there are no forests to combine"):
        combine_forests([])


def test_trees_that_are_there_twice_are_warned_of():
    with pytest.warns(RepeatedTreesWarning, match="4 of 8 trees are repeated"):
        combine_forests([grown(ExtraTreesClassifier), grown(ExtraTreesClassifier)])


def test_trees_that_need_no_change_are_shared():
    digits, labels = load_digits(return_X_y=True)
    forests = [ExtraTreesClassifier(100, random_state=seed).fit(digits, labels) for seed in range(3)]
    combined = combine_forests(forests)
    assert all(a is b for a, b in zip(combined.estimators_[:100], forests[0].estimators_, strict=True))


def test_a_part_of_a_forest_has_the_same_trees_for_the_same_seed():
    forest = grown(RandomForestClassifier, n=10)
    parts = [sub_forest(forest, 3, random_state=5) for _ in range(2)]
    assert parts[0].estimators_ == parts[1].estimators_
    assert set(map(id, parts[0].estimators_)) < set(map(id, forest.estimators_))
    np.testing.assert_allclose(
        parts[0].predict_proba(X), np.mean([t.predict_proba(X) for t in parts[0].estimators_], axis=0)
    )


def test_a_part_of_bagging_keeps_the_features_of_its_members():
    forest = grown(BaggingClassifier, n=6, max_features=2)
    part = sub_forest(forest, 2, random_state=1)
    chosen = [forest.estimators_.index(member) for member in part.estimators_]
    assert [f.tolist() for f in part.estimators_features_] == [
        forest.estimators_features_[i].tolist() for i in chosen
    ]


@pytest.mark.parametrize("n", [0, 11, 2.5, [0, 1]])
def test_what_is_no_number_of_the_trees_is_refused(n):
    with pytest.raises(PlanError, match=r"n=.* is invalid: expected an integer from 1 to 10"):
        sub_forest(grown(RandomForestClassifier, n=10), n)
