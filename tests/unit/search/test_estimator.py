"""SearchCV compared with scikit-learn's searches, and what it adds to them."""

import asyncio
import json
import math
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from manymill import SearchCV
from manymill.errors import PlanError, RunFolderError, SettingsError
from manymill.search.estimator import FailedCandidatesWarning
from manymill.search.journal import read_status, request_abort
from manymill.storage.journal import encode_line

X, y = load_iris(return_X_y=True)
GRID = {"C": [0.01, 1, 100], "gamma": [0.001, 0.1]}


class Told(ClassifierMixin, BaseEstimator):
    """Scores its parameter `score`; fails, or waits, on request."""

    def __init__(self, score=0.5, fails=False, wait=None):
        self.score_, self.score, self.fails, self.wait = score, score, fails, wait

    def fit(self, X, y, sample_weight=None):
        if self.fails:
            raise ValueError("a requested failure")
        if self.wait is not None:
            self.wait.wait(20)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X))


class Gate(threading.Event):
    """The same one in every clone of an estimator."""

    def __deepcopy__(self, memo):
        return self


class GivenScore(Told):
    def score(self, X, y):
        return self.score_


class Hurried(GivenScore):
    """Takes long enough for a cluster to grow meanwhile."""

    def fit(self, X, y):
        threading.Event().wait(0.08)
        return super().fit(X, y)


class Endless(GivenScore):
    """Never ends a fit, and says that it is in one."""

    def __init__(self, said="", n=0):
        super().__init__()
        self.said, self.n = said, n

    def fit(self, X, y):
        Path(self.said).touch()
        threading.Event().wait()


def given_score(estimator, X, y):
    return estimator.get_params()["score"]


@pytest.mark.parametrize("engine", [1, 2])
@pytest.mark.parametrize(
    "space", [GRID, [{"C": [1, 10]}, {"kernel": ["linear"], "C": [0.1]}, {"shrinking": [True, False]}]]
)
def test_the_results_are_those_of_scikit_learns_grid_search(engine, space):
    theirs = GridSearchCV(SVC(), space, cv=3, return_train_score=True).fit(X, y)
    ours = SearchCV(SVC(), space, cv=3, engine=engine, return_train_score=True).fit(X, y)
    assert set(theirs.cv_results_) <= set(ours.cv_results_)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    for key in theirs.cv_results_:
        if "score" in key and "time" not in key:
            np.testing.assert_allclose(ours.cv_results_[key], theirs.cv_results_[key])
        elif key.startswith("param_"):
            assert ours.cv_results_[key].tolist() == theirs.cv_results_[key].tolist()
            assert ours.cv_results_[key].dtype == theirs.cv_results_[key].dtype
    assert (ours.best_index_, ours.best_score_) == (theirs.best_index_, theirs.best_score_)
    assert ours.predict(X).tolist() == theirs.predict(X).tolist()
    assert ours.score(X, y) == theirs.score(X, y)


def test_processes_give_what_threads_give():
    searches = [SearchCV(SVC(), GRID, cv=3, engine=engine).fit(X, y) for engine in (1, "processes:2")]
    tables = [
        dict(zip(map(str, s.cv_results_["params"]), s.cv_results_["mean_test_score"], strict=True))
        for s in searches
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    "cv", [StratifiedKFold(4), TimeSeriesSplit(3), [(np.arange(100), np.arange(100, 150))]]
)
def test_any_splitter_is_taken(cv):
    rows = np.random.default_rng(0).permutation(150)
    ours = SearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-2]}, cv=cv).fit(X[rows], y[rows])
    theirs = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-2]}, cv=cv).fit(X[rows], y[rows])
    assert ours.best_score_ == theirs.best_score_


