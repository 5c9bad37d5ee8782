"""One task of a search: a candidate fitted on some rows and scored on others, on whatever worker.

::

    Job (estimator, scorers, splits, data) ── shared once ──► every process keeps it
    Assignment (task, params) ── small ──► fit on rows by index, score ──► Outcome, or the error

Data is one copy, mapped by all processes of a host; a split is a list of row numbers. What an evaluation raises is told
as its outcome: one candidate that cannot be fitted ends no search.

Some of the rows of a split, for candidates that are to be told apart cheaply.
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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.engine.base import Engine
from manymill.engine.shared_arrays import SharedArrays, share, worth_sharing
from manymill.engine.spool import Ref
from manymill.search.events import Task

# The accuracy on so many has a standard error of a point, over several splits of half a point: enough to tell the
# better candidates from the others.
LEAST_TEST_ROWS = 1000


def prefix(rows: NDArray[np.intp], n_rows: int, codes: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
    """The first ``n_rows`` of the rows in an order that mixes them; all rows as they are if there are no more.

    A file may be sorted by class, so a prefix of the rows as they stand would hold one class. Greater prefixes contain
    the smaller ones, and their rows keep the order in which they stand. With the `codes` of the classes of all rows
    there is one row of each class at least, as far as there is room: most classifiers cannot be fitted to one class.
    """
    rows = np.asarray(rows)
    if n_rows >= len(rows):
        return rows
    mixed = np.random.default_rng(len(rows)).permutation(len(rows))
    if codes is not None:
        mixed = _each_class_first(mixed, codes[rows[mixed]])
    return rows[np.sort(mixed[:n_rows])]


def _each_class_first(mixed: NDArray[np.intp], codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """An order that begins with the first row of each class; the others follow as they stood."""
    met = np.full(int(codes.max(initial=-1)) + 1, -1, np.intp)
    met[codes[::-1]] = np.arange(len(codes))[::-1]  # of several, the one that is written last stays
    ahead = np.sort(met[met >= 0])
    return np.concatenate([mixed[ahead], np.delete(mixed, ahead)])


# Searches whose data a process keeps: one is at work, and another may follow it.
_JOBS = 2

# Arrays whose rows are simply taken.
_NUMPYS = (np.ndarray, np.memmap)

Scorers = Mapping[str, Callable[..., float]]


def config_here() -> dict[str, Any]:
    """scikit-learn's settings in this thread."""
    from sklearn import get_config

    config: dict[str, Any] = get_config()
    return config


@dataclass(slots=True)
class Job:
    """All that the evaluations of a search have in common.

    Attributes
    ----------
    estimator : estimator
        With the parameters that are not searched.
    data : mapping of str to object
        ``X``, ``y`` and those of the fit parameters that have one value for each row.
    splits : list of (ndarray of int, ndarray of int)
        Rows to fit on and to score on.
    scorers : mapping of str to callable
    fit_params : mapping
        What is not by row.
    by_row : tuple of str
        Names in `data` that are fit parameters.
    scoring : mapping of str to mapping
        Of each scorer the parameters that have one value for each row, and their names in `data`.
    resource : str
        ``"rows"``, or the parameter that is the resource of halving.
    train_scores : bool
    timeout : float or None
        Seconds.
    text : object or None
        Fits candidates to text that was hashed once: see `manymill.search.text`.
    metric : str
        That decides: a scorer that gives several has to give it.
    raises : bool
        Whether what a candidate raises ends the search.
    config : dict
        scikit-learn's settings where the search was asked for: every thread has its own.
    codes : ndarray of int, shape (n_rows,), or None
        The classes by number, once a process has asked for them.
    """

    estimator: Any
    data: dict[str, Any]
    splits: list[tuple[NDArray[np.intp], NDArray[np.intp]]]
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
    config: dict[str, Any] = field(default_factory=config_here)
    codes: NDArray[np.intp] | None = None


