"""The size of a forest as a budget: how many leaves a tree may have, so that the saved forest has no more bytes.

A tree of L leaves has 2 L - 1 nodes and every node takes the same room in the file, so the number of leaves bounds the
bytes, whatever the rows are like. Trees grown on a sample tell whether a bound is needed at all::

    leaves of a few trees on n/4 and n rows  ──►  leaves ~ a · rows^b  ──►  expected bytes with all rows
    twice the leaves, in proportion to rows  ──►  if that fits as well, trees grow as they like
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
from manymill.forest.nodes import tensors_of
from manymill.forest.parameters import grows_trees, is_bagging
from manymill.storage.tensors import header_of

_SAMPLE_ROWS = 8192
_SAMPLE_TREES = 3
# Of forest.json: what does not depend on labels and names.
_JSON_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LeafBudget:
    """How a forest is held to a size.

    Attributes
    ----------
    max_bytes : int
        Of the saved forest.
    max_leaf_nodes : int or None
        Leaves of a tree at most; None if trees that grow as they like fit.
    estimated_bytes : int
        That the saved forest is expected to have, with this bound.
    unbounded_bytes : int
        That it would be expected to have without.
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
    """The bound on the leaves of trees with which the saved forest fits.

    Parameters
    ----------
    ensemble : random forest, extra-trees, or bagging of trees
        Is not changed. A bound of its own stays, if it is lower.
    X : array-like or sparse matrix of shape (n_rows, n_features)
        Some rows of it are read.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
    n_estimators : int
        Trees of the whole forest.
    max_bytes : int
        Of the folder that :func:`manymill.save_forest` writes, without facts.
    rows_per_tree : int, optional
        That a tree is grown from; all if not given.
    random_state : int

    Raises
    ------
    SettingsError
        If not even trees of two leaves fit, or members of the ensemble are no trees.
    """
    if not grows_trees(ensemble):
        raise SettingsError("max_bytes holds for trees, and the members are none", "leave out max_bytes")
    sizes = _Sizes(n_estimators, *_outputs(ensemble, y), _told(ensemble, X, y, n_estimators))
    per_tree = (max_bytes - sizes.of(0)) / (n_estimators * sizes.node)
    most = math.floor((per_tree + 1) / 2)
    if most < 2:
        raise SettingsError(
            f"max_bytes={max_bytes} has no room for {n_estimators} trees of two leaves",
            f"give {sizes.of(3)} or more, or fewer trees",
        )
    expected, highest = _leaves(ensemble, X, y, rows_per_tree or X.shape[0], random_state)
    unbounded = sizes.of(2 * expected - 1)
    if sizes.of(2 * highest - 1) <= max_bytes:
        return LeafBudget(max_bytes, None, unbounded, unbounded)
    own = _tree_parameters(ensemble).get("max_leaf_nodes")
    bound = most if own is None else min(most, own)
    return LeafBudget(max_bytes, bound, sizes.of(2 * min(bound, expected) - 1), unbounded)


def within(ensemble: Any, budget: LeafBudget) -> Any:
    """A copy of an ensemble whose trees keep to a budget."""
    if budget.max_leaf_nodes is None:
        return clone(ensemble)
    bounded = clone(ensemble)
    if not is_bagging(ensemble):
        return bounded.set_params(max_leaf_nodes=budget.max_leaf_nodes)
    if bounded.estimator is None:
        bounded.estimator = _default_tree(ensemble)
    return bounded.set_params(estimator__max_leaf_nodes=budget.max_leaf_nodes)


def saved_bytes(forest: Any) -> int:
    """The bytes of the file of nodes that :func:`manymill.save_forest` writes for a fitted forest.

    Raises
    ------
    PlanError
        If it is no forest that can be saved.
    """
    check_forest(forest, "the forest")
    trees = [member.tree_ for member in forest.estimators_]
    n_classes = max((tree.value.shape[2] for tree in trees), default=1)
    n_nodes = sum(tree.node_count for tree in trees)
    return _file_bytes(len(trees), n_nodes, trees[0].value.shape[1], n_classes)


