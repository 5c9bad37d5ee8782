"""The labels of a batch: a short list of names, and a number a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels as codes into names.

    Not an Arrow dictionary: text is read without Arrow, whose import costs more than to train on 30 MB.

    Parameters
    ----------
    names : tuple of str
        Distinct names.
    codes : ndarray
        int32, shape ``(n_rows,)``: the place of each row's label in ``names``.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int32]

    @staticmethod
    def of(labels: Iterable[str]) -> Labels:
        """The labels of a few rows."""
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(label, len(numbers)) for label in labels]
        return Labels(tuple(numbers), np.array(codes, np.int32))

    def __len__(self) -> int:
        return len(self.codes)

    def counts(self) -> dict[str, int]:
        """The number of rows of each name that any row has."""
        counts = np.bincount(self.codes, minlength=len(self.names)).tolist()
        return {name: n for name, n in zip(self.names, counts, strict=True) if n}

    def to_list(self) -> list[str]:
        """The label of each row."""
        return [self.names[code] for code in self.codes.tolist()]
