"""Mode "shared": every tree equals scikit-learn's, on any engine."""

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from manymill.forest.estimators import PartitionedForestClassifier, PartitionedForestRegressor
from reference.trees import bits

X, Y = make_classification(240, 6, n_informative=4, n_classes=3, random_state=0)
XR, YR = make_regression(240, 6, random_state=0)
WEIGHT = np.random.default_rng(0).random(240)

CLASSIFIERS = {
    "random forest": RandomForestClassifier(7),
    "all rows": RandomForestClassifier(7, bootstrap=False),
    "out of bag": RandomForestClassifier(30, oob_score=True),
    "balanced": RandomForestClassifier(7, class_weight="balanced"),
    "balanced subsample": RandomForestClassifier(7, class_weight="balanced_subsample", max_samples=0.5),
    "weights by name": ExtraTreesClassifier(7, class_weight={0: 1, 1: 2, 2: 3}),
    "extra-trees": ExtraTreesClassifier(7, max_leaf_nodes=9),
    "bootstrapped extra-trees": ExtraTreesClassifier(7, bootstrap=True),
    "bagging": BaggingClassifier(n_estimators=7, max_features=0.5),
    "bagging of trees": BaggingClassifier(DecisionTreeClassifier(max_depth=3), 7),
}
REGRESSORS = {
    "random forest": RandomForestRegressor(7, max_features=0.5),
    "extra-trees": ExtraTreesRegressor(7),
    "absolute error": ExtraTreesRegressor(3, criterion="absolute_error", max_depth=2),
    "bagging": BaggingRegressor(n_estimators=7, bootstrap_features=True),
}


def own_fit(forest, X, y, weight=None):
    return type(forest)(**forest.get_params(deep=False)).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_trees_of_classifiers_are_those_of_scikit_learn(name, weight):
    grown = PartitionedForestClassifier(CLASSIFIERS[name], random_state=5, engine=3).fit(X, Y, weight)
    own = own_fit(grown.forest_, X, Y, weight)
    assert bits(grown.forest_) == bits(own)
    assert (grown.predict_proba(X) == own.predict_proba(X)).all()


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_trees_of_regressors_are_those_of_scikit_learn(name, weight):
    grown = PartitionedForestRegressor(REGRESSORS[name], random_state=5, engine=2).fit(XR, YR, weight)
    own = own_fit(grown.forest_, XR, YR, weight)
    assert bits(grown.forest_) == bits(own)
    assert (grown.feature_importances_ == own.feature_importances_).all() if "bagging" not in name else True


@pytest.mark.parametrize("name", ["random forest", "balanced subsample", "bagging"])
def test_processes_grow_the_same_trees_as_threads(name, processes):
    missing = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
    by_process = PartitionedForestClassifier(CLASSIFIERS[name], engine=processes).fit(missing, Y, WEIGHT)
    by_thread = PartitionedForestClassifier(CLASSIFIERS[name], engine=1).fit(missing, Y, WEIGHT)
    assert bits(by_process.forest_) == bits(by_thread.forest_)
    assert bits(by_process.forest_) == bits(own_fit(by_thread.forest_, missing, Y, WEIGHT))


def test_a_map_of_a_file_is_read_by_processes_where_it_is(processes, tmp_path):
    np.save(tmp_path / "X.npy", np.vstack([X] * 40).astype(np.float32))
    mapped, y = np.load(tmp_path / "X.npy", mmap_mode="r")[240:], np.tile(Y, 39)
    before = processes.bytes_out
    forest = PartitionedForestClassifier(n_estimators=3, engine=processes).fit(mapped, y).forest_
    assert processes.bytes_out - before < mapped.nbytes / 2
    assert bits(forest) == bits(own_fit(forest, np.asarray(mapped), y))


def test_a_second_fit_on_the_same_rows_writes_nothing(processes):
    def kept():
        return {(path.name, path.stat().st_ino) for path in processes.store.folder.glob("*/*.safetensors")}

    PartitionedForestClassifier(RandomForestClassifier(3), engine=processes).fit(X + 1, Y)
    before = kept()
    PartitionedForestClassifier(ExtraTreesClassifier(3), engine=processes).fit(X + 1, Y)
    assert kept() == before != set()


def test_a_dask_cluster_grows_the_same_trees():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(2, processes=False, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        forest = PartitionedForestClassifier(RandomForestClassifier(5), engine=client).fit(X, Y).forest_
    assert bits(forest) == bits(own_fit(forest, X, Y))


def test_sparse_rows_grow_the_same_trees(processes):
    from scipy.sparse import csr_matrix

    thin = csr_matrix(np.where(X > 0.5, X, 0))
    forest = PartitionedForestClassifier(RandomForestClassifier(5), engine=processes).fit(thin, Y).forest_
    assert bits(forest) == bits(own_fit(forest, thin, Y))


def test_several_outputs_grow_the_same_trees():
    both = np.stack([Y, Y % 2], axis=1)
    forest = PartitionedForestClassifier(n_estimators=5).fit(X, both).forest_
    assert bits(forest) == bits(own_fit(forest, X, both))


def test_trees_added_later_are_those_of_one_fit():
    grown = PartitionedForestClassifier(RandomForestClassifier(), n_estimators=4, warm_start=True).fit(X, Y)
    first = bits(grown.forest_)
    grown.set_params(n_estimators=9).fit(X, Y)
    assert bits(grown.forest_)[:4] == first
    whole = PartitionedForestClassifier(RandomForestClassifier(), n_estimators=9).fit(X, Y)
    assert bits(grown.forest_) == bits(whole.forest_)


def test_members_that_are_no_trees_are_bagged_as_scikit_learn_bags_them():
    grown = PartitionedForestClassifier(BaggingClassifier(LogisticRegression(), 4), engine=2).fit(X, Y)
    own = own_fit(grown.forest_, X, Y)
    assert np.array_equal(grown.predict_proba(X), own.predict_proba(X))


def test_a_single_tree_is_bagged():
    forest = (
        PartitionedForestClassifier(DecisionTreeClassifier(max_depth=4), n_estimators=5).fit(X, Y).forest_
    )
    assert isinstance(forest, BaggingClassifier)
    assert bits(forest) == bits(own_fit(forest, X, Y))
