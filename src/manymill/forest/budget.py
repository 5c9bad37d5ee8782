"""Limit the leaves of trees so that the saved forest does not exceed a size in bytes.

A tree of L leaves has 2 L - 1 nodes, and every node takes the same number of bytes in the file, so the number of leaves
bounds the size, whatever the rows are. Trees grown on a sample show whether a limit is needed at all::

    leaves of a few trees on n/4 and n rows  ──►  leaves ~ a · rows^b  ──►  expected bytes with all rows
    twice the leaves, in proportion to rows  ──►  if that fits as well, trees need no limit
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier

from manymill.errors import SettingsError
from manymill.forest.combining import check_forest
from manymill.forest.nodes import tensor_specs
from manymill.forest.parameters import grows_trees, is_bagging
from manymill.storage.tensors import header_of

_SAMPLE_ROWS = 8192
_SAMPLE_TREES = 3
# Size of forest.json without labels and column names.
_JSON_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LeafBudget:
    """How ``max_bytes`` limits the trees.

    Attributes
    ----------
    max_bytes : int
        Maximum size of the saved forest in bytes.
    max_leaf_nodes : int or None
        Maximum number of leaves per tree; None if trees fit without a limit.
    estimated_bytes : int
        Expected size of the saved forest with this limit.
    unbounded_bytes : int
        Expected size without a limit.
    """

    max_bytes: int
    max_leaf_nodes: int | None
    estimated_bytes: int
    unbounded_bytes: int


def leaf_budget(
    ensemble: Any,
    X: Any,
    y: NDArray[Any],
    *,
    n_estimators: int,
    max_bytes: int,
    rows_per_tree: int | None = None,
    random_state: int = 0,
) -> LeafBudget:
    """Find the limit on the leaves of trees with which the saved forest fits.

    Parameters
    ----------
    ensemble : random forest, extra-trees, or bagging ensemble of trees
        Is not changed. Its own ``max_leaf_nodes`` applies if it is lower.
    X : array-like or sparse matrix of shape (n_rows, n_features)
        A sample of its rows is read.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
    n_estimators : int
        Number of trees of the whole forest.
    max_bytes : int
        Maximum size of the folder that :func:`manymill.save_forest` writes, without facts.
    rows_per_tree : int, optional
        Number of rows that each tree is grown on; all if not given.
    random_state : int

    Raises
    ------
    SettingsError
        If not even trees of two leaves fit, or members of the ensemble are not trees.
    """
    if not grows_trees(ensemble):
        raise SettingsError(
            "max_bytes limits trees, and the members of the ensemble are not trees", "leave out max_bytes"
        )
    json_bytes = _estimate_json_bytes(ensemble, X, y, n_estimators)
    sizes = _Sizes(n_estimators, *_count_outputs(ensemble, y), json_bytes)
    per_tree = (max_bytes - sizes.total(0)) / (n_estimators * sizes.node)
    most = math.floor((per_tree + 1) / 2)
    if most < 2:
        raise SettingsError.invalid(
            "max_bytes",
            max_bytes,
            f"{sizes.total(3)} or more for {n_estimators} trees of two leaves, or None",
            "allow more bytes, or use fewer trees",
        )
    expected, highest = _estimate_leaves(ensemble, X, y, rows_per_tree or X.shape[0], random_state)
    unbounded = sizes.total(2 * expected - 1)
    if sizes.total(2 * highest - 1) <= max_bytes:
        return LeafBudget(max_bytes, None, unbounded, unbounded)
    own = _tree_parameters(ensemble).get("max_leaf_nodes")
    limit = most if own is None else min(most, own)
    return LeafBudget(max_bytes, limit, sizes.total(2 * min(limit, expected) - 1), unbounded)


def apply_budget(ensemble: Any, budget: LeafBudget) -> Any:
    """A clone of an ensemble whose trees do not exceed a budget."""
    limited = clone(ensemble)
    if budget.max_leaf_nodes is None:
        return limited
    if not is_bagging(ensemble):
        return limited.set_params(max_leaf_nodes=budget.max_leaf_nodes)
    if limited.estimator is None:
        limited.estimator = _default_tree(ensemble)
    return limited.set_params(estimator__max_leaf_nodes=budget.max_leaf_nodes)


def saved_bytes(forest: Any) -> int:
    """Size in bytes of the nodes file that :func:`manymill.save_forest` writes for a fitted forest.

    Raises
    ------
    PlanError
        If it is not a fitted forest.
    """
    check_forest(forest, "the forest")
    trees = [member.tree_ for member in forest.estimators_]
    n_classes = max((tree.value.shape[2] for tree in trees), default=1)
    n_nodes = sum(tree.node_count for tree in trees)
    return _nodes_file_bytes(len(trees), n_nodes, trees[0].value.shape[1], n_classes)


def _nodes_file_bytes(n_trees: int, n_nodes: int, n_outputs: int, n_classes: int) -> int:
    tensors = tensor_specs(n_trees, n_nodes, n_outputs, n_classes)
    data = sum(math.prod(shape) * int(np.dtype(dtype).itemsize) for dtype, shape in tensors.values())
    return len(header_of(tensors)) + data


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Size in bytes of a saved forest, by the number of nodes of its trees."""

    n_trees: int
    n_outputs: int
    n_classes: int
    json_bytes: int

    @property
    def node(self) -> int:
        """Bytes of one node."""
        one, two = (_nodes_file_bytes(1, n, self.n_outputs, self.n_classes) for n in (10**6, 10**6 + 8))
        return (two - one) // 8

    def total(self, n_nodes: float) -> int:
        """Bytes with this number of nodes per tree, plus a margin: the header grows with the digits of its numbers."""
        margin = 128
        nodes = math.ceil(self.n_trees * n_nodes)
        empty = _nodes_file_bytes(self.n_trees, 0, self.n_outputs, self.n_classes)
        return self.json_bytes + margin + empty + nodes * self.node


