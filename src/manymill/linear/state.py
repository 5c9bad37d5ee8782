"""What has been learnt: a learner, with its outputs in the order of the sorted classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.linear.classes import ClassIndex
from manymill.linear.settings import Settings
from manymill.model import Analyzer

# Bytes of weights copied out at a time: the whole of a large state is never held twice.
SLICE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the weights of a learner, in the learner's own order of outputs."""

    weights: NDArray[np.float32]  # (n_features, n_outputs)
    intercept: NDArray[np.float32]  # (2, n_outputs): intercepts and their squared-gradient sums


def new_learner(settings: Settings, n_classes: int) -> _core.Learner:
    """A learner that knows nothing yet."""
    return _core.Learner(
        settings.analyzer.n_features,
        n_classes,
        loss=settings.loss,
        l1=settings.l1,
        l2=settings.l2,
        learning_rate=settings.rate(n_classes),
        fit_intercept=settings.fit_intercept,
    )


class LinearState:
    """A learner and the classes of its outputs.

    Parameters
    ----------
    settings : Settings
        How it learns.
    index : ClassIndex
        The classes in the order in which they were met, which is the order of the learner's outputs. It may
        grow; call :meth:`make_room` then.
    as_integers : bool
        Whether classes are sorted and given as integers, if all of them are.
    feature_weights : ndarray of float32, shape (n_features,), optional
        What each value of the rows that it learns was multiplied by.
    n_classes_begun : int, optional
        Classes that were known when the learning began, where it goes on: its rate depends on that.
    """

    def __init__(
        self,
        settings: Settings,
        index: ClassIndex,
        *,
        as_integers: bool,
        feature_weights: NDArray[np.float32] | None = None,
        n_classes_begun: int | None = None,
    ) -> None:
        self._settings, self._index, self._as_integers = settings, index, as_integers
        self.feature_weights = feature_weights
        self.n_classes_begun = max(2, len(index)) if n_classes_begun is None else n_classes_begun
        self.learner = new_learner(settings, self.n_classes_begun)
        self.make_room(len(index))

    @property
    def index(self) -> ClassIndex:
        """The classes in the order of the learner's outputs."""
        return self._index

    @property
    def analyzer(self) -> Analyzer:
        """How documents become the rows that it learns."""
        return self._settings.analyzer

    def make_room(self, n_classes: int) -> None:
        """Have outputs for so many classes at least."""
        if n_classes > self.learner.n_classes:
            self.learner.grow(n_classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, sorted."""
        return tuple(self._index.names[i] for i in self._order())

    @property
    def classes(self) -> tuple[str, ...] | tuple[int, ...]:
        """The classes, sorted."""
        return tuple(map(int, self.names)) if self._sorted_as_integers() else self.names

    def numbers(self) -> NDArray[np.int32]:
        """The learner's number of each class, in the order of the sorted classes, ``(n_classes,)``."""
        return self._order().astype(np.int32)

    def _order(self) -> NDArray[np.intp]:
        return self._index.sorted_order(as_integers=self._sorted_as_integers())

    def _sorted_as_integers(self) -> bool:
        # A class met late may be the first that is no integer.
        return self._as_integers and self._index.are_integers

    def _arranged(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs, ``(..., n_outputs)``, in the order of the classes; for two classes the sign is turned."""
        order = self._order()
        if self.learner.n_outputs > 1:
            return np.ascontiguousarray(outputs[..., order])
        return outputs if order[0] < order[-1] else -outputs

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """The weights in slices of shape ``(n, n_outputs)``, feature after feature."""
        for start, stop in self._spans():
            yield self._arranged(self.learner.weights(start, stop))

    def intercept(self) -> NDArray[np.float32]:
        """The intercepts, ``(n_outputs,)``."""
        return self._arranged(self.learner.intercept())

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]:
        """Decision values, ``(n_rows, n_outputs)``."""
        return self._arranged(self.learner.scores(rows))

    def snapshot(self) -> Snapshot:
        """A copy of the weights as they are now."""
        return Snapshot(self.learner.weights(0, self.learner.n_features), self.learner.intercept_state())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to earlier weights; the squared-gradient sums stay, so that learning goes on with care."""
        for start, stop in self._spans():
            # Where weights grew without bound the sums did so too.
            sums = np.nan_to_num(self.learner.accumulators(start, stop), copy=False)
            self.learner.set_state(start, snapshot.weights[start:stop], sums)
        self.learner.set_intercept_state(snapshot.intercept, self.learner.n_rows_seen)

    def _spans(self) -> Iterator[tuple[int, int]]:
        n_features = self.learner.n_features
        step = max(1, SLICE_BYTES // (4 * self.learner.n_outputs))
        for start in range(0, n_features, step):
            yield start, min(start + step, n_features)

    # The learner is native: a pickle holds its arrays.

    def __getstate__(self) -> dict[str, Any]:
        learner = self.learner
        learner.settle()
        return {
            "settings": self._settings,
            "names": self._index.names,
            "as_integers": self._as_integers,
            "feature_weights": self.feature_weights,
            "weights": learner.weights(0, learner.n_features),
            "accumulators": learner.accumulators(0, learner.n_features),
            "intercept": learner.intercept_state(),
            "n_rows_seen": learner.n_rows_seen,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        LinearState.__init__(
            self,
            state["settings"],
            ClassIndex.in_order(state["names"]),
            as_integers=state["as_integers"],
            feature_weights=state["feature_weights"],
        )
        self.learner.set_state(0, state["weights"], state["accumulators"])
        self.learner.set_intercept_state(state["intercept"], state["n_rows_seen"])
