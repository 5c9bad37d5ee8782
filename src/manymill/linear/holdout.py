"""Held-out rows: their loss and accuracy, by which passes are compared, and the temperature of probabilities.

::

    temperature = argmin over T of the held-out log loss of softmax(logits(scores) / T), for two classes of the logistic

Averaging shrinks margins and more passes stretch them, without changing the order of the scores: a temperature (Guo et
al. 2017) corrects the margins and never changes the predicted classes. The loss ``modified_huber`` needs one far below
1: it stops to push a margin at 1, where the logistic function is far from certain.
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
from manymill.model import PROBABILISTIC_LOSSES, choose_classes, link_of_loss, logits

# With 100 rows the error of T is about a sixth.
MIN_ROWS = 100

# Fewer held-out rows than this for each class say little about the distribution of their labels.
MIN_ROWS_PER_CLASS = 10

# Distance (total variation, 0 to 1) of two distributions of labels from which on they count as different: a file sorted
# by two equal classes ends with rows at a distance of 0.5.
_OTHER_LABELS = 0.4

# Scores used to fit the temperature: more would take memory without gain, as it is a single number.
MAX_SAMPLED_SCORES = 1 << 20

# Scores that are measured at a time: their losses take ten times as many bytes.
MAX_MEASURED_SCORES = 1 << 20

# Temperatures of `modified_huber` without held-out rows, for two classes and for more. The best ones on test rows were
# 0.26 (IMDB), and for 20 newsgroups and 57 sections of Debian 0.36 to 0.37 with words and pairs, and 0.41 to 0.42 with
# characters besides; held-out rows made no difference.
_HUBER_TEMPERATURE, _HUBER_TEMPERATURE_OF_MANY = 0.25, 0.4

# Bounds of ln T: T from 1/100 to 20.
_LOW, _HIGH = math.log(0.01), math.log(20.0)

_STEPS = 24  # shrink the bracket to 6e-5 of its width

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0

HashedRows = tuple[_core.Rows, NDArray[np.int32]]


def mean_loss(scores: NDArray[np.floating[Any]], classes: NDArray[np.int32], loss: str) -> float:
    """The mean loss of the rows.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_outputs)
        Decision values; one output for two classes.
    classes : ndarray of shape (n_rows,)
        The true classes; for an unknown class (-1) every margin is negative.
    loss : str
        One of ``LOSSES``: logistic or softmax for ``"log"``, else one-vs-rest, summed over the outputs.
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
    return float(np.mean(_margin_loss(signs * z, loss).sum(axis=1)))


def _margin_loss(m: NDArray[np.float64], loss: str) -> NDArray[np.float64]:
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


def default_temperature(loss: str, n_outputs: int) -> float:
    """The temperature of a model without enough held-out rows to fit one."""
    if loss != "modified_huber":
        return 1.0
    return _HUBER_TEMPERATURE if n_outputs == 1 else _HUBER_TEMPERATURE_OF_MANY


def fit_temperature(scores: NDArray[np.float32], classes: NDArray[np.int32], loss: str) -> float:
    """The temperature that minimises the log loss of the rows.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_outputs)
        Decision values of held-out rows; rows with a value that is not finite are ignored.
    classes : ndarray of shape (n_rows,)
        The true classes; rows of an unknown class (-1) are ignored.
    loss : str
        Loss that the model was trained with.

    Returns
    -------
    float
        0.01 to 20; :func:`default_temperature` if it cannot be fitted: with fewer than 100 rows, if all or none of them
        are predicted right, or if the loss gives no probabilities.
    """
    default = default_temperature(loss, scores.shape[1])
    if loss not in PROBABILISTIC_LOSSES:
        return default
    good = (classes >= 0) & np.isfinite(scores).all(axis=1)
    wide, classes = scores[good].astype(np.float64), classes[good]
    if len(classes) < MIN_ROWS:
        return default
    chosen = choose_classes(wide)
    # If all are right the loss falls without bound as T does.
    if np.all(chosen == classes) or not np.any(chosen == classes):
        return default
    return math.exp(_minimum(logits(wide, link_of_loss(loss)), classes))


def _minimum(scores: NDArray[np.float64], classes: NDArray[np.int32]) -> float:
    """The ln T of the least log loss, by golden-section search: the loss is convex in 1 / T, so unimodal in ln T."""

    def penalty(log_temperature: float) -> float:
        return mean_loss(scores / math.exp(log_temperature), classes, "log")

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


