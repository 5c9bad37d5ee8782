"""A tree grown on some columns and some classes, as a tree over all of them.

The node array names the columns, and the values of the nodes have a place a class: both are numbered anew, and what
comes out is an ordinary tree of scikit-learn that predicts the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.tree._tree import Tree


def widened(
    tree: Any,
    *,
    features: NDArray[np.intp] | None,
    n_features: int,
    classes: Sequence[NDArray[np.intp]] | None,
    n_classes: Sequence[int] | None,
) -> Any:
    """The tree, in place, over all columns and classes.

    Parameters
    ----------
    tree : BaseDecisionTree
        Fitted.
    features : ndarray of int or None
        The column of each that it has seen; None if it has seen all.
    n_features : int
    classes : sequence of ndarray of int, or None
        For each output the number of each class that it has seen; None for regression.
    n_classes : sequence of int or None
        For each output the classes there are.
    """
    if features is None and (n_classes is None or _sees_all(tree, n_classes)):
        return tree
    state = tree.tree_.__getstate__()
    nodes, values = state["nodes"].copy(), state["values"]
    if features is not None:
        splits = nodes["feature"] >= 0
        nodes["feature"][splits] = features[nodes["feature"][splits]]
    if classes is not None and n_classes is not None:
        wide = np.zeros((*values.shape[:2], max(n_classes)))
        for output, numbers in enumerate(classes):
            wide[:, output, numbers] = values[:, output, : len(numbers)]
        values = wide
        _name_classes(tree, n_classes)
    counts = np.ones(tree.n_outputs_, np.intp) if n_classes is None else np.asarray(n_classes, np.intp)
    tree.tree_ = Tree(n_features, counts, tree.n_outputs_)
    tree.tree_.__setstate__({**state, "nodes": nodes, "values": np.ascontiguousarray(values)})
    tree.n_features_in_ = n_features
    return tree


def _sees_all(tree: Any, n_classes: Sequence[int]) -> bool:
    return not is_classifier(tree) or list(np.atleast_1d(tree.n_classes_)) == list(n_classes)


def _name_classes(tree: Any, n_classes: Sequence[int]) -> None:
    """Classes as trees of a forest name them: by number."""
    names = [np.arange(n, dtype=np.float64) for n in n_classes]
    one = len(names) == 1
    tree.classes_ = names[0] if one else names
    tree.n_classes_ = np.intp(n_classes[0]) if one else np.asarray(n_classes, np.intp)
