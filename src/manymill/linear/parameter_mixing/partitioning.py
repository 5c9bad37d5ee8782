"""Which rows, or blocks of a plan, make up which part: pure functions of numbers and a random stream.

Every row is in exactly one part, and keeps its place before and behind the others of its part: so parts of a
memory-mapped array are read forwards, and a single part is the data as it is.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Partitioning = Literal["shuffled", "contiguous", "stratified"]
PARTITIONINGS = ("shuffled", "contiguous", "stratified")


def parts_of(
    n_items: int,
    n_parts: int,
    partitioning: Partitioning,
    rng: np.random.Generator,
    codes: NDArray[Any] | None = None,
) -> list[NDArray[np.int64]]:
    """The numbers of the items of each part, ascending; sizes differ by one at most.

    Parameters
    ----------
    n_items, n_parts : int
        At least one item a part.
    partitioning : {"shuffled", "contiguous", "stratified"}
        Items dealt at random, cut in the order they have, or dealt class by class, so that the rows of a class in
        two parts differ by one at most.
    rng : numpy.random.Generator
        Not used by "contiguous".
    codes : ndarray of shape (n_items,), optional
        Classes of the items, for "stratified".

    Examples
    --------
    >>> import numpy as np
    >>> [part.tolist() for part in parts_of(5, 2, "contiguous", np.random.default_rng(0))]
    [[0, 1, 2], [3, 4]]
    """
    if partitioning == "contiguous":
        return np.array_split(np.arange(n_items), n_parts)
    order = rng.permutation(n_items)
    if partitioning == "stratified":
        assert codes is not None
        order = order[np.argsort(codes[order], kind="stable")]
    return [np.sort(order[part::n_parts]) for part in range(n_parts)]


def split_off(
    n_rows: int, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of the rows to learn and of those held out, both ascending; at least one of each."""
    if not share or n_rows < 2:
        return np.arange(n_rows), np.arange(0)
    n_held = min(n_rows - 1, max(1, round(share * n_rows)))
    order = rng.permutation(n_rows)
    return np.sort(order[n_held:]), np.sort(order[:n_held])