class ScoreSample:
    """A sample of the scores of held-out rows, thinned evenly to ``MAX_SAMPLED_SCORES``."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.float32], NDArray[np.int32]]] = []
        self._every, self._n_seen, self._n_numbers = 1, 0, 0

    def add(self, scores: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        """Sample from the scores and classes of further rows: ``(n_rows, n_outputs)``, ``(n_rows,)``."""
        first = -self._n_seen % self._every
        self._n_seen += len(classes)
        self._append(scores[first :: self._every], classes[first :: self._every])
        while self._n_numbers > MAX_SAMPLED_SCORES and self._every < self._n_seen:
            both = [np.concatenate(column)[::2] for column in zip(*self._parts, strict=True)]
            self._every *= 2
            self._parts, self._n_numbers = [], 0
            self._append(both[0], both[1])

    def _append(self, scores: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        self._parts.append((scores.copy(), classes.copy()))
        self._n_numbers += scores.size

    def temperature(self, loss: str) -> float:
        """The temperature of the sample, which has rows: see :func:`fit_temperature`."""
        scores, classes = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return fit_temperature(scores, classes, loss)


class Holdout:
    """Held-out rows with their classes, hashed once and held in memory: the settings limit their number."""

    def __init__(self) -> None:
        self._parts: list[HashedRows] = []

    def add(self, rows: _core.Rows, classes: NDArray[np.int32]) -> None:
        """Add rows and their classes, ``(n_rows,)``."""
        self._parts.append((rows, classes))

    def use_table(self, table: _core.FeatureTable, norm: Norm | None) -> None:
        """Map the features of the rows to the columns of a table, with their weights."""
        for i, (rows, classes) in enumerate(self._parts):
            self._parts[i] = rows.mapped(table, norm), classes

    def __iter__(self) -> Iterator[HashedRows]:
        return iter(self._parts)


def differ_in_labels(held_out: Iterable[HashedRows], counts: NDArray[np.int64]) -> bool:
    """Whether held-out rows have other labels than the source, as the end of a file sorted by class has.

    Parameters
    ----------
    held_out : iterable of HashedRows
    counts : ndarray of shape (n_classes,)
        Rows of each class in a sample of the source.
    """
    n_classes = len(counts)
    codes = [np.bincount(classes, minlength=n_classes) for _, classes in held_out]
    held = np.sum([np.zeros(n_classes, np.int64), *codes], axis=0)
    if held.sum() < MIN_ROWS_PER_CLASS * n_classes or not counts.any():
        return False
    distance = 0.5 * np.abs(held / held.sum() - counts / counts.sum()).sum()
    return bool(distance >= _OTHER_LABELS)


@dataclass(frozen=True, slots=True)
class HoldoutMetrics:
    """How well held-out rows are predicted."""

    n_rows: int
    loss: float | None  # mean; None without rows
    accuracy: float | None
    temperature: float = 1.0  # calibrates probabilities

    def better_than(self, other: HoldoutMetrics | None) -> bool:
        """Whether this state is better than an earlier one: by accuracy, then by loss; without rows it is."""
        if other is None or self.accuracy is None or other.accuracy is None:
            return True
        assert self.loss is not None
        assert other.loss is not None
        return (self.accuracy, -self.loss) > (other.accuracy, -other.loss)


def unmeasured(loss: str, n_outputs: int) -> HoldoutMetrics:
    """The metrics of a state without held-out rows."""
    return HoldoutMetrics(0, None, None, default_temperature(loss, n_outputs))


def _small(parts: Iterable[HashedRows], n_outputs: int) -> Iterator[HashedRows]:
    """The rows in parts with at most ``MAX_MEASURED_SCORES`` scores each."""
    step = max(1, MAX_MEASURED_SCORES // n_outputs)
    for rows, classes in parts:
        if len(classes) <= step:
            yield rows, classes
            continue
        for start in range(0, len(classes), step):
            order = np.arange(start, min(start + step, len(classes)), dtype=np.uint32)
            yield rows.take(order), classes[start : start + step]


def measure(
    parts: Iterable[HashedRows], learner: _core.Learner, loss: str, *, calibrate: bool = False
) -> HoldoutMetrics:
    """Mean loss, accuracy and temperature on rows; an unknown class (-1) is never predicted right."""
    sample = ScoreSample()
    n_rows, n_right, total = 0, 0, 0.0
    for rows, classes in _small(parts, learner.n_outputs):
        scores = learner.scores(rows)
        n_rows += len(classes)
        n_right += int((choose_classes(scores) == classes).sum())
        total += len(classes) * mean_loss(scores, classes, loss)
        if calibrate:
            sample.add(scores, classes)
    if not n_rows:
        return unmeasured(loss, learner.n_outputs)
    temperature = sample.temperature(loss) if calibrate else default_temperature(loss, learner.n_outputs)
    return HoldoutMetrics(n_rows, total / n_rows, n_right / n_rows, temperature)
