"""Rows that are never learnt from: they tell one pass from another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.linear.calibration import HeldOutScores
from manymill.linear.losses import mean_loss
from manymill.model import choose_classes
from manymill.model.linear import Norm

HashedRows = tuple[_core.Rows, NDArray[np.int32]]


class Holdout:
    """Held-out rows with their classes, hashed once and kept: the settings bound how many."""

    def __init__(self) -> None:
        self._parts: list[HashedRows] = []

    def add(self, rows: _core.Rows, classes: NDArray[np.int32]) -> None:
        """Keep rows and their classes, ``(n_rows,)``."""
        self._parts.append((rows, classes))

    def weigh(self, feature_weights: NDArray[np.float32], norm: Norm | None) -> None:
        """Multiply the values of the rows by the weights of their features, ``(n_features,)``."""
        for i, (rows, classes) in enumerate(self._parts):
            self._parts[i] = rows.weighted(feature_weights, norm), classes

    def __iter__(self) -> Iterator[HashedRows]:
        return iter(self._parts)


@dataclass(frozen=True, slots=True)
class Measured:
    """How well rows that were not learnt from are predicted."""

    n_rows: int
    loss: float | None  # mean; None without rows
    accuracy: float | None
    temperature: float = 1.0  # that probabilities are honest with

    def better_than(self, other: Measured | None) -> bool:
        """Whether this is the better state: by accuracy, then by loss; without rows the later one is."""
        if other is None or self.accuracy is None or other.accuracy is None:
            return True
        assert self.loss is not None
        assert other.loss is not None
        return (self.accuracy, -self.loss) > (other.accuracy, -other.loss)


def measure(
    parts: Iterable[HashedRows], learner: _core.Learner, loss: str, *, calibrate: bool = False
) -> Measured:
    """Mean loss and accuracy of rows, and the temperature that suits them.

    A class of -1, one that is not learnt, is never predicted right.
    """
    seen = HeldOutScores()
    n_rows, n_right, total = 0, 0, 0.0
    for rows, classes in parts:
        scores = learner.scores(rows)
        n_rows += len(classes)
        n_right += int((choose_classes(scores) == classes).sum())
        total += len(classes) * mean_loss(scores, classes, loss)
        if calibrate:
            seen.add(scores, classes)
    if not n_rows:
        return Measured(0, None, None)
    return Measured(n_rows, total / n_rows, n_right / n_rows, seen.temperature(loss))
