"""scikit-learn's own ``fit`` as a planner: all that it checks and draws, and the calls that would grow the trees.

::

    ensemble.fit(X, y)           joblib.Parallel(calls)  ──►  a backend that does none of them and keeps them
        checks, encodes y,
        draws a seed a tree

What comes out is an ensemble that is fitted but for its trees, and a call a tree: a function of scikit-learn and its
arguments, which give the same tree on any worker. So a tree is scikit-learn's, bit for bit, whatever its version does.

An ensemble that is fitted but for its members, for trees that were grown on partitions.

The trees of one ensemble on all rows, grown by many workers: scikit-learn's own calls, on arrays that are shared.

A tree that has been grown, as it comes back from a worker.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from joblib import parallel_config
from joblib.parallel import ParallelBackendBase
from numpy.typing import NDArray
from sklearn.ensemble._bagging import BaseBagging
from sklearn.tree._tree import NODE_DTYPE

from manymill.engine.base import Engine
from manymill.engine.shared_arrays import SharedArrays, share, worth_sharing, writable
from manymill.forest.combining import OF_ONE_FIT
from manymill.forest.parameters import is_bagging

# More jobs than there are trees, so that each tree is a call of its own.
_JOBS = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What grows one tree; see the module."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def plan_fit(ensemble: Any, X: Any, y: Any, sample_weight: Any = None) -> list[Call]:
    """Fit an ensemble in place but for its trees, and give the calls that grow them, in their order.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
        ``estimators_`` has None in the place of each tree to grow; with ``warm_start`` the earlier trees come first.
    X, y, sample_weight
        As for its ``fit``. Arrays of the right dtype and order are not copied.

    Raises
    ------
    ValueError
        What its ``fit`` raises.
    """
    kept = _Kept(isinstance(ensemble, BaseBagging))
    with parallel_config(backend=kept):
        ensemble.fit(X, y, sample_weight=sample_weight)
    return [_light(call) for call in kept.calls]


def drawing_weight(ensemble: Any) -> Any:
    """The weights by which a fitted ensemble draws the rows of its trees, or None.

    scikit-learn draws by weight since 1.9 and keeps the weights, those of classes included; before, it drew uniformly.
    """
    return getattr(ensemble, "_sample_weight", None)


def rows_not_drawn(ensemble: Any, tree: Any, n_rows: int, weight: Any) -> NDArray[np.intp]:
    """The numbers of the rows that a tree of a forest with ``bootstrap`` has not drawn."""
    from sklearn.ensemble._forest import _generate_unsampled_indices, _get_n_samples_bootstrap

    by_weight = "sample_weight" in signature(_generate_unsampled_indices).parameters  # since scikit-learn 1.9
    further = [weight] if by_weight else []
    n_drawn = _get_n_samples_bootstrap(n_rows, ensemble.max_samples, *further)
    return np.asarray(_generate_unsampled_indices(tree.random_state, n_rows, n_drawn, *further))


class _Kept(ParallelBackendBase):
    """A backend of joblib that does nothing but keep the calls."""

    supports_retrieve_callback = False
    supports_sharedmem = True

    def __init__(self, pairs: bool = False) -> None:
        super().__init__(nesting_level=0)
        self._pairs = pairs  # bagging wants (estimators, their features) of a call
        self.calls: list[Call] = []

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        return _JOBS

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """All calls are wanted at once: nothing is ever done that could ask for more of them."""
        parallel.pre_dispatch = "all"
        return int(super().configure(n_jobs, parallel, **options))

    def submit(self, func: Any, callback: Callable[[Any], Any] | None = None) -> _Nothing:
        """Keep the calls of a batch."""
        for function, args, kwargs in func.items:
            # scikit-learn wraps the function in one that carries its global configuration.
            self.calls.append(Call(getattr(function, "function", function), args, kwargs))
        nothing = _Nothing([([None], [None]) if self._pairs else None] * len(func.items))
        if callback is not None:
            callback(nothing)
        return nothing

    apply_async = submit


class _Nothing:
    def __init__(self, results: list[Any]) -> None:
        self._results = results

    def get(self, timeout: float | None = None) -> list[Any]:
        return self._results


def _light(call: Call) -> Call:
    """The call without the trees of the ensemble that bagging hands to its workers."""
    args = tuple(_shell(arg) if isinstance(arg, BaseBagging) else arg for arg in call.args)
    return Call(call.function, args, call.kwargs)


def _shell(ensemble: Any) -> Any:
    shell = copy.copy(ensemble)
    shell.estimators_, shell.estimators_features_ = [], []
    shell._sample_weight = None
    return shell


def shell_of(ensemble: Any, n_features: int, classes: list[NDArray[Any]] | None, n_outputs: int) -> Any:
    """Fit the ensemble in place, but for its members, to the columns and classes there are; give it back.

    scikit-learn itself fits it, to one row a class: nothing is grown of these.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
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
    own = ensemble.get_params(deep=False)
    plain = {
        "max_samples": type(ensemble)().max_samples if "max_samples" in own else None,
        "warm_start": False,
        "oob_score": False,
        "n_estimators": 1,
        "class_weight": None,
    }
    ensemble.set_params(**{name: value for name, value in plain.items() if name in own})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan_fit(ensemble, X, y[:, 0] if n_outputs == 1 else y)
    ensemble.set_params(**own)
    for name in OF_ONE_FIT:
        ensemble.__dict__.pop(name, None)
    ensemble.estimators_ = []
    if is_bagging(ensemble):
        ensemble.estimators_features_ = []
    return ensemble