def _count_outputs(ensemble: Any, y: NDArray[Any]) -> tuple[int, int]:
    """The number of outputs, and the largest number of classes of an output."""
    columns = y.reshape(len(y), -1)
    if not is_classifier(ensemble):
        return columns.shape[1], 1
    return columns.shape[1], max(len(np.unique(column)) for column in columns.T)


def _estimate_json_bytes(ensemble: Any, X: Any, y: NDArray[Any], n_estimators: int) -> int:
    """Maximum size of forest.json, for column names of a few dozen letters."""
    size: int = _JSON_BYTES + 64 * X.shape[1]
    if is_classifier(ensemble):
        labels = [str(label) for column in y.reshape(len(y), -1).T for label in np.unique(column)]
        size += len(json.dumps(labels)) + 8 * len(labels)
    if is_bagging(ensemble):
        size += n_estimators * 9 * X.shape[1]  # the columns of each member
    return size


def _estimate_leaves(
    ensemble: Any, X: Any, y: NDArray[Any], n_rows: int, random_state: int
) -> tuple[float, float]:
    """The expected number of leaves of a tree grown on ``n_rows`` rows, and an upper bound."""
    random = np.random.default_rng(random_state)
    n_sampled = min(_SAMPLE_ROWS, X.shape[0], n_rows)
    rows = np.sort(random.choice(X.shape[0], n_sampled, replace=False))
    few = np.sort(random.choice(rows, max(2, n_sampled // 4), replace=False)) if n_sampled > 8 else rows
    many_leaves = _count_leaves(ensemble, X[rows], y[rows])
    few_leaves = _count_leaves(ensemble, X[few], y[few])
    ratio = n_rows / n_sampled
    power = math.log(many_leaves.mean() / few_leaves.mean()) / math.log(n_sampled / len(few) + 1e-9)
    expected = many_leaves.mean() * ratio ** min(1.0, max(0.0, power))
    highest = min(2.0 * many_leaves.max() * ratio, float(n_rows))
    own = _tree_parameters(ensemble).get("max_leaf_nodes") or math.inf
    return min(expected, own), min(highest, own)


def _count_leaves(ensemble: Any, X: Any, y: NDArray[Any]) -> NDArray[np.float64]:
    """Grow a few trees and count the leaves of each."""
    trial = clone(ensemble).set_params(n_estimators=_SAMPLE_TREES, oob_score=False, random_state=0)
    return np.array([member.tree_.n_leaves for member in trial.fit(X, y).estimators_], np.float64)


def _tree_parameters(ensemble: Any) -> dict[str, Any]:
    tree = ensemble if not is_bagging(ensemble) else ensemble.estimator
    parameters: dict[str, Any] = {} if tree is None else tree.get_params()
    return parameters


def _default_tree(ensemble: Any) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    return DecisionTreeClassifier() if is_classifier(ensemble) else DecisionTreeRegressor()
