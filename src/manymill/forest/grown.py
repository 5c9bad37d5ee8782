"""A tree that has been grown, as it comes back from a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


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

    @property
    def n_nodes(self) -> int:
        """Nodes of the tree; 0 for what is no tree."""
        return int(self.tree.tree_.node_count) if hasattr(self.tree, "tree_") else 0
