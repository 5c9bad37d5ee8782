"""Whether partitions differ in their labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def cramers_v(histograms: ArrayLike) -> float:
    """How much partitions differ in their labels: Cramér's V, which does not grow with the number of rows.

    Parameters
    ----------
    histograms : array-like of shape (n_partitions, n_classes)
        Rows of each label in each partition. Partitions and labels without a row do not count.

    Returns
    -------
    float
        0: all partitions are alike; 1: a label is known from its partition, or the other way round.
    """
    table = np.asarray(histograms, np.float64)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    if min(table.shape) < 2:
        return 0.0
    n = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    chi_square = float(((table - expected) ** 2 / expected).sum())
    return min(1.0, float(np.sqrt(chi_square / (n * (min(table.shape) - 1)))))
