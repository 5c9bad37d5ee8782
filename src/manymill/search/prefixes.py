"""Some of the rows of a split, for candidates that are to be told apart cheaply."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The accuracy on so many has a standard error of a point, over several splits of half a point: enough to tell the
# better candidates from the others.
LEAST_TEST_ROWS = 1000


def prefix(rows: NDArray[np.intp], n_rows: int, codes: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
    """The first ``n_rows`` of the rows in an order that mixes them; all rows as they are if there are no more.

    A file may be sorted by class, so a prefix of the rows as they stand would hold one class. Greater prefixes contain
    the smaller ones, and their rows keep the order in which they stand. With the `codes` of the classes of all rows
    there is one row of each class at least, as far as there is room: most classifiers cannot be fitted to one class.
    """
    rows = np.asarray(rows)
    if n_rows >= len(rows):
        return rows
    mixed = np.random.default_rng(len(rows)).permutation(len(rows))
    if codes is not None:
        mixed = _each_class_first(mixed, codes[rows[mixed]])
    return rows[np.sort(mixed[:n_rows])]


def _each_class_first(mixed: NDArray[np.intp], codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """An order that begins with the first row of each class; the others follow as they stood."""
    met = np.full(int(codes.max(initial=-1)) + 1, -1, np.intp)
    met[codes[::-1]] = np.arange(len(codes))[::-1]  # of several, the one that is written last stays
    ahead = np.sort(met[met >= 0])
    return np.concatenate([mixed[ahead], np.delete(mixed, ahead)])