def test_groups_are_for_the_splitter_and_weights_for_the_fit():
    groups, weights = np.arange(150) % 5, np.linspace(1, 2, 150)
    space = {"C": [0.1, 10]}
    ours = SearchCV(SVC(), space, cv=GroupKFold(5)).fit(X, y, groups=groups, sample_weight=weights)
    theirs = GridSearchCV(SVC(), space, cv=GroupKFold(5)).fit(X, y, groups=groups, sample_weight=weights)
    np.testing.assert_allclose(ours.best_score_, theirs.best_score_)


@pytest.mark.parametrize("engine", [1, "processes:2"])
def test_sparse_matrices_and_lists_are_split_by_index(engine):
    rows = sparse.csr_matrix(X)
    found = SearchCV(LogisticRegression(max_iter=500), {"C": [1.0, 2.0]}, cv=3, engine=engine).fit(
        rows, y.tolist()
    )
    assert found.best_score_ > 0.9


def test_several_metrics_are_in_the_table_and_one_decides():
    options = {"cv": 3, "scoring": ["accuracy", "f1_macro"], "refit": "f1_macro"}
    ours, theirs = (kind(SVC(), GRID, **options).fit(X, y) for kind in (SearchCV, GridSearchCV))
    assert ours.best_score_ == theirs.best_score_
    assert {"mean_test_accuracy", "rank_test_f1_macro"} <= set(ours.cv_results_)


def test_several_metrics_of_which_none_decides_are_refused():
    with pytest.raises(
        SettingsError, match=r"refit=True is invalid: expected the metric .*'accuracy' or 'f1_macro'"
    ):
        SearchCV(SVC(), GRID, scoring=["accuracy", "f1_macro"]).fit(X, y)


def test_the_same_seed_and_one_worker_give_the_same_search():
    space = {"C": stats.loguniform(1e-2, 1e2), "gamma": stats.loguniform(1e-3, 1)}
    runs = [SearchCV(SVC(), space, n_trials=6, cv=3, engine=1, random_state=4).fit(X, y) for _ in range(2)]
    tasks = [[getattr(event, "task", None) for event in run.handle_.log] for run in runs]
    assert tasks[0] == tasks[1]
    assert runs[0].cv_results_["params"] == runs[1].cv_results_["params"]


def test_draws_are_truly_random_and_never_repeat_a_point_of_a_grid():
    search = SearchCV(
        GivenScore(), {"score": [i / 100 for i in range(100)]}, n_trials=60, cv=2, scoring=given_score
    )
    scores = [params["score"] for params in search.fit(X, y).handle_.policy.params.values()]
    assert len(set(scores)) == 60
    assert scores != sorted(scores)


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_optunas_samplers_search_by_name(sampler):
    pytest.importorskip("optuna")
    space = {"C": stats.loguniform(1e-2, 1e2), "kernel": ["rbf", "linear"]}
    search = SearchCV(SVC(), space, n_trials=6, sampler=sampler, cv=2, engine=1).fit(X, y)
    assert len(search.cv_results_["params"]) == 6
    assert search.best_score_ > 0.9


def test_a_study_of_optuna_is_kept_where_its_dashboard_finds_it(tmp_path):
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path / 'search.db'}"
    space = {"C": stats.loguniform(1e-2, 1e2)}
    SearchCV(SVC(), space, n_trials=4, sampler="tpe", cv=2, engine=1, storage=url).fit(X, y)
    (study,) = optuna.get_all_study_summaries(url)
    assert study.n_trials == 4
    assert study.best_trial.value > 0.9


def test_workers_that_join_a_cluster_are_made_use_of():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        space = {"score": [i / 40 for i in range(40)]}
        handle = SearchCV(Hurried(), space, cv=2, scoring=given_score, refit=False, engine=client).start(X, y)
        assert handle.progress().total == 80
        cluster.scale(3)
        client.wait_for_workers(3)
        widths = set()
        while not handle.wait(0.05):
            widths.add(handle.policy.rules.width)
    assert handle.progress().done == 80
    assert 6 in widths


