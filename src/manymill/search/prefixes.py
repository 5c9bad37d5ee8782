"""Some of the rows of a split, for candidates that are to be told apart cheaply."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The accuracy on so many has a standard error of a point, over several splits of half a point: enough to tell the
# better candidates from the others.
LEAST_TEST_ROWS = 1000


def prefix(rows: NDArray[np.intp], n_rows: int) -> NDArray[np.intp]:
    """The first ``n_rows`` of the rows in an order that mixes them; all rows as they are if there are no more.

    A file may be sorted by class, so a prefix of the rows as they stand would hold one class. Greater prefixes contain
    the smaller ones, and their rows keep the order in which they stand.
    """
    rows = np.asarray(rows)
    if n_rows >= len(rows):
        return rows
    mixed = np.random.default_rng(len(rows)).permutation(len(rows))
    return rows[np.sort(mixed[:n_rows])]
