"""Labels of all batches as numbers into one list of names, in the order of their appearance."""

from __future__ import annotations

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
        Whether each label so far is an integer in its source.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.are_integers = True

    @property
    def names(self) -> list[str]:
        """The names, in the order of their appearance."""
        return list(self._numbers)

    def codes(self, batch: Batch) -> NDArray[np.int64]:
        """The place of each row's label in :attr:`names`, int64 of shape ``(n_rows,)``."""
        if batch.label is None or not len(batch):
            return np.zeros(len(batch), np.int64)
        self.are_integers &= batch.labels_are_integers
        used = batch.label.counts()
        numbers = [
            self._numbers.setdefault(name, len(self._numbers)) if name in used else 0
            for name in batch.label.names
        ]
        return np.array(numbers, np.int64)[batch.label.codes]

    def values(self) -> NDArray[np.int64] | NDArray[np.str_]:
        """The names as labels: integers if all are, else strings."""
        if self.are_integers and all(int(name) in _INT64 for name in self._numbers):
            return np.array([int(name) for name in self._numbers], np.int64)
        return np.array(self.names, np.str_)