def test_halving_gives_the_best_more_rows_and_finds_the_best():
    digits, labels = load_digits(return_X_y=True)
    space = {"gamma": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], "C": [1, 10]}
    found = SearchCV(SVC(), space, cv=2, halving=True, min_resource=100, engine=2).fit(
        digits[:600], labels[:600]
    )
    resources = found.cv_results_["n_resources"]
    assert set(resources) == {100, 300}
    assert found.best_params_["gamma"] == 1e-3
    assert found.cv_results_["iter"][found.best_index_] == max(found.cv_results_["iter"])


def test_halving_may_be_by_a_parameter():
    found = SearchCV(
        DecisionTreeClassifier(random_state=0), {"min_samples_leaf": list(range(1, 10))}, cv=2, halving=True,
        resource="max_depth", min_resource=1, max_resource=9,
    ).fit(X, y)  # fmt: skip
    assert set(found.cv_results_["n_resources"]) <= {1, 3, 9}
    assert "max_depth" not in found.best_params_


def test_a_candidate_that_fails_is_told_and_the_others_are_ranked():
    search = SearchCV(GivenScore(), {"fails": [False, True], "score": [0.1, 0.9]}, cv=3, scoring=given_score)
    with pytest.warns(FailedCandidatesWarning, match="6 of 12 evaluations failed.*a requested failure"):
        search.fit(X, y)
    assert search.best_params_ == {"fails": False, "score": 0.9}
    failures = search.handle_.failures()
    assert len(failures) == 6
    assert "a requested failure" in failures[0].traceback
    assert [row.rank for row in search.handle_.ranking()] == [1, 2, 3, 3]
    assert math.isnan(search.handle_.ranking()[-1].mean)


def test_where_all_fail_the_reason_is_told():
    with pytest.raises(
        PlanError, match="all 3 evaluations failed, the first with ValueError: a requested failure"
    ):
        SearchCV(GivenScore(fails=True), {"score": [0.1]}, cv=3, scoring=given_score).fit(X, y)


def test_failures_may_have_a_score_in_the_table():
    search = SearchCV(GivenScore(), {"fails": [False, True]}, cv=2, scoring=given_score, error_score=-1.0)
    with pytest.warns(FailedCandidatesWarning):
        search.fit(X, y)
    assert sorted(search.cv_results_["mean_test_score"]) == [-1.0, 0.5]


@pytest.mark.parametrize("engine", [1, "processes:1"])
def test_an_evaluation_that_takes_too_long_has_failed(engine):
    search = SearchCV(KNeighborsClassifier(), {"n_neighbors": [1]}, cv=2, timeout=1e-6, engine=engine)
    with pytest.raises(PlanError, match="timeout=1e-06"):
        search.fit(X, y)


def test_ten_thousand_tasks_start_within_a_second_and_an_abort_keeps_the_books():
    search = SearchCV(
        GivenScore(), {"score": list(range(5000))}, n_trials=5000, cv=2, scoring=given_score, engine=2
    )
    started = time.monotonic()
    handle = search.start(X, y)
    assert time.monotonic() - started < 1
    while not handle.progress().done:
        handle.wait(0.01)
    handle.abort()
    assert handle.wait(20)
    progress = handle.progress()
    assert progress.total == progress.done + progress.cancelled == 10_000
    assert progress.ended == "aborted"
    assert handle.best_so_far() is not None
    assert search.best_params_ == dict(handle.ranking()[0].params) or not math.isnan(
        search.cv_results_["mean_test_score"][search.best_index_]
    )


def test_an_abort_at_once_waits_for_no_evaluation_of_a_process(tmp_path):
    estimator = Endless(said=str(tmp_path / "begun"))
    search = SearchCV(estimator, {"n": [1, 2]}, cv=2, scoring=given_score, engine="processes:1")
    handle = search.start(X, y)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        handle.wait(0.05)
    handle.abort(now=True)
    assert handle.wait(60)
    progress = handle.progress()
    assert (progress.cancelled, progress.running, progress.ended) == (4, 0, "aborted")


