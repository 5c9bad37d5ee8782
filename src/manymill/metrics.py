"""Metrics of classifiers, in memory that does not grow with the number of rows.

::

    rows ──count──► Counts              one per batch; contains a Reliability
    Counts + Counts = Counts            exact: only integers, so neither order nor grouping changes a digit
    Counts ──summarise──► Metrics       accuracy, F1, log loss, calibration error, ...

Only pairs of (true, chosen) class that occur take memory, 16 bytes each. `cramers_v` measures how much partitions
differ in their labels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Label = str | int

N_BINS = 15  # as in Guo et al. 2017 and most later work, so that figures can be compared
MAX_UNKNOWN_LABELS = 1_000

# Log losses and probabilities are summed in units of 2^-30: integers have the same sum in any order.
_UNITS = 2**30
_NORMAL_QUANTILE_95 = 1.959963984540054
_INTEGERS = np.dtype(np.int64)


def _empty_table() -> NDArray[np.int64]:
    return np.zeros((3, N_BINS), np.int64)


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram: rows by the probability of their chosen class.

    Parameters
    ----------
    table : ndarray of int64, shape (3, n_bins)
        Rows of each bin, correct rows among them, and the sum of their probabilities in units of 2^-30.
    """

    table: NDArray[np.int64] = field(default_factory=_empty_table)

    @classmethod
    def from_probabilities(
        cls,
        probabilities: NDArray[np.floating[Any]],
        classes: NDArray[np.integer[Any]],
        n_bins: int = N_BINS,
    ) -> Reliability:
        """Count rows.

        Parameters
        ----------
        probabilities : ndarray, shape (n_rows, n_classes)
        classes : ndarray of int, shape (n_rows,)
            The true classes; rows of an unknown class (-1) are left out.
        n_bins : int
            Bins of equal width; a probability on an edge belongs to the lower one.
        """
        known = np.asarray(probabilities)[classes >= 0]
        table = np.zeros((3, n_bins), np.int64)
        if len(known):
            confidence = known.max(axis=1).astype(np.float64)
            right = known.argmax(axis=1) == classes[classes >= 0]
            bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
            columns = (np.ones(len(bins)), right, np.rint(confidence * _UNITS))
            for row, column in zip(table, columns, strict=True):
                np.add.at(row, bins, column.astype(np.int64))
        return cls(table)

    def __add__(self, other: Reliability) -> Reliability:
        """Return the sum of both tables."""
        return Reliability(self.table + other.table)

    @property
    def error(self) -> float | None:
        """Expected calibration error (Guo et al. 2017): distance of accuracy and probability. None without rows."""
        rows, right, units = self.table
        if not rows.any():
            return None
        return float(np.abs(right - units / _UNITS).sum() / rows.sum())


