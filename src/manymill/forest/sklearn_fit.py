"""Split scikit-learn's own ``fit`` into one call per tree, and run such a call as a task.

::

    ensemble.fit(X, y)           joblib.Parallel(calls)  ──►  a joblib backend that records the calls and runs none
        validates, encodes y,
        draws a seed per tree

The result is an ensemble that is fitted except for its trees, and one call per tree: a function of scikit-learn and its
arguments, which grow the same tree on any worker. So a tree is scikit-learn's own bit for bit, in any version of it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import parallel_config
from joblib.parallel import ParallelBackendBase
from numpy.typing import NDArray
from sklearn.base import clone

from manymill.engine.base import Engine
from manymill.engine.shared_arrays import SharedArrays, share, worth_sharing, writable
from manymill.forest.parameters import is_bagging
from manymill.forest.sklearn_private import (
    clear_node_padding,
    copy_without_fit_attributes,
    copy_without_members,
    unwrapped,
)

# More jobs than there are trees, so that each tree is a call by itself.
_JOBS = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A function and its arguments, which grow one tree."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self) -> tuple[Any, NDArray[Any] | None]:
        """Grow the tree: the member, and the columns it uses if it is a member of a bagging ensemble."""
        result = self.function(*self.args, **self.kwargs)
        return (result[0][0], result[1][0]) if isinstance(result, tuple) else (result, None)


@dataclass(slots=True, eq=False)
class GrownTree:
    """One fitted member of an ensemble.

    Attributes
    ----------
    number : int
        Index of the tree in the forest, from 0.
    tree : estimator
        The fitted member; not a tree if a bagging ensemble has members of another kind.
    features : ndarray of int or None
        The columns that a member of a bagging ensemble uses; None for a tree of a forest, which uses all of them.
    partition : int or None
        Index of the partition that it was grown on; None if it was grown on rows of all of them.
    seconds : float
        How long it took to grow.
    """

    number: int
    tree: Any
    features: NDArray[Any] | None = None
    partition: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if hasattr(self.tree, "tree_"):
            clear_node_padding(self.tree.tree_)

    @property
    def n_nodes(self) -> int:
        """Number of nodes of the tree; 0 if the member is not a tree."""
        return int(self.tree.tree_.node_count) if hasattr(self.tree, "tree_") else 0


# ---- fit without growing


def capture_calls(ensemble: Any, X: Any, y: Any, sample_weight: Any = None) -> list[Call]:
    """Fit an ensemble in place except for its trees, and return the calls that grow them, in order.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
        Afterwards ``estimators_`` has None in place of each tree to grow; with ``warm_start`` the earlier trees come
        first.
    X, y, sample_weight
        As for its ``fit``. Arrays of the right dtype and order are not copied.

    Raises
    ------
    ValueError
        What its ``fit`` raises.
    """
    backend = _RecordingBackend(is_bagging(ensemble))
    with parallel_config(backend=backend):
        ensemble.fit(X, y, sample_weight=sample_weight)
    return [_without_members(call) for call in backend.calls]


class _RecordingBackend(ParallelBackendBase):
    """A joblib backend that records calls and runs none."""

    supports_retrieve_callback = False
    supports_sharedmem = True

    def __init__(self, bagging: bool) -> None:
        super().__init__(nesting_level=0)
        self._bagging = bagging  # its calls return (members, columns of each)
        self.calls: list[Call] = []

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        return _JOBS

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Dispatch all calls at once: joblib dispatches more only when earlier calls finish, and none does."""
        parallel.pre_dispatch = "all"
        return int(super().configure(n_jobs, parallel, **options))

    def submit(self, func: Any, callback: Callable[[Any], Any] | None = None) -> _EmptyResult:
        """Record the calls of a batch."""
        for function, args, kwargs in func.items:
            self.calls.append(Call(unwrapped(function), args, kwargs))
        result = _EmptyResult([([None], [None]) if self._bagging else None] * len(func.items))
        if callback is not None:
            callback(result)
        return result

    apply_async = submit


