"""Rows that are never learnt from: they tell one pass from another.

The loss of decision values, in float64: for held-out rows, which are measured but never learnt from.

One number that makes probabilities honest: scores are divided by a temperature before they become any. Pure.

::

    temperature = the T that makes the held-out loss of probabilities(scores / T) least
                  log loss where the loss is "log", squared error (Brier) for "modified_huber"

Averaging shrinks margins, more passes stretch them, and both leave the order of scores alone: a temperature
(Guo et al. 2017) mends the first and cannot touch the second. It is a property of the model: the chosen
classes are the same with any.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.constants import Norm
from manymill.model import PROBABILISTIC_LOSSES, choose_classes, probabilities


def mean_loss(scores: NDArray[np.floating[Any]], classes: NDArray[np.int32], loss: str) -> float:
    """The mean loss of the rows.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_outputs)
        Decision values; one output for two classes.
    classes : ndarray of shape (n_rows,)
        The true classes; a row of an unknown class (-1) counts as one with every margin negative.
    loss : str
        A loss of ``settings.LOSSES``: logistic or softmax for ``"log"``, else one against the rest, summed
        over the outputs.
    """
    z = scores.astype(np.float64)
    if loss == "log" and z.shape[1] > 1:
        top = z.max(axis=1)
        total = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
        own = np.where(
            classes >= 0, np.take_along_axis(z, np.maximum(classes, 0)[:, None], 1)[:, 0], z.min(axis=1)
        )
        return float(np.mean(total - own))
    signs = np.where(classes[:, None] == (1 if z.shape[1] == 1 else np.arange(z.shape[1])), 1.0, -1.0)
    return float(np.mean(_of_margin(signs * z, loss).sum(axis=1)))


def _of_margin(m: NDArray[np.float64], loss: str) -> NDArray[np.float64]:
    """The loss of margins ``m = ±1 * score``; definitions as in scikit-learn's SGDClassifier."""
    if loss == "log":
        return np.logaddexp(0.0, -m)
    if loss == "hinge":
        return np.maximum(0.0, 1.0 - m)
    if loss == "squared_hinge":
        return np.maximum(0.0, 1.0 - m) ** 2
    if loss == "modified_huber":
        return np.where(m >= -1.0, np.maximum(0.0, 1.0 - m) ** 2, -4.0 * m)
    return 0.5 * (1.0 - m) ** 2


# Fewer rows tell nothing: the error of T from 100 rows is about a sixth.
LEAST_ROWS = 100

# Scores looked at: one number is fitted, and held-out rows of many classes must not take memory of their own.
MAX_SCORES = 1 << 20

# Of ln T: from a twentieth to twenty-fold.
_LOW, _HIGH = math.log(0.05), math.log(20.0)
_STEPS = 24  # the bracket shrinks to 6e-5 of its width
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def fit_temperature(scores: NDArray[np.float32], classes: NDArray[np.int32], loss: str) -> float:
    """The temperature that makes the loss of the rows least.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_outputs)
        Decision values of rows that were not learnt from; rows with one that is not finite are left out.
    classes : ndarray of shape (n_rows,)
        The true classes; rows of an unknown one (-1) are left out.
    loss : str
        What the scores mean; see :func:`manymill.model.probabilities`.

    Returns
    -------
    float
        0.05 to 20; 1.0 where the rows cannot tell: there are fewer than 100, all or none are predicted right, or the
        loss gives no probabilities.
    """
    if loss not in PROBABILISTIC_LOSSES:
        return 1.0
    good = (classes >= 0) & np.isfinite(scores).all(axis=1)
    wide, classes = scores[good].astype(np.float64), classes[good]
    if len(classes) < LEAST_ROWS:
        return 1.0
    chosen = choose_classes(wide)
    # Where all are right the loss falls for ever as T does: certainty would be made of nothing.
    if np.all(chosen == classes) or not np.any(chosen == classes):
        return 1.0
    return math.exp(_least(wide, classes, loss))


def _least(scores: NDArray[np.float64], classes: NDArray[np.int32], loss: str) -> float:
    """The ln T of the least loss, by golden sections: the loss has one valley in it."""

    def penalty(log_temperature: float) -> float:
        return _penalty(scores / math.exp(log_temperature), classes, loss)

    low, high = _LOW, _HIGH
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = penalty(left), penalty(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = penalty(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = penalty(right)
    return (low + high) / 2


def _penalty(scores: NDArray[np.float64], classes: NDArray[np.int32], loss: str) -> float:
    if loss == "log":
        return mean_loss(scores, classes, loss)
    given = probabilities(scores, loss, max(2, scores.shape[1]))
    # The Brier score: clipped probabilities reach 0, where the log loss has no end.
    own = np.take_along_axis(given, classes[:, None], 1)[:, 0]
    return float(np.mean((given**2).sum(axis=1) - 2 * own))


class HeldOutScores:
    """Scores of held-out rows as they come, thinned evenly where there are more than are needed."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []
        self._every, self._n_seen, self._n_numbers = 1, 0, 0

    def add(self, scores: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        """Take every so many rows of a part: ``(n_rows, n_outputs)``, ``(n_rows,)``."""
        first = -self._n_seen % self._every
        self._n_seen += len(classes)
        self._keep(scores[first :: self._every], classes[first :: self._every])
        while self._n_numbers > MAX_SCORES and self._every < self._n_seen:
            both = [np.concatenate(column)[::2] for column in zip(*self._parts, strict=True)]
            self._every *= 2
            self._parts, self._n_numbers = [], 0
            self._keep(both[0], both[1])

    def _keep(self, scores: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        self._parts.append((scores.copy(), classes.copy()))
        self._n_numbers += scores.size

    def temperature(self, loss: str) -> float:
        """What :func:`fit_temperature` says of them."""
        if not self._parts:
            return 1.0
        scores, classes = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return fit_temperature(scores, classes, loss)


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