@dataclass(frozen=True)
class Counts:
    """Counts of (true, chosen) class pairs, with sums of losses.

    Parameters
    ----------
    n_classes : int
        Number of classes of the model.
    pairs : ndarray of int64
        ``true * n_classes + chosen``, ascending; an unknown true label is class ``n_classes``.
    n_of_pair : ndarray of int64
        Rows of each pair.
    loss_units, n_loss_rows : int
        Sum of the log loss in units of 2^-30, and the number of rows in it.
    reliability : Reliability
        The rows in the log loss, by the probability of their chosen class.
    unknown_labels : mapping
        Labels that the model does not know and their rows; the first 1,000 in alphabetical order.
    """

    n_classes: int
    pairs: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, _INTEGERS))
    n_of_pair: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, _INTEGERS))
    loss_units: int = 0
    n_loss_rows: int = 0
    reliability: Reliability = field(default_factory=Reliability)
    unknown_labels: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        """Return the sum of both counts."""
        if self.n_classes != other.n_classes:
            raise ValueError(f"counts of {self.n_classes} and {other.n_classes} classes cannot be added")
        pairs, indices = np.unique(np.concatenate([self.pairs, other.pairs]), return_inverse=True)
        n_of_pair = np.zeros(len(pairs), _INTEGERS)
        np.add.at(n_of_pair, indices, np.concatenate([self.n_of_pair, other.n_of_pair]))
        return Counts(
            self.n_classes,
            pairs,
            n_of_pair,
            self.loss_units + other.loss_units,
            self.n_loss_rows + other.n_loss_rows,
            self.reliability + other.reliability,
            _first_labels(Counter(self.unknown_labels) + Counter(other.unknown_labels)),
        )


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class: ``support`` rows have it as label, ``n_chosen`` rows were classified as it."""

    label: Label
    precision: float
    recall: float
    f1: float
    support: int
    n_chosen: int


@dataclass(frozen=True)
class Metrics:
    """Metrics of a classifier.

    Parameters
    ----------
    n_rows, n_correct : int
        All rows, and rows whose chosen class is their label.
    accuracy : float
        Their ratio; a row whose label the model does not know counts as wrong.
    accuracy_interval : tuple of float
        Wilson's 95 % interval of the accuracy.
    macro_f1 : float
        Mean F1 of the model's classes that occur as a label or as a choice. Unknown classes are not included, though
        their rows count as wrong choices.
    micro_f1 : float
        F1 of all rows pooled; equals the accuracy, since each row has one label and one choice.
    log_loss : float or None
        Mean of ``-ln`` of the probability of the label, over rows whose label the model knows.
    calibration_error : float or None
        Expected calibration error of the same rows: mean distance between the probability of the chosen class and
        the share of correct rows, over 15 bins.
    classes : tuple of ClassMetrics
        One per class of the model.
    n_unknown : int
        Rows with a label that the model does not know.
    unknown_labels : mapping
        Such labels and their rows, see `Counts`.
    """

    n_rows: int
    n_correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    micro_f1: float
    log_loss: float | None
    calibration_error: float | None
    classes: tuple[ClassMetrics, ...]
    n_unknown: int
    unknown_labels: Mapping[str, int]


def count(
    true: NDArray[np.integer[Any]],
    chosen: NDArray[np.integer[Any]],
    n_classes: int,
    *,
    probabilities: NDArray[np.floating[Any]] | None = None,
    unknown_labels: Iterable[str] = (),
) -> Counts:
    """Count rows.

    Parameters
    ----------
    true : ndarray of int, shape (n_rows,)
        Index of each row's label among the model's classes, -1 if the model does not know it.
    chosen : ndarray of int, shape (n_rows,)
        Index of the chosen class.
    n_classes : int
    probabilities : ndarray, shape (n_rows, n_classes), optional
        For the log loss; probabilities are clipped to at least 2.2e-16, as in scikit-learn.
    unknown_labels : iterable of str
        The labels of the rows whose ``true`` is -1.
    """
    true = np.where(true < 0, n_classes, true).astype(_INTEGERS)
    pairs, n_of_pair = np.unique(true * n_classes + chosen, return_counts=True)
    loss_units, n_loss_rows, reliability = 0, 0, Reliability()
    if probabilities is not None:
        known = np.flatnonzero(true < n_classes)
        reliability = Reliability.from_probabilities(probabilities[known], true[known])
        of_label = probabilities[known, true[known]].astype(np.float64)
        losses = -np.log(np.maximum(of_label, np.finfo(np.float64).eps))
        loss_units = int(np.rint(losses * _UNITS).astype(_INTEGERS).sum())
        n_loss_rows = len(known)
    unknown = _first_labels(Counter(unknown_labels))
    n_of_pair = n_of_pair.astype(_INTEGERS)
    return Counts(n_classes, pairs, n_of_pair, loss_units, n_loss_rows, reliability, unknown)


def summarise(counts: Counts, classes: Sequence[Label]) -> Metrics:
    """Compute the metrics of counts; ratios without rows are 0.

    Parameters
    ----------
    counts : Counts
    classes : sequence of str or int
        The model's classes.
    """
    k = counts.n_classes
    true, chosen = np.divmod(counts.pairs, k)
    is_correct = true == chosen
    correct = _sums(true[is_correct], counts.n_of_pair[is_correct], k)
    support = _sums(true, counts.n_of_pair, k + 1)
    n_chosen = _sums(chosen, counts.n_of_pair, k)
    precision = _ratios(correct, n_chosen)
    recall = _ratios(correct, support[:k])
    f1 = _ratios(2 * correct, support[:k] + n_chosen)
    n_rows, n_correct = int(support.sum()), int(correct.sum())
    occurs = support[:k] + n_chosen > 0
    accuracy = n_correct / n_rows if n_rows else 0.0
    columns = zip(*(a.tolist() for a in (precision, recall, f1, support[:k], n_chosen)), strict=True)
    return Metrics(
        n_rows=n_rows,
        n_correct=n_correct,
        accuracy=accuracy,
        accuracy_interval=wilson_interval(n_correct, n_rows),
        macro_f1=float(f1[occurs].mean()) if occurs.any() else 0.0,
        micro_f1=accuracy,
        log_loss=counts.loss_units / _UNITS / counts.n_loss_rows if counts.n_loss_rows else None,
        calibration_error=counts.reliability.error,
        classes=tuple(ClassMetrics(label, *row) for label, row in zip(classes, columns, strict=True)),
        n_unknown=int(support[k]),
        unknown_labels=dict(counts.unknown_labels),
    )


def confusion_matrix(counts: Counts) -> NDArray[np.int64]:
    """Return the rows of each true class (down) and chosen class (across), shape ``(n_classes, n_classes)``."""
    k = counts.n_classes
    return _sums(counts.pairs, counts.n_of_pair, (k + 1) * k)[: k * k].reshape(k, k)


def largest_confusions(counts: Counts, n: int) -> list[tuple[int, int, int]]:
    """Return the ``n`` most frequent errors as (true class, chosen class, rows); the most frequent first."""
    true, chosen = np.divmod(counts.pairs, counts.n_classes)
    errors = np.flatnonzero((true != chosen) & (true < counts.n_classes))
    order = errors[np.argsort(-counts.n_of_pair[errors], kind="stable")[:n]]
    return [(int(true[i]), int(chosen[i]), int(counts.n_of_pair[i])) for i in order]


def wilson_interval(n_correct: int, n_rows: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927), also valid for few rows and near 0 and 1."""
    if n_rows == 0:
        return 0.0, 1.0
    z2, share = _NORMAL_QUANTILE_95**2, n_correct / n_rows
    middle = share + z2 / (2 * n_rows)
    half = _NORMAL_QUANTILE_95 * math.sqrt(share * (1 - share) / n_rows + z2 / (4 * n_rows**2))
    scale = 1 + z2 / n_rows
    # Rounding must not exclude the share itself.
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def cramers_v(histograms: ArrayLike) -> float:
    """Return Cramér's V of partitions and labels: how much they depend on each other, whatever the number of rows.

    Parameters
    ----------
    histograms : array-like of shape (n_partitions, n_classes)
        Rows of each label in each partition. Partitions and labels without rows are ignored.

    Returns
    -------
    float
        0 if all partitions have the same distribution of labels; 1 if the partition determines the label, or the
        label the partition.
    """
    table = np.asarray(histograms, np.float64)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    if min(table.shape) < 2:
        return 0.0
    n = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    chi_square = float(((table - expected) ** 2 / expected).sum())
    return min(1.0, float(np.sqrt(chi_square / (n * (min(table.shape) - 1)))))


def _sums(indices: NDArray[np.int64], values: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    sums = np.zeros(length, _INTEGERS)
    np.add.at(sums, indices, values)
    return sums


def _ratios(numerators: NDArray[np.int64], denominators: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(numerators, denominators, out=np.zeros(len(numerators)), where=denominators > 0)


def _first_labels(labels: Counter[str]) -> dict[str, int]:
    # The first of a union are among the first of its parts, so merging counts keeps the result exact.
    return {label: labels[label] for label in sorted(labels)[:MAX_UNKNOWN_LABELS]}