def test_a_running_search_is_watched_from_outside():
    gate = Gate()
    handle = SearchCV(
        GivenScore(wait=gate), {"score": [0.2, 0.8]}, cv=2, scoring=given_score, engine=1
    ).start(X, y)
    assert handle.wait(0.2) is False
    assert handle.progress().running >= 1
    assert handle.best_so_far() is None
    assert "<table>" in handle._repr_html_()
    gate.set()
    assert handle.wait(20)
    assert "1  0.8000 +/- 0.0000 (2/2)  score=0.8" in str(handle)


def test_a_handle_can_be_awaited():
    async def search():
        handle = SearchCV(SVC(), GRID, cv=2).start(X, y)
        return await handle

    assert asyncio.run(search()).progress().done == 12


@pytest.mark.parametrize(
    ("options", "n_done"),
    [({"max_evaluations": 5}, 5), ({"seconds": 1e-9}, 0)],
)
def test_a_budget_ends_the_search(options, n_done):
    search = SearchCV(
        GivenScore(), {"score": [0.1, 0.2, 0.3]}, cv=4, scoring=given_score, refit=False, engine=1, **options
    )
    handle = search.start(X, y)
    handle.wait()
    progress = handle.progress()
    assert progress.done <= max(n_done, 2) if n_done == 0 else progress.done == n_done
    assert progress.done + progress.cancelled == progress.total == 12


