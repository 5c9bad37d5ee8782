"""Which class has which number, and how much its rows weigh.

Classes are numbered as they are met: first those of the plan's sample, then, window by window, new ones in
sorted order. The numbers are private to a training; a finished model has its classes in sorted order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Labels


class ClassIndex:
    """Names of classes and their numbers, growing as new names are met."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        self.add(names)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of their numbers."""
        return tuple(self._numbers)

    def add(self, names: Iterable[str]) -> tuple[str, ...]:
        """Number those names that have no number yet, in sorted order, and return them."""
        new = self.missing(names)
        for name in new:
            self._numbers[name] = len(self._numbers)
        return new

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those names that have no number yet, sorted."""
        return tuple(sorted(set(names) - self._numbers.keys()))

    @classmethod
    def in_order(cls, names: Iterable[str]) -> ClassIndex:
        """An index that numbers the names in the order given."""
        index = cls()
        index._numbers = {name: number for number, name in enumerate(names)}
        return index

    def numbers(self, names: Iterable[str]) -> NDArray[np.int32]:
        """The numbers of names, int32; -1 for a name without a number."""
        return np.array([self._numbers.get(name, -1) for name in names], np.int32)

    def encode(self, labels: Labels) -> NDArray[np.int32]:
        """The numbers of labels, int32 of shape ``(n_rows,)``; -1 for a name without a number."""
        return self.numbers(labels.names)[labels.codes]

    @property
    def are_integers(self) -> bool:
        """Whether each name is an integer as it is written."""
        return all(re.fullmatch(r"0|-?[1-9][0-9]*", name) for name in self._numbers)

    def sorted_order(self, *, as_integers: bool, first: int | None = None) -> NDArray[np.intp]:
        """The numbers of the classes in the order of their names, ``(n_classes,)``: of the ``first`` ones if given."""
        names = self.names[:first]
        key = (lambda i: int(names[i])) if as_integers else (lambda i: names[i])
        return np.array(sorted(range(len(names)), key=key), np.intp)


class ClassWeights:
    """The weight of a row by its class: none, given by name, or balanced over the rows met so far.

    Attributes
    ----------
    counts : ndarray of int64, shape (n_classes,)
        Rows of each class met so far, where weights are balanced.
    """

    def __init__(self, class_weight: str | Mapping[Any, float] | None) -> None:
        self._given = (
            {str(k): float(v) for k, v in class_weight.items()} if isinstance(class_weight, Mapping) else {}
        )
        self._balanced = class_weight == "balanced"
        self.counts = np.zeros(0, np.int64)

    def update(
        self, codes: NDArray[np.int32], index: ClassIndex, *, count: bool
    ) -> NDArray[np.float32] | None:
        """The weights of all classes, ``(n_classes,)``; None if every row weighs 1.

        These rows are counted first; ``count=False`` leaves the counts alone: every row has been counted in an
        earlier pass.
        """
        if self._given:
            return np.array([self._given.get(name, 1.0) for name in index.names], np.float32)
        if not self._balanced:
            return None
        if count:
            self.counts = np.bincount(codes, minlength=len(index)) + np.pad(
                self.counts, (0, len(index) - len(self.counts))
            )
        met = np.maximum(self.counts, 1)
        balanced = self.counts.sum() / (np.count_nonzero(self.counts) * met)
        return np.asarray(balanced, np.float32)
