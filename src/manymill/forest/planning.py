"""scikit-learn's own ``fit`` as a planner: all that it checks and draws, and the calls that would grow the trees.

::

    ensemble.fit(X, y)           joblib.Parallel(calls)  ──►  a backend that does none of them and keeps them
        checks, encodes y,
        draws a seed a tree

What comes out is an ensemble that is fitted but for its trees, and a call a tree: a function of scikit-learn and its
arguments, which give the same tree on any worker. So a tree is scikit-learn's, bit for bit, whatever its version does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from joblib import parallel_config
from joblib.parallel import ParallelBackendBase
from numpy.typing import NDArray
from sklearn.ensemble._bagging import BaseBagging

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
