"""Rows mixed in windows of several batches; no text is moved.

In: batches in a seeded random order of blocks. Out: windows whose rows are permuted under the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch

# Text that is mixed at a time unless told otherwise: a sorted file of this size is shuffled whole, and training
# stays below 200 MB.
WINDOW_BYTES = 48 << 20

# Keeps the random streams of windows, of blocks and of whatever comes apart from each other.
_STREAM = 1


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Batches, and all their rows in random order.

    Parameters
    ----------
    batches : tuple of Batch
    order : ndarray
        int64, shape ``(n_rows,)``: row ``i`` of the window is row ``order[i]`` of all batches, one behind the other.
    chunk_of, row_of : ndarray
        uint32, shape ``(n_rows,)``: row ``i`` of the window is row ``row_of[i]`` of ``batches[chunk_of[i]]``.
    """

    batches: tuple[Batch, ...]
    order: NDArray[np.int64]
    chunk_of: NDArray[np.uint32]
    row_of: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.chunk_of)


def windows(batches: Iterable[Batch], *, window_bytes: int, seed: int, pass_number: int) -> Iterator[Window]:
    """Windows of at least ``window_bytes`` of text, the last one smaller.

    Parameters
    ----------
    batches : iterable of Batch
    window_bytes : int
        Bytes of text after which a window is full.
    seed, pass_number : int
        Decide the order of the rows, together with the number of the window.
    """
    held: list[Batch] = []
    n_bytes = number = 0
    for batch in batches:
        if not len(batch):
            continue
        held.append(batch)
        n_bytes += batch.text_bytes + len(batch)
        if n_bytes >= window_bytes:
            yield _window(held, seed, pass_number, number)
            held, n_bytes, number = [], 0, number + 1
    if held:
        yield _window(held, seed, pass_number, number)


def _window(batches: list[Batch], seed: int, pass_number: int, number: int) -> Window:
    sizes = [len(batch) for batch in batches]
    chunk_of = np.repeat(np.arange(len(batches), dtype=np.uint32), sizes)
    row_of = np.concatenate([np.arange(size, dtype=np.uint32) for size in sizes])
    order = np.random.default_rng((seed, _STREAM, pass_number, number)).permutation(len(row_of))
    return Window(tuple(batches), order, chunk_of.take(order), row_of.take(order))
