"""Evaluation of a candidate on a split, on any worker.

::

    SearchJob (estimator, scorers, splits, data) ── shared once ──► cached by every process
    Assignment (evaluation, params) ── small ──► fit and score on rows by index ──► Outcome: scores, or the error

All processes of a host map one copy of the data; a split is two arrays of row indices. An exception of a candidate is
returned in its outcome, so a candidate that cannot be fitted does not end the search.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.utils import get_tags

from manymill.engine.base import Engine
from manymill.engine.shared_arrays import SharedArrays, share, worth_sharing
from manymill.engine.spool import Ref
from manymill.search.events import Evaluation
from manymill.search.sklearn_private import select_rows, split_rows

# Minimum number of test rows with halving. The standard error of an accuracy is then about 1 %, and 0.5 % over several
# splits: enough to separate the better candidates from the others.
MIN_TEST_ROWS = 1000

# Jobs that a process caches: the current one, and the next that may follow it.
_CACHED_JOBS = 2

_NUMPY_TYPES = (np.ndarray, np.memmap)

Scorers = Mapping[str, Callable[..., float]]
Rows = NDArray[np.intp]


def subsample(rows: Rows, n_rows: int, codes: Rows | None = None) -> Rows:
    """A subset of ``n_rows`` of the rows, chosen by a fixed shuffle; all rows if there are no more.

    Rows are shuffled because a file may be sorted by class. Larger subsets contain the smaller ones, and a subset keeps
    the order of its rows. With `codes`, the class of every row of the data, a subset has at least one row of each class
    as far as ``n_rows`` allows: most classifiers cannot be fitted to one class.
    """
    rows = np.asarray(rows)
    if n_rows >= len(rows):
        return rows
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    if codes is not None:
        order = _each_class_first(order, codes[rows[order]])
    return rows[np.sort(order[:n_rows])]


def _each_class_first(order: Rows, codes: Rows) -> Rows:
    """The order with the first row of each class moved to the front."""
    first = np.full(int(codes.max(initial=-1)) + 1, -1, np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several assignments the last one counts
    front = np.sort(first[first >= 0])
    return np.concatenate([order[front], np.delete(order, front)])


def current_config() -> dict[str, Any]:
    """scikit-learn's configuration in this thread."""
    config: dict[str, Any] = get_config()
    return config


@dataclass(slots=True)
class SearchJob:
    """What all evaluations of a search have in common.

    Attributes
    ----------
    estimator : estimator
        With the parameters that are not searched.
    data : dict
        ``"X"``, ``"y"`` unless it is None, and parameters of fit and scorers with a value for each row.
    splits : list of (train, test)
        Row indices.
    scorers : mapping of str to callable
    fit_params : dict
        Parameters of fit that are not split by row.
    by_row : tuple of str
        Names in `data` of the parameters of fit that are split by row.
    scoring : mapping
        For each scorer, the name in `data` of each of its parameters.
    resource : str
        ``"rows"``, or the parameter of the estimator that is the resource of halving.
    train_scores : bool
        Whether training rows are scored as well.
    timeout : float or None
        Seconds that an evaluation may take.
    text : TextFitter or None
        Fits to texts that were hashed once; see `manymill.search.text`.
    metric : str
        The metric that ranks candidates; a scorer that returns several must include it.
    raises : bool
        Whether an exception of a candidate ends the search.
    config : dict
        scikit-learn's configuration of the thread that started the search; every thread has its own.
    codes : ndarray of int, shape (n_rows,), or None
        The class of each row; computed when a process first needs it.
    """

    estimator: Any
    data: dict[str, Any]
    splits: list[tuple[Rows, Rows]]
    scorers: Scorers
    fit_params: dict[str, Any] = field(default_factory=dict)
    by_row: tuple[str, ...] = ()
    scoring: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    resource: str = "rows"
    train_scores: bool = False
    timeout: float | None = None
    text: Any = None
    metric: str = "score"
    raises: bool = False
    config: dict[str, Any] = field(default_factory=current_config)
    codes: Rows | None = None