def _file_bytes(n_trees: int, n_nodes: int, n_outputs: int, n_classes: int) -> int:
    tensors = tensors_of(n_trees, n_nodes, n_outputs, n_classes)
    data = sum(math.prod(shape) * int(np.dtype(dtype).itemsize) for dtype, shape in tensors.values())
    return len(header_of(tensors)) + data


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes of a saved forest by the nodes of its trees."""

    n_trees: int
    n_outputs: int
    n_classes: int
    told: int  # in forest.json

    @property
    def node(self) -> int:
        """Bytes of one node."""
        one, two = (_file_bytes(1, n, self.n_outputs, self.n_classes) for n in (10**6, 10**6 + 8))
        return (two - one) // 8

    def of(self, n_nodes: float) -> int:
        """Bytes with so many nodes in each tree, or a few more: the header grows with the digits of its figures."""
        spare = 128
        nodes = math.ceil(self.n_trees * n_nodes)
        empty = _file_bytes(self.n_trees, 0, self.n_outputs, self.n_classes)
        return self.told + spare + empty + nodes * self.node


def _outputs(ensemble: Any, y: NDArray[Any]) -> tuple[int, int]:
    """Outputs, and the most classes that one has."""
    columns = y.reshape(len(y), -1)
    if not is_classifier(ensemble):
        return columns.shape[1], 1
    return columns.shape[1], max(len(np.unique(column)) for column in columns.T)


def _told(ensemble: Any, X: Any, y: NDArray[Any], n_estimators: int) -> int:
    """At most so many bytes are in forest.json; names of columns come to a few dozen letters each."""
    told: int = _JSON_BYTES + 64 * X.shape[1]
    if is_classifier(ensemble):
        labels = [str(label) for column in y.reshape(len(y), -1).T for label in np.unique(column)]
        told += len(json.dumps(labels)) + 8 * len(labels)
    if is_bagging(ensemble):
        told += n_estimators * 9 * X.shape[1]  # the columns of each member
    return told


def _leaves(ensemble: Any, X: Any, y: NDArray[Any], n_rows: int, random_state: int) -> tuple[float, float]:
    """The leaves that a tree of so many rows is expected to have, and those that it will not exceed."""
    random = np.random.default_rng(random_state)
    n_sampled = min(_SAMPLE_ROWS, X.shape[0], n_rows)
    rows = np.sort(random.choice(X.shape[0], n_sampled, replace=False))
    few = np.sort(random.choice(rows, max(2, n_sampled // 4), replace=False)) if n_sampled > 8 else rows
    many_leaves = _grown(ensemble, X[rows], y[rows])
    few_leaves = _grown(ensemble, X[few], y[few])
    ratio = n_rows / n_sampled
    power = math.log(many_leaves.mean() / few_leaves.mean()) / math.log(n_sampled / len(few) + 1e-9)
    expected = many_leaves.mean() * ratio ** min(1.0, max(0.0, power))
    highest = min(2.0 * many_leaves.max() * ratio, float(n_rows))
    own = _tree_parameters(ensemble).get("max_leaf_nodes") or math.inf
    return min(expected, own), min(highest, own)


def _grown(ensemble: Any, X: Any, y: NDArray[Any]) -> NDArray[np.float64]:
    """Leaves of a few trees."""
    trial = clone(ensemble).set_params(n_estimators=_SAMPLE_TREES, oob_score=False, random_state=0)
    return np.array([member.tree_.n_leaves for member in trial.fit(X, y).estimators_], np.float64)


def _tree_parameters(ensemble: Any) -> dict[str, Any]:
    tree = ensemble if not is_bagging(ensemble) else ensemble.estimator
    parameters: dict[str, Any] = {} if tree is None else tree.get_params()
    return parameters


def _default_tree(ensemble: Any) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    return DecisionTreeClassifier() if is_classifier(ensemble) else DecisionTreeRegressor()