def test_a_search_whose_journal_was_cut_goes_on_and_repeats_nothing(tmp_path):
    whole = SearchCV(SVC(), GRID, cv=3, engine=1, run=tmp_path / "run").fit(X, y)
    lines = (tmp_path / "run" / "search.jsonl").read_bytes().splitlines(keepends=True)
    for cut in range(1, len(lines), 3):
        torn = lines[cut][: len(lines[cut]) // 2]
        (tmp_path / "run" / "search.jsonl").write_bytes(b"".join(lines[:cut]) + torn)
        again = SearchCV(SVC(), GRID, cv=3, engine=1, run=tmp_path / "run").fit(X, y)
        records = [json.loads(line) for line in (tmp_path / "run" / "search.jsonl").read_bytes().splitlines()]
        done = [tuple(r["task"].items()) for r in records if r["event"] == "Evaluated"]
        assert len(done) == len(set(done)) == 18
        assert [row.params for row in again.handle_.ranking()] == [
            row.params for row in whole.handle_.ranking()
        ]


@pytest.mark.parametrize(
    ("damage", "told_of"),
    [
        (lambda lines: lines[:1] + lines[2:], "found candidate 1, expected candidate 0"),
        (lambda lines: [*lines, lines[-2]], "has ended before"),
        (lambda lines: lines[:1] + lines[-2:], "was not proposed"),
        (
            lambda lines: [*lines[:-2], lines[-2].replace(b'"split": ', b'"split": 9')],
            "the search does not have Evaluation",
        ),
        (
            lambda lines: [*lines[:-2], lines[-2].replace(b'"score"', b'"scare"')],
            "the score 'score' is missing",
        ),
        (lambda lines: [*lines[:-2], lines[-2].replace(b'"rung"', b'"rang"')], "cannot parse it"),
    ],
)
@pytest.mark.parametrize(
    "look", [lambda search, folder: search.start(X, y), lambda _, folder: read_status(folder)]
)
def test_a_damaged_line_of_a_journal_is_told_before_anything_runs(tmp_path, damage, told_of, look):
    search = SearchCV(SVC(), GRID, cv=2, engine=1, run=tmp_path).fit(X, y)
    lines = (tmp_path / "search.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "search.jsonl").write_bytes(b"".join(map(with_checksum, damage(lines))))
    with pytest.raises(RunFolderError, match=f"line [0-9]+ is invalid: .*{told_of}"):
        look(search, tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{}, {"rungs": []}, {"rungs": "all"}, {"n_splits": 0}, {"n_trials": "2"}, {"eta": 0}, {"metric": None}],
    ids=str,
)
def test_impossible_settings_of_a_journal_are_told_to_who_watches(tmp_path, settings):
    SearchCV(SVC(), GRID, cv=2, engine=1, run=tmp_path).fit(X, y)
    first, *lines = (tmp_path / "search.jsonl").read_bytes().splitlines(keepends=True)
    record = json.loads(first)
    record["settings"] = {**record["settings"], **settings} if settings else {}
    (tmp_path / "search.jsonl").write_bytes(b"".join([with_checksum(json.dumps(record).encode()), *lines]))
    with pytest.raises(RunFolderError, match="line 1: these are not the settings of a search"):
        read_status(tmp_path)


def with_checksum(line):
    """The line of a hostile journal: whatever it holds, its checksum is right."""
    record = json.loads(line)
    del record["check"]
    return encode_line(record)


@pytest.mark.parametrize(
    "look", [lambda search, folder: search.start(X, y), lambda _, folder: read_status(folder)]
)
def test_a_score_that_was_changed_by_hand_is_refused_and_evaluated_again_once_its_line_is_removed(
    tmp_path, look
):
    search = SearchCV(SVC(), GRID, cv=2, engine=1, run=tmp_path).fit(X, y)
    best, path = search.best_params_, tmp_path / "search.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if '"Evaluated"' in line)
    record = json.loads(lines[number])
    record["scores"]["score"] = 9.9
    lines[number] = json.dumps(record) + "\n"
    path.write_text("".join(lines))
    with pytest.raises(RunFolderError, match=f"line {number + 1}: it does not match its checksum") as refusal:
        look(search, tmp_path)
    assert f"remove line {number + 1}" in refusal.value.hint
    del lines[number]
    path.write_text("".join(lines))
    assert search.fit(X, y).best_params_ == best


def test_a_journal_of_an_older_version_is_refused_with_the_reason(tmp_path):
    (tmp_path / "search.jsonl").write_text(
        '{"event": "Search", "format": "manymill-search", "settings": {}}\n'
    )
    with pytest.raises(RunFolderError, match="line 1: it has no checksum: an older version"):
        SearchCV(SVC(), GRID, cv=2, engine=1, run=tmp_path).start(X, y)


def test_a_search_of_distributions_goes_on_with_others_that_say_the_same(tmp_path):
    def search(high):
        # scipy's have no repr but an address: made anew as in another process.
        space = {"C": stats.loguniform(1e-3, high), "gamma": stats.uniform(0.1, scale=0.2)}
        return SearchCV(SVC(), space, n_trials=2, cv=2, engine=1, run=tmp_path).fit(X, y)

    first, size = search(1e3), (tmp_path / "search.jsonl").stat().st_size
    assert search(1e3).best_params_ == first.best_params_
    assert (tmp_path / "search.jsonl").stat().st_size < size + 100
    with pytest.raises(RunFolderError, match="distributions"):
        search(1e2)


def test_a_search_that_is_over_is_read_from_its_journal(tmp_path):
    first = SearchCV(SVC(), GRID, cv=3, run=tmp_path).fit(X, y)
    size = (tmp_path / "search.jsonl").stat().st_size
    second = SearchCV(SVC(), GRID, cv=3, run=tmp_path).fit(X, y)
    assert second.best_params_ == first.best_params_
    assert (tmp_path / "search.jsonl").stat().st_size < size + 100


@pytest.mark.parametrize(
    ("changes", "told_of"), [({"cv": 4}, "splits"), ({"estimator": SVC(degree=2)}, "estimator")]
)
def test_another_search_is_not_gone_on_with(tmp_path, changes, told_of):
    options = {"estimator": SVC(), "distributions": GRID, "cv": 3, "run": tmp_path}
    SearchCV(**options).fit(X, y)
    with pytest.raises(RunFolderError, match=f"other .*{told_of}"):
        SearchCV(**{**options, **changes}).fit(X, y)


def test_a_full_disk_ends_the_search_and_leaves_what_another_goes_on_with(tmp_path):
    space = {"C": [10.0**n for n in range(-3, 5)]}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limit[1]))
        handle = SearchCV(SVC(), space, cv=3, run=tmp_path, engine=1).start(X, y)
        with pytest.raises(RunFolderError, match=r"cannot write to .*search\.jsonl"):
            assert not handle.wait(20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert SearchCV(SVC(), space, cv=3, run=tmp_path, engine=1).fit(X, y).handle_.progress().done == 24


def test_another_process_may_end_a_search(tmp_path):
    gate = Gate()
    search = SearchCV(
        GivenScore(wait=gate),
        {"score": [i / 9 for i in range(9)]},
        cv=2,
        scoring=given_score,
        engine=1,
        run=tmp_path,
        refit=False,
    )
    handle = search.start(X, y)
    while not handle.progress().running:
        handle.wait(0.01)
    request_abort(tmp_path)
    while not any(type(event).__name__ == "Aborted" for event in handle.log):
        handle.wait(0.05)
    gate.set()
    handle.wait(20)
    assert handle.progress().ended == "aborted"


def test_a_wish_to_end_is_seen_however_fast_results_come(tmp_path):
    space = {"score": [i / 20_000 for i in range(20_000)]}
    search = SearchCV(
        GivenScore(), space, n_trials=20_000, cv=2, scoring=given_score, engine=1, run=tmp_path, refit=False
    )
    handle = search.start(X, y)
    while not handle.progress().done:
        handle.wait(0.001)
    request_abort(tmp_path)
    assert handle.wait(60)
    assert (handle.progress().ended, handle.progress().cancelled > 0) == ("aborted", True)
    assert not (tmp_path / "abort").exists()


def test_it_stands_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), SearchCV(SVC(), GRID, cv=2))
    assert pipeline.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize(
    ("options", "told_of"),
    [
        ({"distributions": {"C": "rbf"}}, "C='rbf' is invalid: expected a list"),
        ({"distributions": {"C": []}}, r"C=\[\] is invalid: expected a list of one or more values"),
        ({"distributions": []}, r"distributions=\[\] is invalid"),
        ({"n_trials": 0}, "n_trials=0"),
        ({"eta": 1, "halving": True}, "eta=1"),
        ({"seconds": -1}, "seconds=-1"),
        ({"halving": True, "resource": "depth"}, "resource='depth' is invalid"),
        ({"halving": True, "min_resource": 50, "max_resource": 10}, "min_resource=50 is invalid: .* from 1 to 10"),
        ({"sampler": "annealing"}, "sampler='annealing' is invalid: expected 'auto'"),
        ({"sampler": "grid", "distributions": {"C": stats.uniform(0, 1)}}, "'grid' cannot search distributions"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_before_anything_runs(options, told_of):
    pytest.importorskip("optuna")
    with pytest.raises(SettingsError, match=told_of):
        SearchCV(**{"estimator": SVC(), "distributions": GRID, **options}).start(X, y)


@pytest.mark.parametrize("kernel", ["precomputed", "rbf"])
def test_rows_are_taken_as_scikit_learn_takes_them(kernel):
    space = {"kernel": [kernel], "C": [0.5, 5]}
    data = X @ X.T
    ours, theirs = (kind(SVC(), space, cv=3).fit(data, y) for kind in (SearchCV, GridSearchCV))
    for split in range(3):
        column = f"split{split}_test_score"
        assert sorted(ours.cv_results_[column]) == sorted(theirs.cv_results_[column])
