"""SearchCV copied, pickled, cloned, resumed by another process, and with all kinds of data."""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from manymill import SearchCV
from manymill.engine.selection import as_engine
from manymill.errors import RunFolderError, SettingsError
from manymill.search.setup import describe

X, y = load_iris(return_X_y=True)
GRID = {"C": [0.01, 1.0]}
# Of data that does not travel with each call.
MANY, LABELS = np.tile(X, (10, 1)), np.tile(np.array(["first", "second", "third"])[y], 10)


def test_scikit_learns_checks_find_nothing():
    search = SearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2, engine=1, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(search, on_fail=None)
    assert [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"] == []
    assert sum(r["status"] == "passed" for r in results) > 40


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda search: pickle.loads(pickle.dumps(search))])
def test_a_search_that_is_over_can_be_copied_and_stored(copied):
    search = SearchCV(SVC(), GRID, cv=3).fit(X, y)
    twin = copied(search)
    assert twin.predict(X).tolist() == search.predict(X).tolist()
    assert twin.handle_.ranking() == search.handle_.ranking()
    assert twin.handle_.wait()
    assert str(twin.handle_) == str(search.handle_)


def test_a_search_with_a_pool_of_its_own_can_be_cloned():
    with ThreadPoolExecutor(1) as pool:
        search = SearchCV(SVC(), GRID, cv=2, engine=pool)
        assert clone(search).engine is pool
        assert cross_val_score(search, X, y, cv=2).mean() > 0.9


@pytest.fixture(scope="module")
def process():
    with as_engine("processes:1") as engine:
        yield engine


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (MANY, LABELS),
        (MANY > 2, LABELS),
        (MANY.astype(np.float16), LABELS),
        (MANY.astype(np.longdouble), LABELS),
        (np.asfortranarray(MANY), LABELS.astype(object)),
        (sparse.csr_array(MANY), LABELS),
        (sparse.coo_matrix(MANY), LABELS),
    ],
)
def test_processes_take_any_data_that_threads_take(rows, labels, process):
    threads, processes = (
        SearchCV(SVC(), {"C": [1.0]}, cv=2, engine=engine).fit(rows, labels) for engine in (1, process)
    )
    assert threads.best_score_ == processes.best_score_


def test_sparse_rows_whose_columns_are_in_no_order_are_taken_by_processes(process):
    rows = sparse.csr_matrix(MANY)[:, ::-1]
    threads, processes = (
        SearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [3]}, cv=2, engine=engine).fit(
            rows, LABELS
        )
        for engine in (1, process)
    )
    assert threads.best_score_ == processes.best_score_


def test_a_function_that_gives_several_metrics_is_a_scorer():
    def scored(estimator, X, y):
        return {"right": float((estimator.predict(X) == y).mean()), "nothing": 0.0}

    ours, theirs = (
        kind(SVC(), GRID, cv=3, scoring=scored, refit="right").fit(X, y) for kind in (SearchCV, GridSearchCV)
    )
    assert ours.best_score_ == theirs.best_score_
    assert ours.multimetric_
    assert {"mean_test_right", "rank_test_nothing"} <= set(ours.cv_results_)
    assert ours.score(X, y) == theirs.score(X, y)


def test_a_scorer_that_knows_no_weights_is_asked_without_them():
    def plain(estimator, X, y):
        return estimator.score(X, y)

    search = SearchCV(SVC(), GRID, cv=3, scoring=plain).fit(X, y, sample_weight=np.ones(len(y)))
    assert search.best_score_ > 0.9


@pytest.mark.parametrize("ours", [True, False])
def test_the_first_error_is_raised_as_it_is_if_that_is_asked_for(ours, process):
    search = SearchCV(SVC(), {"C": [1.0, -1.0]}, cv=2, engine=process if ours else 1, error_score="raise")
    with pytest.raises(ValueError, match="'C' parameter of SVC"):
        search.fit(X, y)
    assert not hasattr(search, "cv_results_")


def test_what_an_earlier_fit_gave_is_forgotten():
    search = SearchCV(SVC(), GRID, cv=2).fit(X, y)
    search.set_params(refit=False).fit(X, y)
    assert not hasattr(search, "best_estimator_")


def test_a_metric_that_is_not_there_is_told():
    search = SearchCV(SVC(), GRID, cv=2).fit(X, y)
    with pytest.raises(SettingsError, match="metric='speed' is invalid: expected 'score'"):
        search.handle_.ranking("speed")


def double(values):
    return 2 * values


def test_of_equal_candidates_the_first_of_the_grid_is_the_best_as_in_scikit_learn():
    grid = {"max_depth": [9, 8, 7, 6, 5], "min_samples_leaf": [1]}
    ours, theirs = (
        kind(DecisionTreeClassifier(random_state=0), grid, cv=3).fit(X, y)
        for kind in (SearchCV, GridSearchCV)
    )
    assert ours.best_params_ == theirs.best_params_ == ours.handle_.ranking()[0].params
    trials, params = (ours.cv_results_[key] for key in ("trial", "params"))
    assert {row.trial: row.params for row in ours.handle_.ranking()} == dict(zip(trials, params, strict=True))


def test_objects_with_addresses_are_no_other_search(tmp_path):
    def search():
        pipeline = make_pipeline(FunctionTransformer(double), SVC())
        return SearchCV(pipeline, {"svc__C": stats.loguniform(0.1, 10)}, n_trials=2, cv=2, run=tmp_path)

    first = search().fit(X, y)
    assert search().fit(X, y).best_params_ == first.best_params_


@pytest.mark.parametrize("weights", [np.linspace(1, 2, 150), None])
def test_other_weights_are_another_search(tmp_path, weights):
    SearchCV(SVC(), GRID, cv=2, run=tmp_path).fit(X, y, sample_weight=np.ones(150))
    with pytest.raises(RunFolderError, match="other data by row"):
        SearchCV(SVC(), GRID, cv=2, run=tmp_path).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stats.loguniform(1, 2), stats.loguniform(1, 3)),
        (stats.uniform(0, 1), stats.norm(0, 1)),
        (SVC(), SVC(C=2)),
        (make_pipeline(SVC()), make_pipeline(SVC(degree=5))),
        (lambda x: x + 1, lambda x: x + 2),
        (np.arange(2000), np.arange(2000)[::-1]),
        ([1, 2], [2, 1]),
    ],
)
def test_a_description_tells_values_apart_and_is_the_same_for_equals(one, other):
    assert describe(one) == describe(copy.deepcopy(one))
    assert describe(one) != describe(other)
