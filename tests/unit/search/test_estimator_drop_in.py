"""SearchCV in code that was written for scikit-learn's searches."""

import asyncio
import pickle
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import check_random_state

from manymill import SearchCV, validation_curve
from manymill.errors import PlanError, RunFolderError, SettingsError
from manymill.search.estimator import FailedCandidatesWarning, InterruptedSearchWarning
from manymill.search.evaluation import subsample
from manymill.search.handle import SearchHandle
from manymill.storage.journal import Journal

X, y = load_iris(return_X_y=True)
GRID = {"C": [0.01, 1.0]}


class Draw:
    """A distribution as people write them for RandomizedSearchCV."""

    def rvs(self, size=None, random_state=None):
        return check_random_state(random_state).randint(1, 1000)


class Leaving(SVC):
    """Some library that ends the process."""

    def fit(self, X, y):
        if self.C == 1.0:
            sys.exit(3)
        return super().fit(X, y)


def test_a_distribution_that_knows_random_states_is_searched_and_draws_anew_each_time():
    search = SearchCV(SVC(), {"C": Draw()}, n_trials=5, cv=2, engine=1).fit(X, y)
    assert len({params["C"] for params in search.cv_results_["params"]}) > 2


def test_a_candidate_that_exits_has_failed_and_the_others_go_on():
    with pytest.warns(FailedCandidatesWarning, match="SystemExit: 3"):
        search = SearchCV(Leaving(), GRID, cv=2, engine=1).fit(X, y)
    assert search.best_params_ == {"C": 0.01}
    assert search.handle_.progress().failed == 2


def test_who_gives_up_waiting_for_a_handle_does_not_wait_for_its_end():
    class Slow(SVC):
        def fit(self, X, y):
            released.wait(20)
            return super().fit(X, y)

    released = threading.Event()

    async def impatient():
        handle = SearchCV(Slow(), GRID, cv=2, engine=1).start(X, y)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle, 0.01)
        return handle

    handle = asyncio.run(impatient())
    assert not handle.done()
    released.set()
    assert handle.wait(20)


@pytest.mark.parametrize("halving", [False, True])
def test_a_splitter_may_tell_rows_by_masks(halving):
    rows = list(KFold(3, shuffle=True, random_state=0).split(X))
    masks = [tuple(np.isin(np.arange(len(X)), part) for part in parts) for parts in rows]
    one, other = (
        SearchCV(SVC(), GRID, cv=cv, halving=halving, min_resource=50).fit(X, y).cv_results_
        for cv in (rows, masks)
    )
    assert one["mean_test_score"].tolist() == other["mean_test_score"].tolist()


def test_amounts_of_a_resource_may_be_numbers_of_numpy_and_end_with_the_rows_there_are():
    search = SearchCV(
        SVC(), GRID, cv=3, halving=True, min_resource=np.int64(30), max_resource=np.int64(10_000)
    ).fit(X, y)
    assert set(search.cv_results_["n_resources"].tolist()) <= {33, 100}


class Weighed(SVC):
    """Takes weights as a column of a sparse matrix."""

    def fit(self, X, y, weights):
        return super().fit(X, y, sample_weight=weights.toarray().ravel())


def test_a_sparse_parameter_of_the_fit_is_split_along():
    column = sparse.csr_array(np.ones((len(y), 1)))
    search = SearchCV(Weighed(), GRID, cv=3, error_score="raise").fit(X, y, weights=column)
    assert search.best_score_ == SearchCV(SVC(), GRID, cv=3).fit(X, y).best_score_


@pytest.mark.parametrize(
    ("options", "told_of"),
    [
        ({"error_score": "ignore"}, "error_score='ignore' is invalid"),
        ({"error_score": None}, "error_score=None is invalid"),
        ({"halving": True, "resource": "C", "max_resource": 9}, "'C' is both the resource of halving and searched"),
    ],
)  # fmt: skip
def test_what_would_spoil_a_search_at_its_end_is_refused_at_its_start(options, told_of):
    with pytest.raises(SettingsError, match=told_of):
        SearchCV(SVC(), GRID, **options).start(X, y)


def test_halving_gives_every_candidate_rows_of_a_rare_class():
    rare = (np.arange(3000) % 300 == 0).astype(int)
    rows = np.random.default_rng(0).normal(size=(3000, 2)) + 3 * rare[:, None]
    search = SearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}, cv=3, halving=True, scoring="roc_auc")
    assert search.fit(rows, rare).handle_.progress().failed == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 60))
