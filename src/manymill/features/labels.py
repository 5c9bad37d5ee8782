"""Labels of all batches as numbers into one list of names, in the order of their appearance."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch

_INT64 = range(-(2**63), 2**63)


class Numbering:
    """The names met so far.

    Attributes
    ----------
    names : list of str
        In the order of their appearance.
    are_integers : bool
        Whether each label so far is an integer in its source, and fits into 64 bits.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []
        self.are_integers = True

    def codes(self, batch: Batch) -> NDArray[np.int64]:
        """The place of each row's label in :attr:`names`, int64 of shape ``(n_rows,)``."""
        if batch.label is None or not len(batch):
            return np.zeros(len(batch), np.int64)
        self.are_integers &= batch.labels_are_integers
        used, n_before = batch.label.counts(), len(self._numbers)
        numbers = [
            self._numbers.setdefault(name, len(self._numbers)) if name in used else 0
            for name in batch.label.names
        ]
        new = list(islice(self._numbers, n_before, None))
        self.names += new
        self.are_integers = self.are_integers and all(int(name) in _INT64 for name in new)
        return np.array(numbers, np.int64)[batch.label.codes]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels: int64 if all are integers, else strings as long as the longest."""
        if self.are_integers:
            return np.dtype(np.int64)
        return np.dtype((np.str_, max(map(len, self.names), default=1)))

    def labels(self, codes: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The labels of rows; no more of them are made than there are rows."""
        used, rows = np.unique(codes, return_inverse=True)
        names = [self.names[code] for code in used.tolist()]
        return np.array([int(name) for name in names] if dtype.kind == "i" else names, dtype)[rows]
