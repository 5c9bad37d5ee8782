"""Whether probabilities hold what they say: of the rows given 80 %, are 80 % right? Pure.

::

    rows ──count──► Reliability         by bins of the probability of the chosen class
    Reliability + Reliability           exact: integers alone, so neither order nor grouping changes a digit
    Reliability.error                   expected calibration error
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_BINS = 15  # as Guo et al. 2017 and most after them, so that figures can be compared

# A row's probability is counted in units of 2^-30: integers add up to the same sum in any order.
_UNITS = 2**30


def _nothing() -> NDArray[np.int64]:
    return np.zeros((3, N_BINS), np.int64)


@dataclass(frozen=True)
class Reliability:
    """Rows by the probability of their chosen class.

    Parameters
    ----------
    table : ndarray of int64, shape (3, n_bins)
        Rows of each bin, those of them that are right, and their probabilities summed, in units of 2^-30.
    """

    table: NDArray[np.int64] = field(default_factory=_nothing)

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.floating[Any]],
        classes: NDArray[np.integer[Any]],
        n_bins: int = N_BINS,
    ) -> Reliability:
        """The table of some rows.

        Parameters
        ----------
        probabilities : ndarray, shape (n_rows, n_classes)
        classes : ndarray of int, shape (n_rows,)
            The true classes; a row of an unknown one (-1) is left out.
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
        """The table of both together."""
        return Reliability(self.table + other.table)

    @property
    def error(self) -> float | None:
        """Mean distance of accuracy and probability (Guo et al. 2017); None without rows."""
        rows, right, units = self.table
        if not rows.any():
            return None
        return float(np.abs(right - units / _UNITS).sum() / rows.sum())