@dataclass(frozen=True, slots=True)
class Handle:
    """Where a process has a job from; it pickles."""

    token: str
    job: Ref | None  # the job without its large arrays, pickled
    arrays: SharedArrays | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A task and the parameters of its candidate."""

    handle: Handle
    task: Task
    params: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What people call it, should it fail."""
        given = "" if self.task.resource is None else f" with {self.task.resource:,}"
        return f"candidate {self.task.trial} on split {self.task.split}{given}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation gave; `error` is empty, or why it gave nothing."""

    scores: Mapping[str, float] = field(default_factory=dict)
    train_scores: Mapping[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    n_rows: int = 0
    worker: str = ""
    error: str = ""
    traceback: str = ""


def share_job(engine: Engine, job: Job, token: str) -> Handle:
    """Give a job to all workers: its arrays once, whatever the number of processes.

    Raises
    ------
    EngineError
        If it cannot be pickled, or nothing can be written.
    """
    if engine.shares_memory:
        handle = Handle(token, None, None)
        _keep(token, job)
        return handle
    large = {name: array for name, array in job.data.items() if worth_sharing(array)}
    for place, (train, test) in enumerate(job.splits):
        large |= {f"train {place}": train, f"test {place}": test}
    small = {name: value for name, value in job.data.items() if name not in large}
    import cloudpickle

    content = cloudpickle.dumps(
        Job(
            job.estimator, small, [], job.scorers, job.fit_params, job.by_row, job.scoring, job.resource,
            job.train_scores, job.timeout, job.text, job.metric, job.raises, job.config,
        )
    )  # fmt: skip
    return Handle(token, engine.publish({"job": np.frombuffer(content, np.uint8)}), share(engine, large))


def withdraw_job(engine: Engine, handle: Handle) -> None:
    """Take back what was shared."""
    with _lock:
        _jobs.pop(handle.token, None)
    if handle.job is not None:
        engine.withdraw(handle.job)
    if handle.arrays is not None:
        handle.arrays.close()


def evaluate(assignment: Assignment) -> Outcome:
    """Do a task; whatever the candidate raises comes back as its outcome."""
    job, task = _job_of(assignment.handle), assignment.task
    worker = f"{os.getpid()}.{threading.get_ident() % 10_000:04}"
    started = time.perf_counter()
    try:
        with configured(job.config), _limited(job.timeout):
            outcome = _evaluated(job, task, dict(assignment.params))
    except (Exception, SystemExit) as error:  # sys.exit() of a candidate is no wish to end the search
        if job.raises:
            raise
        last = traceback.format_exception_only(error)[-1].strip()
        text = "".join(traceback.format_exception(error))
        return Outcome(worker=worker, error=last, traceback=text, fit_seconds=time.perf_counter() - started)
    scores, learnt, fit_seconds, score_seconds, n_rows = outcome
    if job.timeout is not None and fit_seconds + score_seconds > job.timeout:
        why = f"TimeoutError: it took {fit_seconds + score_seconds:.1f} s, more than timeout={job.timeout:g}"
        if job.raises:
            raise TimeoutError(why)
        return Outcome(worker=worker, error=why, traceback=why, fit_seconds=fit_seconds)
    return Outcome(scores, learnt, fit_seconds, score_seconds, n_rows, worker)


def predict(assignment: Assignment) -> NDArray[np.float64] | str:
    """What a candidate predicts for the rows of its split that it was not fitted on, or why it cannot.

    Returns
    -------
    ndarray of shape (n_rows, n_classes) or (n_rows, 1)
        Probabilities of all classes of the data, or values.
    """
    from sklearn.base import is_classifier

    job = _job_of(assignment.handle)
    try:
        with configured(job.config):
            estimator, X, _, _, _ = _fitted(job, assignment.task, dict(assignment.params))
            if not is_classifier(estimator):
                return np.asarray(estimator.predict(X), np.float64).reshape(-1, 1)
            labels = np.unique(job.text.y if job.text is not None else job.data["y"])
            out = np.zeros((len(job.splits[assignment.task.split][1]), len(labels)))
            out[:, np.searchsorted(labels, estimator.classes_)] = estimator.predict_proba(X)
            return out
    except (Exception, SystemExit) as error:
        return traceback.format_exception_only(error)[-1].strip()


def _evaluated(
    job: Job, task: Task, params: dict[str, Any]
) -> tuple[dict[str, float], dict[str, float], float, float, int]:
    started = time.perf_counter()
    estimator, X, y, (learnt_X, learnt_y), (rows, test) = _fitted(job, task, params)
    fitted = time.perf_counter()
    scores = _scores(job, estimator, X, y, test)
    train_scores = _scores(job, estimator, learnt_X, learnt_y, rows) if job.train_scores else {}
    return scores, train_scores, fitted - started, time.perf_counter() - fitted, len(rows)


def _fitted(
    job: Job, task: Task, params: dict[str, Any]
) -> tuple[Any, Any, Any, tuple[Any, Any], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """A candidate fitted on its rows, what to score it on, what it was fitted on, and the numbers of both.

    What it was fitted on is there if training scores are asked for.
    """
    from sklearn.base import clone

    train, test = job.splits[task.split]
    params = {name: clone(value, safe=False) for name, value in params.items()}
    rows = train
    if task.resource is not None and job.resource == "rows":
        if task.resource < len(train):
            codes = _codes_of(job)
            rows = prefix(train, task.resource, codes)
            test = prefix(test, max(LEAST_TEST_ROWS, task.resource), codes)
    elif task.resource is not None:
        params[job.resource] = task.resource
    if job.text is not None:
        texts, labels = job.text.texts, job.text.y
        estimator = job.text.fitted(params, rows)
        return estimator, texts[test], labels[test], (texts[rows], labels[rows]), (rows, test)
    estimator = clone(job.estimator).set_params(**params)
    data_X, data_y = job.data["X"], job.data.get("y")
    fit_X, fit_y = _part(estimator, data_X, data_y, rows)
    own = {name: _rows_of(job.data[name], rows) for name in job.by_row}
    labels = () if fit_y is None else (fit_y,)
    estimator.fit(fit_X, *labels, **own, **job.fit_params)
    if not job.train_scores:
        fit_X, fit_y, labels, own = None, None, (), {}  # copies that nobody needs, before others are made
    X, y = _part(estimator, data_X, data_y, test, rows)
    return estimator, X, y, (fit_X, fit_y), (rows, test)


def _codes_of(job: Job) -> NDArray[np.intp] | None:
    """The class of each row by number; None where there are no classes."""
    from sklearn.base import is_classifier

    if job.codes is None and is_classifier(job.estimator):
        labels = np.asarray(job.text.y if job.text is not None else job.data.get("y"))
        if labels.ndim == 1:
            job.codes = np.unique(labels, return_inverse=True)[1]
    return job.codes


def _part(
    estimator: Any, X: Any, y: Any, rows: NDArray[np.intp], fitted_rows: NDArray[np.intp] | None = None
) -> tuple[Any, Any]:
    """Some rows of the data, and where distances are given some columns of them."""
    from sklearn.utils import get_tags
    from sklearn.utils.metaestimators import _safe_split

    if type(X) in _NUMPYS and not get_tags(estimator).input_tags.pairwise:
        return X[rows], None if y is None else _rows_of(y, rows)
    part: tuple[Any, Any] = _safe_split(estimator, X, y, rows, fitted_rows)
    return part


def _rows_of(values: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows of anything with rows.

    scikit-learn first finds out which of a dozen libraries an array is of, which takes 0.1 ms: for an array of numpy
    it is known.
    """
    from sklearn.utils import _safe_indexing

    return values[rows] if type(values) in _NUMPYS else _safe_indexing(values, rows)


def _scores(job: Job, estimator: Any, X: Any, y: Any, rows: NDArray[np.intp]) -> dict[str, float]:
    """The metrics on some rows."""
    arguments = (estimator, X) if y is None else (estimator, X, y)
    out: dict[str, float] = {}
    for name, scorer in job.scorers.items():
        own = {param: _rows_of(job.data[key], rows) for param, key in job.scoring.get(name, {}).items()}
        given = scorer(*arguments, **own)
        out |= given if isinstance(given, Mapping) else {name: given}
    if job.metric not in out:
        raise ValueError(f"the scorer gives {', '.join(out)}, and refit={job.metric!r} is none of them")
    return {name: float(score) for name, score in out.items()}


@contextmanager
def configured(config: dict[str, Any]) -> Iterator[None]:
    """scikit-learn's settings in the block."""
    from sklearn import config_context

    if config == config_here():
        yield
        return
    with config_context(**config):
        yield


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raise ``TimeoutError`` in the block after so long, where the system can: in the main thread of a process."""
    can = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not can:
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"it took longer than timeout={seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, math.ulp(1.0)))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_jobs: OrderedDict[str, Job] = OrderedDict()
_lock = threading.Lock()


def _keep(token: str, job: Job) -> Job:
    with _lock:
        _jobs[token] = job
        _jobs.move_to_end(token)
        while len(_jobs) > _JOBS:
            _jobs.popitem(last=False)
    return job


def _job_of(handle: Handle) -> Job:
    with _lock:
        if handle.token in _jobs:
            return _jobs[handle.token]
    assert handle.job is not None
    assert handle.arrays is not None
    job: Job = pickle.loads(handle.job.load()["job"].tobytes())  # ours, published for this search
    arrays = handle.arrays.load()
    places = sorted(int(name.split()[1]) for name in arrays if name.startswith("train "))
    job.splits = [(arrays.pop(f"train {place}"), arrays.pop(f"test {place}")) for place in places]
    job.data = {**job.data, **arrays}
    return _keep(handle.token, job)
