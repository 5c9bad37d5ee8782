"""A learner's state as a model has it: classes in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.linear.classes import ClassIndex

# Features copied out at a time: the whole of a large state is never held twice.
SLICE_BYTES = 8 << 20


class LinearState:
    """What a learner knows at this moment; read it before the learner goes on.

    Parameters
    ----------
    learner : Learner
        Its outputs are in the order in which classes were met.
    index : ClassIndex
        That order.
    as_integers : bool
        Whether classes are sorted and given as integers.
    """

    def __init__(self, learner: _core.Learner, index: ClassIndex, *, as_integers: bool) -> None:
        self._learner = learner
        self._order = index.sorted_order(as_integers=as_integers)
        names = [index.names[i] for i in self._order]
        self.classes: tuple[str | int, ...] = tuple(map(int, names)) if as_integers else tuple(names)

    def _arranged(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs put in the order of the classes: columns moved, or for two classes the sign turned."""
        if self._learner.n_outputs > 1:
            return np.ascontiguousarray(values[..., self._order])
        return values if self._order[0] < self._order[-1] else -values

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """The weights in slices of shape ``(n, n_outputs)``, feature after feature."""
        n_features = self._learner.n_features
        step = max(1, SLICE_BYTES // (4 * self._learner.n_outputs))
        for start in range(0, n_features, step):
            yield self._arranged(self._learner.weights(start, min(start + step, n_features)))

    def intercept(self) -> NDArray[np.float32]:
        """The intercepts, ``(n_outputs,)``."""
        return self._arranged(self._learner.intercept())
