"""The size of a saved forest stays within its budget."""

import re

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingClassifier, ExtraTreesRegressor, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from manymill import PartitionedForestClassifier, PartitionedForestRegressor, save_forest
from manymill.errors import SettingsError
from manymill.forest.budget import apply_budget, leaf_budget, saved_bytes

X, Y = make_classification(1200, 12, n_informative=6, n_classes=4, flip_y=0.3, random_state=0)
X_REAL, Y_REAL = make_regression(800, 6, noise=5, random_state=0)


def size_of(folder, forest):
    save_forest(folder, forest)
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("mode", ["shared", "partitions", "patches"])
@pytest.mark.parametrize("max_bytes", [20_000, 70_000, 300_000])
def test_a_saved_forest_has_no_more_bytes_than_allowed(tmp_path, mode, max_bytes):
    forest = PartitionedForestClassifier(n_estimators=10, mode=mode, n_partitions=3, max_bytes=max_bytes)
    forest.fit(X, Y)
    assert size_of(tmp_path / "forest", forest.forest_) <= max_bytes
    assert forest.report_.saved_bytes <= max_bytes


def test_a_budget_is_used_where_trees_are_larger(tmp_path):
    forest = PartitionedForestRegressor(n_estimators=10, max_bytes=200_000).fit(X_REAL, Y_REAL)
    assert 150_000 < size_of(tmp_path / "forest", forest.forest_) <= 200_000
    assert "allowed" in forest.report_.words()


def test_trees_that_fit_anyhow_are_those_without_a_budget():
    free, held = (PartitionedForestRegressor(n_estimators=5, max_bytes=b) for b in (None, 10_000_000))
    np.testing.assert_array_equal(
        free.fit(X_REAL, Y_REAL).predict(X_REAL), held.fit(X_REAL, Y_REAL).predict(X_REAL)
    )
    assert held.report_.budget.max_leaf_nodes is None


def test_bytes_expected_of_trees_without_a_bound_are_about_right():
    ensemble = ExtraTreesRegressor(20, random_state=0)
    budget = leaf_budget(ensemble, X_REAL, Y_REAL, n_estimators=20, max_bytes=10_000_000)
    real = saved_bytes(ensemble.fit(X_REAL, Y_REAL))
    assert budget.estimated_bytes == pytest.approx(real, rel=0.1)


def test_the_bytes_of_a_forest_are_those_of_its_file(tmp_path):
    forest = RandomForestClassifier(4, random_state=0).fit(X, np.stack([Y, Y % 3], axis=1))
    save_forest(tmp_path / "forest", forest)
    (file,) = (tmp_path / "forest").glob("nodes-*")
    assert saved_bytes(forest) == file.stat().st_size


@pytest.mark.parametrize("member", [None, DecisionTreeClassifier(max_depth=9)])
def test_trees_of_a_bagging_are_held_to_the_size_as_well(tmp_path, member):
    ensemble = BaggingClassifier(member, n_estimators=6, max_features=0.5, random_state=0)
    budget = leaf_budget(ensemble, X, Y, n_estimators=6, max_bytes=30_000)
    bounded = apply_budget(ensemble, budget).fit(X, Y)
    assert size_of(tmp_path / "forest", bounded) <= 30_000


def test_a_lower_bound_of_the_ensemble_stays():
    ensemble = RandomForestClassifier(10, max_leaf_nodes=7)
    assert leaf_budget(ensemble, X, Y, n_estimators=10, max_bytes=10_000_000).max_leaf_nodes in (None, 7)
    assert leaf_budget(ensemble, X, Y, n_estimators=10, max_bytes=15_000).max_leaf_nodes <= 7


def test_a_budget_without_room_is_refused_and_says_how_much_is_needed():
    with pytest.raises(
        SettingsError, match=r"max_bytes=500 is invalid: expected \d+ or more for 10 trees"
    ) as refused:
        PartitionedForestClassifier(n_estimators=10, max_bytes=500).fit(X, Y)
    enough = int(re.search(r"expected (\d+)", refused.value.what)[1])
    PartitionedForestClassifier(n_estimators=10, max_bytes=enough).fit(X, Y)
