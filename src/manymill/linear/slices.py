"""A window of documents cut into slices: what one task hashes, and what one lesson teaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch, Documents
from manymill.data.reader import Window
from manymill.linear.classes import ClassIndex, ClassWeights

# Text hashed by one task: large enough that starting a task costs nothing, small enough that few are in
# flight.
SLICE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows picked from the batches of a window, not hashed yet."""

    documents: list[Documents]  # of the whole window
    chunk_of: NDArray[np.uint32]  # (n_rows,)
    row_of: NDArray[np.uint32]  # (n_rows,)
    classes: NDArray[np.int32]  # (n_rows,)
    weights: NDArray[np.float32] | None  # (n_rows,); None: every row weighs 1


class Rows:
    """All rows of a window in their shuffled order, with what training needs to know of each."""

    def __init__(self, window: Window, index: ClassIndex) -> None:
        batches = self._batches = window.batches
        self._chunk_of, self._row_of = window.chunk_of, window.row_of
        self._order = window.order
        self._documents = [batch.documents for batch in batches]
        self._n_bytes = np.concatenate([np.diff(batch.offsets) for batch in batches]).take(self._order)
        self.classes = np.concatenate([_codes(batch, index) for batch in batches]).take(self._order)
        self._weights = self._own_weights()

    def _own_weights(self) -> NDArray[np.float32] | None:
        if all(batch.weight is None for batch in self._batches):
            return None
        columns = [np.ones(len(b), np.float32) if b.weight is None else b.weight for b in self._batches]
        return np.concatenate(columns).take(self._order)

    def weigh(
        self, class_weights: ClassWeights, index: ClassIndex, learnt: NDArray[np.bool_], *, count: bool
    ) -> None:
        """Multiply each row's weight by that of its class."""
        by_class = class_weights.update(self.classes[learnt], index, count=count)
        if by_class is not None:
            own = np.float32(1.0) if self._weights is None else self._weights
            self._weights = by_class[self.classes] * own

    def held_out(self, share: float) -> NDArray[np.bool_]:
        """Which rows are held out, ``(n_rows,)``, by a hash of the text: equal texts go together."""
        if not share:
            return np.zeros(len(self.classes), np.bool_)
        keys = np.concatenate([_keys(batch) for batch in self._batches]).take(self._order)
        return keys < np.uint64(min(share * 2.0**64, 2.0**64 - 2048))

    def slices(self, chosen: NDArray[np.bool_]) -> Iterator[Slice]:
        """The chosen rows in slices of about ``SLICE_BYTES`` of text."""
        picks = np.flatnonzero(chosen)
        if not len(picks):
            return
        ends = np.cumsum(self._n_bytes[picks])
        cuts = np.flatnonzero(np.diff(ends // SLICE_BYTES)) + 1
        for part in np.split(picks, cuts):
            weights = None if self._weights is None else self._weights[part]
            yield Slice(
                self._documents, self._chunk_of[part], self._row_of[part], self.classes[part], weights
            )


def whole(batch: Batch, index: ClassIndex | None) -> Slice:
    """All rows of a batch in their own order; without an index their classes are all -1."""
    n = len(batch)
    codes = np.full(n, -1, np.int32) if index is None else _codes(batch, index)
    return Slice([batch.documents], np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32), codes, None)


def _keys(batch: Batch) -> NDArray[np.uint64]:
    assert batch.keys is not None, "rows that may be held out are read with their keys"
    return batch.keys


def _codes(batch: Batch, index: ClassIndex) -> NDArray[np.int32]:
    assert batch.label is not None, "training reads labels"
    return index.encode(batch.label)
