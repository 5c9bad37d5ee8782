"""Seeds of trees, and which partition each tree grows on: functions of the tree's number alone.

So growing 50 trees and then 50 more gives the 100 of one call, and no tree is ever grown twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST = np.iinfo(np.int32).max


def tree_seeds(entropy: int, n_trees: int) -> list[int]:
    """Seeds of the first trees of a forest, all different.

    Parameters
    ----------
    entropy : int
        0 or more.
    n_trees : int

    Returns
    -------
    list of int
        From 0 to 2**31 - 2; of tree k the first number from the k-th child of ``SeedSequence(entropy)`` that no tree
        before it has. (32 bits alone would repeat a seed in one of two forests of 65,000 trees.)
    """
    seeds: dict[int, None] = {}
    for number in range(n_trees):
        child = np.random.Generator(np.random.PCG64(_child(entropy, number)))
        while (seed := int(child.integers(_MOST))) in seeds:
            pass
        seeds[seed] = None
    return list(seeds)


def patch_stream(entropy: int, number: int) -> np.random.Generator:
    """What draws the rows and columns of a tree: another stream than that of its seed."""
    return np.random.Generator(np.random.PCG64(_child(entropy, number).spawn(1)[0]))


def dealt(n_rows: Sequence[int], n_trees: int) -> NDArray[np.intp]:
    """The partition of each of the first trees, ``(n_trees,)``, so that votes weigh as rows do.

    Every member of a forest has one vote, so a partition with twice the rows gets twice the trees. The next tree goes
    to the partition whose rows to (2 trees + 1) are the most: the divisor rule of Webster and Sainte-Laguë, which, other
    than that of the largest remainder, never takes back a tree when there are more.

    Parameters
    ----------
    n_rows : sequence of int
        Of each partition.
    n_trees : int
    """
    rows = np.asarray(n_rows, np.float64)
    trees = np.zeros(len(rows))
    parts = np.empty(n_trees, np.intp)
    for number in range(n_trees):
        parts[number] = part = int(np.argmax(rows / (2 * trees + 1)))
        trees[part] += 1
    return parts


def _child(entropy: int, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(entropy, spawn_key=(number,))