# Bytes of a node that belong to no field.
_GAPS = np.ones(NODE_DTYPE.itemsize, bool)
for _dtype, _offset, *_ in NODE_DTYPE.fields.values():
    _GAPS[_offset : _offset + _dtype.itemsize] = False


@dataclass(slots=True, eq=False)
class Grown:
    """One member of an ensemble.

    Attributes
    ----------
    number : int
        Of the tree in the forest, from 0.
    tree : estimator
        Fitted.
    features : ndarray of int or None
        The columns that a member of a bagging looks at; None for a tree of a forest, which knows them by itself.
    part : int or None
        The partition it has seen; None if it has seen them all.
    seconds : float
        That growing took.
    """

    number: int
    tree: Any
    features: NDArray[Any] | None = None
    part: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if hasattr(self.tree, "tree_"):
            clear_gaps(self.tree.tree_)

    @property
    def n_nodes(self) -> int:
        """Nodes of the tree; 0 for what is no tree."""
        return int(self.tree.tree_.node_count) if hasattr(self.tree, "tree_") else 0


def clear_gaps(tree: Any) -> None:
    """Write zeros between the fields of a tree's nodes.

    scikit-learn leaves there what was in memory, which travels with pickles: forests that are equal would differ in
    their bytes.
    """
    nodes = tree.__getstate__()["nodes"]
    nodes.view(np.uint8).reshape(len(nodes), -1)[:, _GAPS] = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a shared array among the arguments of a call."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class WholeTask:
    """One tree on all rows."""

    number: int
    call: Call
    shared: SharedArrays

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"tree {self.number}"

    def grow(self) -> Grown:
        """Grow the tree: the call of scikit-learn, given the shared arrays."""
        start = time.perf_counter()
        arrays = self.shared.load()
        if any(
            isinstance(arg, BaseBagging) for arg in self.call.args
        ):  # members look at the values themselves
            arrays = {name: writable(array) for name, array in arrays.items()}
        args = [arrays[arg.name] if isinstance(arg, Slot) else arg for arg in self.call.args]
        kwargs = {
            key: arrays[arg.name] if isinstance(arg, Slot) else arg for key, arg in self.call.kwargs.items()
        }
        made = self.call.function(*args, **kwargs)
        tree, features = (made[0][0], made[1][0]) if isinstance(made, tuple) else (made, None)
        return Grown(self.number, tree, features, seconds=time.perf_counter() - start)


def whole_tasks(
    calls: Sequence[Call], engine: Engine, first: int, original: Callable[[Any], Any] = lambda arg: arg
) -> list[WholeTask]:
    """A task a call; what is large among their arguments is shared: its original, if it is the view of one."""
    slots: dict[int, Slot] = {}
    large: dict[str, Any] = {}

    def slotted(arg: Any) -> Any:
        if not worth_sharing(arg):
            return arg
        if id(arg) not in slots:
            slots[id(arg)] = Slot(f"array{len(slots)}")
            large[slots[id(arg)].name] = original(arg)
        return slots[id(arg)]

    thin = [
        Call(
            call.function,
            tuple(slotted(arg) for arg in call.args),
            {key: slotted(arg) for key, arg in call.kwargs.items()},
        )
        for call in calls
    ]
    shared = share(engine, large)
    return [WholeTask(first + index, call, shared) for index, call in enumerate(thin)]
