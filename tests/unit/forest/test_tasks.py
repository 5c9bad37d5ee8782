"""Partitions and patches: the rows and the seed of each tree, and trees over all columns and classes."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingClassifier, ExtraTreesRegressor, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from manymill.forest.combining import extend_tree
from manymill.forest.estimators import PartitionedForestClassifier, PartitionedForestRegressor
from manymill.forest.reports import ForestWarning
from manymill.forest.tasks import Partition, Patch, assign_partitions, gather, tree_seeds
from reference.trees import bits

X, Y = make_classification(600, 8, n_informative=5, n_classes=3, flip_y=0, random_state=0)
SORTED = np.argsort(Y, kind="stable")


@pytest.mark.parametrize("mode", ["partitions", "patches"])
def test_growing_twice_50_trees_is_growing_100(mode):
    grown = PartitionedForestClassifier(n_estimators=50, mode=mode, max_features=0.6, warm_start=True).fit(
        X, Y
    )
    grown.set_params(n_estimators=100).fit(X, Y)
    once = PartitionedForestClassifier(n_estimators=100, mode=mode, max_features=0.6).fit(X, Y)
    assert bits(grown.forest_) == bits(once.forest_)
    assert len(set(bits(once.forest_))) == 100


@pytest.mark.parametrize("mode", ["partitions", "patches"])
@pytest.mark.parametrize("estimator", [RandomForestClassifier(), BaggingClassifier(max_features=0.5)])
def test_who_grows_the_parts_does_not_matter(mode, estimator, processes):
    asked = {"n_estimators": 12, "n_partitions": 3, "mode": mode, "max_features": 0.5}
    by_process = PartitionedForestClassifier(estimator, engine=processes, **asked).fit(X, Y)
    by_thread = PartitionedForestClassifier(estimator, engine=3, **asked).fit(X, Y)
    assert bits(by_process.forest_) == bits(by_thread.forest_)
    assert by_thread.score(X, Y) > 0.75


def test_a_tree_of_a_partition_is_scikit_learns_of_these_rows():
    grown = PartitionedForestClassifier(
        RandomForestClassifier(), n_estimators=3, n_partitions=3, mode="partitions"
    )
    second = grown.fit(X, Y).forest_.estimators_[1]
    own = (
        RandomForestClassifier(1, random_state=tree_seeds(0, 3)[1]).fit(X[200:400], Y[200:400]).estimators_[0]
    )
    assert second.tree_.__getstate__()["nodes"].tobytes() == own.tree_.__getstate__()["nodes"].tobytes()


@given(st.integers(0, 2**64), st.integers(0, 60), st.integers(0, 60))
def test_seeds_of_more_trees_begin_with_those_of_fewer(entropy, few, more):
    seeds = tree_seeds(entropy, few + more)
    assert seeds[:few] == tree_seeds(entropy, few)
    assert len(set(seeds)) == few + more


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=9), st.integers(0, 200))
def test_trees_are_dealt_as_rows_are_to_the_nearest(rows, n_trees):
    parts = assign_partitions(rows, n_trees)
    fair = np.array(rows) / sum(rows) * n_trees
    assert (np.abs(np.bincount(parts, minlength=len(rows)) - fair) < max(2, len(rows) / 2)).all()
    assert (assign_partitions(rows, n_trees + 1)[:-1] == parts).all()


def test_a_class_that_a_partition_lacks_has_no_votes_of_it():
    with pytest.warns(ForestWarning, match="Cramér's V 1"):
        grown = PartitionedForestClassifier(n_estimators=9, n_partitions=3, mode="partitions").fit(
            X[SORTED], np.array(["a", "b", "c"])[Y[SORTED]]
        )
    votes = np.array([tree.predict_proba(X[:1])[0] for tree in grown.forest_.estimators_])
    assert votes.shape == (9, 3)
    assert grown.classes_.tolist() == ["a", "b", "c"]
    assert grown.forest_.classes_.tolist() == ["a", "b", "c"]
    assert pickle.loads(pickle.dumps(grown)).predict(X).tolist() == grown.predict(X).tolist()


def test_patches_mend_partitions_that_are_sorted_by_class():
    asked = {"n_estimators": 60, "n_partitions": 6}
    train, test = SORTED[::2], SORTED[1::2]
    whole = PartitionedForestClassifier(**asked).fit(X[train], Y[train]).score(X[test], Y[test])
    patches = PartitionedForestClassifier(mode="patches", max_samples=0.5, **asked).fit(X[train], Y[train])
    with pytest.warns(ForestWarning):
        parts = PartitionedForestClassifier(mode="partitions", **asked).fit(X[train], Y[train])
    assert patches.score(X[test], Y[test]) > whole - 0.05
    assert parts.score(X[test], Y[test]) < whole - 0.1


def test_a_tree_on_some_columns_and_classes_predicts_the_same_over_all():
    columns, seen = np.array([1, 4, 6]), Y != 1
    small = DecisionTreeClassifier(random_state=0).fit(X[seen][:, columns], Y[seen] // 2)
    expected = small.predict_proba(X[:, columns])
    wide = extend_tree(
        small, features=columns, n_features=8, class_indices=[np.array([0, 2])], n_classes=[3]
    ).predict_proba(X)
    assert (wide[:, [0, 2]] == expected).all()
    assert not wide[:, 1].any()


@given(st.integers(0, 99), st.integers(1, 40), st.sets(st.integers(0, 59), max_size=15))
def test_a_patch_has_no_row_twice_and_none_that_is_held_out(number, n_rows, out):
    held = np.array(sorted(out), np.intp)
    rows = Patch(7, number, n_rows, 60, 1, 1).rows(held)
    assert len(set(rows.tolist())) == n_rows
    assert (np.diff(rows) > 0).all()
    assert not set(rows.tolist()) & out
    assert rows[0] >= 0
    assert rows[-1] < 60


@given(st.sets(st.integers(0, 59)))
def test_a_partition_has_its_rows_but_those_held_out(out):
    rows = Partition(1, 20, 50).rows(np.array(sorted(out), np.intp))
    assert rows.tolist() == [row for row in range(20, 50) if row not in out]


@pytest.mark.parametrize("matrix", [X, csr_matrix(X)], ids=["dense", "sparse"])
def test_gathering_in_blocks_is_picking_rows_and_columns(matrix):
    rows, columns = np.arange(3, 600, 7), np.array([0, 5])
    gathered = gather(matrix, rows, columns, block_bytes=1 << 10)
    assert (np.asarray(gathered.todense() if matrix is not X else gathered) == X[np.ix_(rows, columns)]).all()


@pytest.mark.parametrize("mode", ["partitions", "patches"])
def test_sparse_rows_grow_what_dense_rows_grow(mode):
    thin = np.where(X > 0.3, X, 0).astype(np.float32)
    asked = {"n_estimators": 30, "n_partitions": 3, "mode": mode}
    by_sparse = PartitionedForestClassifier(**asked).fit(csr_matrix(thin), Y)
    by_dense = PartitionedForestClassifier(**asked).fit(thin, Y)
    # The two kinds of splitters of scikit-learn draw in different orders.
    assert abs(by_sparse.score(thin, Y) - by_dense.score(thin, Y)) < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_map_of_a_file_is_parted_where_it_is(tmp_path, dtype, processes):
    missing = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X).astype(dtype)
    np.save(tmp_path / "X.npy", missing)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    asked = {"n_estimators": 8, "n_partitions": 4, "mode": "partitions"}
    grown = PartitionedForestClassifier(engine=processes, **asked).fit(mapped, Y)
    assert bits(grown.forest_) == bits(PartitionedForestClassifier(**asked).fit(missing, Y).forest_)


@pytest.mark.parametrize("mode", ["partitions", "patches"])
def test_several_targets_are_regressed(mode):
    rows, targets = make_regression(300, 5, n_targets=2, random_state=0)
    grown = PartitionedForestRegressor(
        ExtraTreesRegressor(max_depth=8), n_estimators=30, n_partitions=2, mode=mode
    )
    assert grown.fit(rows, targets).predict(rows).shape == (300, 2)
    assert grown.score(rows, targets) > 0.7


def test_several_outputs_are_classified_though_a_partition_lacks_a_class():
    both = np.stack([Y, Y == 0], axis=1).astype(int)[SORTED]
    grown = PartitionedForestClassifier(n_estimators=6, n_partitions=3, mode="partitions").fit(
        X[SORTED], both
    )
    assert [proba.shape for proba in grown.predict_proba(X)] == [(600, 3), (600, 2)]


def test_weights_of_classes_are_of_all_rows():
    few = np.r_[SORTED[:200], SORTED[200:230], SORTED[400:]]
    mixed = np.random.default_rng(0).permutation(few)
    plain = {"n_estimators": 20, "n_partitions": 2, "mode": "partitions"}
    balanced = RandomForestClassifier(class_weight="balanced", max_depth=3)
    weighed = PartitionedForestClassifier(balanced, **plain).fit(X[mixed], Y[mixed])
    flat = PartitionedForestClassifier(RandomForestClassifier(max_depth=3), **plain).fit(X[mixed], Y[mixed])
    assert weighed.predict_proba(X)[:, 1].mean() > 2 * flat.predict_proba(X)[:, 1].mean()