def test_a_prefix_of_rows_has_every_class_that_there_is_room_for_and_is_within_greater_ones(codes, n_rows):
    codes = np.array(codes)
    rows = np.arange(len(codes))
    few, more = (subsample(rows, n, codes) for n in (n_rows, n_rows + 3))
    assert len(few) == min(n_rows, len(rows))
    assert len(set(codes[few])) == min(n_rows, len(set(codes)))
    assert set(few) <= set(more)
    assert sorted(few) == few.tolist()


WEIGHTS = np.linspace(0.1, 2, len(y))


@pytest.mark.parametrize("weighs_fit", [True, False])
def test_metadata_is_routed_to_who_requested_it_as_by_scikit_learns_search(weighs_fit):
    with config_context(enable_metadata_routing=True):
        estimator = SVC().set_fit_request(sample_weight=weighs_fit)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight="importance")
        given = {"importance": WEIGHTS, **({"sample_weight": WEIGHTS[::-1].copy()} if weighs_fit else {})}
        ours, theirs = (
            kind(estimator, GRID, cv=3, scoring=scorer).fit(X, y, **given)
            for kind in (SearchCV, GridSearchCV)
        )
        assert ours.cv_results_["mean_test_score"].tolist() == theirs.cv_results_["mean_test_score"].tolist()
        assert ours.score(X, y, importance=WEIGHTS) == theirs.score(X, y, importance=WEIGHTS)
        outer = (
            cross_validate(search, X, y, cv=3, scoring=scorer, params=given)["test_score"].tolist()
            for search in (ours, theirs)
        )
        assert next(outer) == next(outer)


def test_groups_are_routed_to_the_splitter():
    with config_context(enable_metadata_routing=True):
        search = SearchCV(SVC(), GRID, cv=GroupKFold(3)).fit(X, y, groups=np.arange(150) % 7)
    assert (
        search.best_score_
        == GridSearchCV(SVC(), GRID, cv=GroupKFold(3)).fit(X, y, groups=np.arange(150) % 7).best_score_
    )


def test_a_score_with_weights_says_what_it_needs():
    search = SearchCV(SVC(), GRID, cv=2).fit(X, y)
    with pytest.raises(
        ValueError, match=r"score accepts sample_weight only with metadata routing.*set_config"
    ):
        search.score(X, y, sample_weight=WEIGHTS)


def test_who_did_not_refit_is_told_how_to_predict():
    search = SearchCV(SVC(), GRID, cv=2, refit=False).fit(X, y)
    with pytest.raises(NotFittedError, match=r"refit=False: call refit_best.* before predict"):
        search.predict(X)
    assert search.refit_best(X, y).predict(X).shape == (150,)


def test_an_ensemble_predicts_without_a_refit():
    search = SearchCV(LogisticRegression(max_iter=500), GRID, cv=2, refit=False, ensemble=2).fit(X, y)
    assert search.score(X, y) > 0.9