class _EmptyResult:
    def __init__(self, results: list[Any]) -> None:
        self._results = results

    def get(self, timeout: float | None = None) -> list[Any]:
        return self._results


def _without_members(call: Call) -> Call:
    """The call without the members of the bagging ensemble that is among its arguments."""
    args = tuple(copy_without_members(arg) if is_bagging(arg) else arg for arg in call.args)
    return Call(call.function, args, call.kwargs)


def empty_ensemble(ensemble: Any, n_features: int, classes: list[NDArray[Any]] | None, n_outputs: int) -> Any:
    """A copy of an ensemble that is fitted except for its members, which other fits will grow.

    scikit-learn's own ``fit`` sets the attributes, given one row per class; no tree is grown.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
        Is not changed.
    n_features : int
    classes : list of ndarray, or None
        Of each output; None for regression.
    n_outputs : int
    """
    n_rows = max(map(len, classes)) if classes else 1
    X = np.zeros((n_rows, n_features), np.float32)
    if classes:
        y = np.stack([names[np.arange(n_rows) % len(names)] for names in classes], axis=1)
    else:
        y = np.ones((n_rows, n_outputs))
    ensemble = clone(ensemble)
    parameters = ensemble.get_params(deep=False)
    neutral = {
        "max_samples": type(ensemble)().max_samples if "max_samples" in parameters else None,
        "warm_start": False,
        "oob_score": False,
        "n_estimators": 1,
        "class_weight": None,
    }
    ensemble.set_params(**{name: value for name, value in neutral.items() if name in parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        capture_calls(ensemble, X, y[:, 0] if n_outputs == 1 else y)
    ensemble.set_params(**parameters)
    empty = copy_without_fit_attributes(ensemble)
    empty.estimators_ = []
    if is_bagging(empty):
        empty.estimators_features_ = []
    return empty


# ---- calls as tasks


@dataclass(frozen=True, slots=True)
class SharedArgument:
    """Stands for a shared array among the arguments of a call."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class SharedRowsTask:
    """Grow one tree on all rows, which workers share."""

    number: int
    call: Call
    shared: SharedArrays

    @property
    def name(self) -> str:
        """Name of the task in messages."""
        return f"tree {self.number}"

    def grow(self) -> GrownTree:
        """Load the shared arrays and run the call."""
        start = time.perf_counter()
        arrays = self.shared.load()
        if any(is_bagging(arg) for arg in self.call.args):  # its members look for missing values themselves
            arrays = {name: writable(array) for name, array in arrays.items()}
        member, features = _replace_arguments(
            self.call, lambda arg: arrays[arg.name] if isinstance(arg, SharedArgument) else arg
        ).run()
        return GrownTree(self.number, member, features, seconds=time.perf_counter() - start)


def shared_rows_tasks(
    calls: Sequence[Call], engine: Engine, first: int, original: Callable[[Any], Any] = lambda arg: arg
) -> list[SharedRowsTask]:
    """One task per call; large arguments are shared among all of them.

    Parameters
    ----------
    calls : sequence of Call
    engine : Engine
    first : int
        Number of the first tree.
    original : callable
        Returns the array to share for an argument, such as the array that the argument is a view of.
    """
    names: dict[int, SharedArgument] = {}
    arrays: dict[str, Any] = {}

    def shared_argument(arg: Any) -> Any:
        if not worth_sharing(arg):
            return arg
        if id(arg) not in names:
            names[id(arg)] = SharedArgument(f"array{len(names)}")
            arrays[names[id(arg)].name] = original(arg)
        return names[id(arg)]

    small = [_replace_arguments(call, shared_argument) for call in calls]
    shared = share(engine, arrays)
    return [SharedRowsTask(first + index, call, shared) for index, call in enumerate(small)]


def _replace_arguments(call: Call, replace: Callable[[Any], Any]) -> Call:
    args = tuple(replace(arg) for arg in call.args)
    return Call(call.function, args, {key: replace(arg) for key, arg in call.kwargs.items()})
