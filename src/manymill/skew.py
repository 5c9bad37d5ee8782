"""Whether partitions differ in their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Skew:
    """How much partitions differ in their labels: a test of independence of label and partition."""

    statistic: float  # chi square
    degrees: int
    p_value: float
    cramers_v: (
        float  # 0: all partitions are alike; 1: a label is known from its partition, or the other way round
    )


def skew(histograms: ArrayLike) -> Skew:
    """Whether labels are spread over partitions as chance would.

    Parameters
    ----------
    histograms : array-like of shape (n_partitions, n_classes)
        Rows of each label in each partition. Partitions and labels without a row do not count.

    Returns
    -------
    Skew
        Pearson's chi square. Of many rows the p-value finds differences that do not matter: judge by Cramér's V, which
        does not grow with them.
    """
    from scipy.stats import chi2

    statistic, (n_partitions, n_classes), v = _chi_square(histograms)
    degrees = (n_partitions - 1) * (n_classes - 1)
    if min(n_partitions, n_classes) < 2:
        return Skew(0.0, 0, 1.0, 0.0)
    return Skew(statistic, degrees, float(chi2.sf(statistic, degrees)), v)


def cramers_v(histograms: ArrayLike) -> float:
    """How much partitions differ in their labels, 0 to 1: see :class:`Skew`."""
    return _chi_square(histograms)[2]


def _chi_square(histograms: ArrayLike) -> tuple[float, tuple[int, int], float]:
    """Chi square, the partitions and the classes that count, and Cramér's V."""
    table = np.asarray(histograms, np.float64)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    n_partitions, n_classes = table.shape
    if min(table.shape) < 2:
        return 0.0, (n_partitions, n_classes), 0.0
    n = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    statistic = float(((table - expected) ** 2 / expected).sum())
    v = float(np.sqrt(statistic / (n * (min(table.shape) - 1))))
    return statistic, (n_partitions, n_classes), min(1.0, v)