def test_members_of_an_ensemble_are_fitted_with_the_weights_of_the_search():
    given = []

    class Noting(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            given.append(None if sample_weight is None else len(sample_weight))
            return super().fit(X, y, sample_weight)

    SearchCV(Noting(max_iter=500), GRID, cv=2, engine=1, ensemble=2).fit(X, y, sample_weight=WEIGHTS)
    assert given[-1] == len(y)
    assert None not in given


def test_an_ensemble_of_several_outputs_is_refused_at_the_start():
    with pytest.raises(SettingsError, match="y has several columns"):
        SearchCV(Ridge(), {"alpha": [1, 2]}, ensemble=2).start(X[:, :2], X[:, 2:])


def test_an_ensemble_of_classifiers_without_probabilities_says_what_to_do():
    search = SearchCV(LinearSVC(), GRID, cv=2, ensemble=2)
    with pytest.raises(PlanError, match=r"predict_proba.*CalibratedClassifierCV"):
        search.fit(X, y)
    assert search.predict(X).shape == (150,)


@pytest.mark.parametrize("row", [7, None, 0.5])
def test_a_function_that_chooses_no_row_is_told(row):
    with pytest.raises(SettingsError, match=f"refit returned {row}: expected a row number from 0 to 1"):
        SearchCV(SVC(), GRID, cv=2, refit=lambda results: row).fit(X, y)


def test_failures_have_their_score_on_training_rows_too():
    options = {"cv": 2, "error_score": 0.0, "return_train_score": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (
            kind(SVC(), {"C": [-1, 1.0]}, **options).fit(X, y).cv_results_
            for kind in (SearchCV, GridSearchCV)
        )
    for key in ("split1_train_score", "mean_train_score", "std_train_score", "mean_test_score"):
        np.testing.assert_allclose(ours[key], theirs[key])


def test_who_was_given_all_rows_in_halving_has_their_number():
    search = SearchCV(SVC(), {"C": [0.1, 1, 10]}, cv=3, halving=True, min_resource=30).fit(X, y)
    assert search.cv_results_["n_resources"].max() == 100
    assert "n_resources" in SearchCV(SVC(), GRID, cv=3, halving=True).fit(X, y).cv_results_


@pytest.mark.parametrize("n_lines", [0, 3, 6])
def test_a_full_disk_ends_a_search_and_nobody_waits_for_ever(tmp_path, monkeypatch, n_lines):
    search = SearchCV(SVC(), GRID, cv=2, engine=1, run=tmp_path)
    append, left = Journal.append, [n_lines + 1]  # the first line has the settings

    def full(journal, record):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        append(journal, record)

    monkeypatch.setattr(Journal, "append", full)
    handle = search.start(X, y)
    with pytest.raises(RunFolderError, match="No space left"):
        handle.wait(20)
    monkeypatch.undo()
    assert search.fit(X, y).handle_.progress().done == 4  # the folder was let go


def test_results_are_those_of_the_search_that_was_started_last():
    released = threading.Event()

    class Slow(SVC):
        def fit(self, X, y):
            released.wait(20)
            return super().fit(X, y)

    search = SearchCV(Slow(), GRID, cv=2, engine=1)
    first = search.start(X, y)
    second = search.set_params(estimator=SVC(), distributions={"degree": [2, 3]}).start(X, y)
    assert second.wait(20)
    released.set()
    assert first.wait(20)
    assert list(search.best_params_) == ["degree"]


def test_an_interrupt_ends_a_search_though_warnings_are_errors(monkeypatch):
    search = SearchCV(SVC(), GRID, cv=2, engine=1)
    calls, wait = [], SearchHandle.wait

    def interrupted(handle):
        calls.append(handle)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(handle)

    monkeypatch.setattr(SearchHandle, "wait", interrupted)
    with pytest.raises(InterruptedSearchWarning):
        search.fit(X, y)
    assert search.handle_.done()


def test_candidates_that_were_not_finished_do_not_run_for_ever_in_optunas_storage(tmp_path):
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path / 'search.db'}"
    options = {"sampler": "tpe", "storage": url, "cv": 3, "engine": 1, "max_evaluations": 4}
    SearchCV(SVC(), {"C": stats.loguniform(0.1, 10)}, **options).fit(X, y)
    states = {trial.state.name for trial in optuna.load_study(study_name=None, storage=url).trials}
    assert states == {"COMPLETE", "FAIL"}


def test_a_storage_that_cannot_be_opened_is_told():
    pytest.importorskip("optuna")
    with pytest.raises(SettingsError, match=r"cannot use storage='sqlite:////nowhere/at/all.db'"):
        SearchCV(SVC(), GRID, sampler="tpe", storage="sqlite:////nowhere/at/all.db").start(X, y)


PIPELINE = Pipeline([("scale", StandardScaler()), ("model", SVC())])


@pytest.mark.parametrize("name", ["CC", "model__CC", "modell__C"])
def test_a_parameter_that_the_estimator_has_not_is_refused_at_the_start(name):
    with pytest.raises(SettingsError, match=f"no parameter '{name}'.* its parameters are .*model__C"):
        SearchCV(PIPELINE, {name: [1, 2]}).start(X, y)


@pytest.mark.parametrize(
    ("estimator", "space"),
    [
        (PIPELINE, {"model": [LogisticRegression(max_iter=500)], "model__fit_intercept": [True]}),
        (PIPELINE, {"steps": [[("other", SVC())]], "other__C": [1]}),
        (PIPELINE, {"scale": ["passthrough", None]}),
    ],
)
def test_parameters_of_what_is_searched_are_taken(estimator, space):
    assert SearchCV(estimator, space, cv=2, error_score="raise").fit(X, y).best_score_ > 0.9


def by_name(rows):
    return rows[["x0", "x1"]]


@pytest.mark.parametrize("engine", [1, "processes:1"])
def test_workers_have_scikit_learns_settings_of_who_searches(engine):
    steps = make_pipeline(StandardScaler(), FunctionTransformer(by_name), SVC())
    rows = pd.DataFrame(X, columns=["x0", "x1", "x2", "x3"])
    with config_context(transform_output="pandas"):
        search = SearchCV(steps, {"svc__C": [1.0]}, cv=2, engine=engine, error_score="raise").fit(rows, y)
        _, scores = validation_curve(
            steps, rows, y, param_name="svc__C", param_range=[1.0], cv=2, engine=engine
        )
    assert search.best_score_ == scores.mean() > 0.7


def test_a_stored_search_says_that_it_has_no_data():
    stored = pickle.loads(pickle.dumps(SearchCV(SVC(), GRID, cv=2).fit(X, y)))
    with pytest.raises(PlanError, match="a copy of a search does not contain it"):
        stored.handle_.job  # noqa: B018