@dataclass(frozen=True, slots=True)
class JobReference:
    """A picklable reference to a shared job, from which any process can load it."""

    token: str
    job: Ref | None  # the pickled job without its large arrays; None if the workers are threads
    arrays: SharedArrays | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """An evaluation with the job and the parameters of its candidate: what a worker needs."""

    job: JobReference
    task: Evaluation
    params: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the evaluation in error messages."""
        resource = "" if self.task.resource is None else f" with {self.task.resource:,}"
        return f"candidate {self.task.trial} on split {self.task.split}{resource}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of an evaluation; `error` is empty if it succeeded."""

    scores: Mapping[str, float] = field(default_factory=dict)
    train_scores: Mapping[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    n_rows: int = 0
    worker: str = ""
    error: str = ""
    traceback: str = ""


def share_job(engine: Engine, job: SearchJob, token: str) -> JobReference:
    """Share a job with all workers; its arrays are copied once, for any number of processes.

    Raises
    ------
    EngineError
        If the job cannot be pickled or written.
    """
    if engine.shares_memory:
        _cache(token, job)
        return JobReference(token, None, None)
    large = {name: array for name, array in job.data.items() if worth_sharing(array)}
    for index, (train, test) in enumerate(job.splits):
        large |= {f"train {index}": train, f"test {index}": test}
    small = {name: value for name, value in job.data.items() if name not in large}
    import cloudpickle

    content = cloudpickle.dumps(replace(job, data=small, splits=[], codes=None))
    return JobReference(
        token, engine.publish({"job": np.frombuffer(content, np.uint8)}), share(engine, large)
    )


def withdraw_job(engine: Engine, reference: JobReference) -> None:
    """Free a shared job."""
    with _lock:
        _jobs.pop(reference.token, None)
    if reference.job is not None:
        engine.withdraw(reference.job)
    if reference.arrays is not None:
        reference.arrays.close()


def evaluate(assignment: Assignment) -> Outcome:
    """Fit and score a candidate; an exception is returned as the outcome, unless the job raises."""
    job, task = _load_job(assignment.job), assignment.task
    worker = f"{os.getpid()}.{threading.get_ident() % 10_000:04}"
    started = time.perf_counter()
    try:
        with configured(job.config), _time_limit(job.timeout):
            fit = _fit(job, task, assignment.params)
            fit_seconds = time.perf_counter() - started
            scores = _score(job, fit.estimator, fit.X, fit.y, fit.test)
            train_scores = {}
            if job.train_scores:
                train_scores = _score(job, fit.estimator, fit.train_X, fit.train_y, fit.train)
    except (Exception, SystemExit) as error:  # a candidate that calls sys.exit() has also failed
        if job.raises:
            raise
        last = traceback.format_exception_only(error)[-1].strip()
        text = "".join(traceback.format_exception(error))
        return Outcome(worker=worker, error=last, traceback=text, fit_seconds=time.perf_counter() - started)
    seconds = time.perf_counter() - started
    if job.timeout is not None and seconds > job.timeout:
        message = f"took {seconds:.1f} s, more than timeout={job.timeout:g}"
        if job.raises:
            raise TimeoutError(message)
        error_line = f"TimeoutError: {message}"
        return Outcome(worker=worker, error=error_line, traceback=error_line, fit_seconds=fit_seconds)
    return Outcome(scores, train_scores, fit_seconds, seconds - fit_seconds, len(fit.train), worker)


def predict_test_rows(assignment: Assignment) -> NDArray[np.float64] | str:
    """Fit a candidate and predict the test rows of its split; a string is the error of a failed fit.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_classes) or (n_rows, 1)
        Probabilities of all classes of the data, or values of a regressor.
    """
    job = _load_job(assignment.job)
    try:
        with configured(job.config):
            fit = _fit(job, assignment.task, assignment.params)
            if not is_classifier(fit.estimator):
                return np.asarray(fit.estimator.predict(fit.X), np.float64).reshape(-1, 1)
            classes = np.unique(job.text.y if job.text is not None else job.data["y"])
            probabilities = np.zeros((len(job.splits[assignment.task.split][1]), len(classes)))
            columns = np.searchsorted(classes, fit.estimator.classes_)
            probabilities[:, columns] = fit.estimator.predict_proba(fit.X)
            return probabilities
    except (Exception, SystemExit) as error:
        return traceback.format_exception_only(error)[-1].strip()


def clone_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a candidate, estimators among them cloned."""
    return {name: clone(value, safe=False) for name, value in params.items()}


@dataclass(slots=True)
class _Fit:
    """A fitted candidate, its test data, its training data if training scores are requested, and row indices."""

    estimator: Any
    X: Any
    y: Any
    train_X: Any
    train_y: Any
    train: Rows
    test: Rows


def _fit(job: SearchJob, task: Evaluation, params: Mapping[str, Any]) -> _Fit:
    train, test = job.splits[task.split]
    candidate = clone_params(params)
    if task.resource is not None and job.resource == "rows":
        if task.resource < len(train):
            codes = _class_codes(job)
            train = subsample(train, task.resource, codes)
            test = subsample(test, max(MIN_TEST_ROWS, task.resource), codes)
    elif task.resource is not None:
        candidate[job.resource] = task.resource
    if job.text is not None:
        texts, labels = job.text.texts, job.text.y
        estimator = job.text.fit(candidate, train)
        return _Fit(estimator, texts[test], labels[test], texts[train], labels[train], train, test)
    estimator = clone(job.estimator).set_params(**candidate)
    X, y = job.data["X"], job.data.get("y")
    train_X, train_y = _split(estimator, X, y, train)
    fit_params = {name: _select(job.data[name], train) for name in job.by_row}
    labels = () if train_y is None else (train_y,)
    estimator.fit(train_X, *labels, **fit_params, **job.fit_params)
    if not job.train_scores:  # free these copies before the test rows are copied
        train_X, train_y, labels, fit_params = None, None, (), {}
    test_X, test_y = _split(estimator, X, y, test, train)
    return _Fit(estimator, test_X, test_y, train_X, train_y, train, test)


def _class_codes(job: SearchJob) -> Rows | None:
    """The class of each row as an integer; None for regression and several outputs."""
    if job.codes is None and is_classifier(job.estimator):
        labels = np.asarray(job.text.y if job.text is not None else job.data.get("y"))
        if labels.ndim == 1:
            job.codes = np.unique(labels, return_inverse=True)[1]
    return job.codes


def _split(estimator: Any, X: Any, y: Any, rows: Rows, train: Rows | None = None) -> tuple[Any, Any]:
    """Some rows of the data; of a pairwise matrix also the columns of the training rows."""
    if type(X) in _NUMPY_TYPES and not get_tags(estimator).input_tags.pairwise:
        return X[rows], None if y is None else _select(y, rows)
    split: tuple[Any, Any] = split_rows(estimator, X, y, rows, train)
    return split


def _select(values: Any, rows: Rows) -> Any:
    """Some rows of an array, data frame, sparse matrix or list.

    NumPy arrays are indexed directly: scikit-learn takes 0.1 ms to find out of which library an array is.
    """
    return values[rows] if type(values) in _NUMPY_TYPES else select_rows(values, rows)


def _score(job: SearchJob, estimator: Any, X: Any, y: Any, rows: Rows) -> dict[str, float]:
    """All metrics on some rows."""
    data = (estimator, X) if y is None else (estimator, X, y)
    scores: dict[str, float] = {}
    for name, scorer in job.scorers.items():
        params = {param: _select(job.data[key], rows) for param, key in job.scoring.get(name, {}).items()}
        result = scorer(*data, **params)
        scores |= result if isinstance(result, Mapping) else {name: result}
    if job.metric not in scores:
        raise ValueError(
            f"refit={job.metric!r} is not a metric of the scorer, which returns {', '.join(scores)}"
        )
    return {name: float(score) for name, score in scores.items()}


@contextmanager
def configured(config: dict[str, Any]) -> Iterator[None]:
    """Apply a configuration of scikit-learn within the block."""
    if config == current_config():
        yield
        return
    with config_context(**config):
        yield


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise ``TimeoutError`` in the block after ``seconds``, if this is a main thread and the system has timers."""
    has_timer = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or seconds > threading.TIMEOUT_MAX or not has_timer:
        yield
        return

    def on_alarm(number: int, frame: Any) -> None:
        raise TimeoutError(f"took longer than timeout={seconds:g} s")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, max(float(seconds), math.ulp(1.0)))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


_jobs: OrderedDict[str, SearchJob] = OrderedDict()
_lock = threading.Lock()


def _cache(token: str, job: SearchJob) -> SearchJob:
    with _lock:
        _jobs[token] = job
        _jobs.move_to_end(token)
        while len(_jobs) > _CACHED_JOBS:
            _jobs.popitem(last=False)
    return job


def _load_job(reference: JobReference) -> SearchJob:
    with _lock:
        if reference.token in _jobs:
            return _jobs[reference.token]
    assert reference.job is not None
    assert reference.arrays is not None
    # Published by the driver of this search, so that it is safe to unpickle.
    job: SearchJob = pickle.loads(reference.job.load()["job"].tobytes())
    arrays = reference.arrays.load()
    while (train := arrays.pop(f"train {len(job.splits)}", None)) is not None:
        job.splits.append((train, arrays.pop(f"test {len(job.splits)}")))
    job.data = {**job.data, **arrays}
    return _cache(reference.token, job)
