"""A tree that has been grown, as it comes back from a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree._tree import NODE_DTYPE

# Bytes of a node that belong to no field.
_GAPS = np.ones(NODE_DTYPE.itemsize, bool)
for _dtype, _offset, *_ in NODE_DTYPE.fields.values():
    _GAPS[_offset : _offset + _dtype.itemsize] = False


@dataclass(slots=True, eq=False)
class Grown:
    """One member of an ensemble.

    Attributes
    ----------
    number : int
        Of the tree in the forest, from 0.
    tree : estimator
        Fitted.
    features : ndarray of int or None
        The columns that a member of a bagging looks at; None for a tree of a forest, which knows them by itself.
    part : int or None
        The partition it has seen; None if it has seen them all.
    seconds : float
        That growing took.
    """

    number: int
    tree: Any
    features: NDArray[Any] | None = None
    part: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if hasattr(self.tree, "tree_"):
            clear_gaps(self.tree.tree_)

    @property
    def n_nodes(self) -> int:
        """Nodes of the tree; 0 for what is no tree."""
        return int(self.tree.tree_.node_count) if hasattr(self.tree, "tree_") else 0


def clear_gaps(tree: Any) -> None:
    """Write zeros between the fields of a tree's nodes.

    scikit-learn leaves there what was in memory, which travels with pickles: forests that are equal would differ in
    their bytes.
    """
    nodes = tree.__getstate__()["nodes"]
    nodes.view(np.uint8).reshape(len(nodes), -1)[:, _GAPS] = 0
