"""The private interfaces of scikit-learn that forests depend on.

No other module of this package imports a private name of scikit-learn, or reads a private attribute of its estimators.
Tested with scikit-learn 1.6 to 1.9.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._bagging import BaseBagging
from sklearn.ensemble._forest import (
    BaseForest,
    ForestClassifier,
    ForestRegressor,
    _generate_unsampled_indices,
    _get_n_samples_bootstrap,
)
from sklearn.tree._tree import NODE_DTYPE, Tree
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _check_y as check_targets

__all__ = [
    "NODE_DTYPE",
    "BaseBagging",
    "BaseForest",
    "ForestClassifier",
    "ForestRegressor",
    "Tree",
    "build_tree",
    "check_feature_names",
    "check_n_features",
    "check_sample_weight",
    "check_targets",
    "clear_node_padding",
    "copy_without_fit_attributes",
    "copy_without_members",
    "drawing_weight",
    "invalid_parameters",
    "new_member",
    "resolve_member_estimator",
    "rows_not_drawn",
    "score_bagging_out_of_bag",
    "tree_arrays",
    "unwrapped",
]

# Attributes of a fitted ensemble that describe the fit as a whole, so that a changed set of members invalidates them.
_FIT_ATTRIBUTES = (
    "oob_score_", "oob_decision_function_", "oob_prediction_", "_seeds", "_n_samples", "_n_samples_bootstrap",
    "_max_samples", "_sample_weight",
)  # fmt: skip

# Bytes of a node that lie between its fields.
_PADDING = np.ones(NODE_DTYPE.itemsize, bool)
for _dtype, _offset, *_ in NODE_DTYPE.fields.values():
    _PADDING[_offset : _offset + _dtype.itemsize] = False


# ---- trees


def tree_arrays(tree: Tree) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The nodes of a tree, ``(n_nodes,)`` of ``NODE_DTYPE``, and their values, ``(n_nodes, n_outputs, n_classes)``."""
    state = tree.__getstate__()
    return state["nodes"], state["values"]


def build_tree(
    nodes: NDArray[Any],
    values: NDArray[np.float64],
    *,
    max_depth: int,
    n_features: int,
    n_classes: Sequence[int],
) -> Tree:
    """Build a tree from its arrays, which the caller has checked.

    Parameters
    ----------
    nodes : ndarray of NODE_DTYPE, shape (n_nodes,)
    values : ndarray of float64, shape (n_nodes, n_outputs, max(n_classes))
    max_depth, n_features : int
    n_classes : sequence of int
        For each output; 1 for regression.
    """
    tree = Tree(n_features, np.array(n_classes, np.intp), len(n_classes))
    tree.__setstate__({"max_depth": max_depth, "node_count": len(nodes), "nodes": nodes, "values": values})
    return tree


def clear_node_padding(tree: Tree) -> None:
    """Write zeros between the fields of a tree's nodes.

    scikit-learn leaves uninitialised memory there, which pickles contain: equal forests would differ in their bytes.
    """
    nodes, _ = tree_arrays(tree)
    nodes.view(np.uint8).reshape(len(nodes), -1)[:, _PADDING] = 0


# ---- ensembles


def copy_without_fit_attributes(ensemble: Any) -> Any:
    """A shallow copy without the attributes that describe the fit as a whole, such as the out-of-bag score."""
    copied = copy.copy(ensemble)
    for name in _FIT_ATTRIBUTES:
        copied.__dict__.pop(name, None)
    return copied


def copy_without_members(bagging: BaseBagging) -> BaseBagging:
    """A shallow copy of a bagging ensemble without members and sample weights: what a worker needs of it."""
    copied = copy.copy(bagging)
    copied.estimators_, copied.estimators_features_ = [], []
    copied._sample_weight = None
    return copied


def new_member(ensemble: Any) -> Any:
    """A new, unfitted member of a fitted ensemble, with the ensemble's parameters."""
    return ensemble._make_estimator(append=False)


def resolve_member_estimator(ensemble: Any) -> None:
    """Set ``estimator_`` from the parameters, as ``fit`` does."""
    ensemble._validate_estimator()


def invalid_parameters(estimator: Any) -> str | None:
    """What is wrong with the parameters of an estimator; None if they are valid."""
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        return str(error)
    return None


def drawing_weight(ensemble: Any) -> Any:
    """The weights by which a fitted ensemble draws the rows of its members; None if it draws uniformly.

    scikit-learn draws by weight, class weights included, since 1.9; earlier versions draw uniformly.
    """
    return getattr(ensemble, "_sample_weight", None)


def rows_not_drawn(ensemble: Any, tree: Any, n_rows: int, weight: Any) -> NDArray[np.intp]:
    """The indices of the rows that a tree of a forest with ``bootstrap`` has not drawn."""
    by_weight = "sample_weight" in signature(_generate_unsampled_indices).parameters  # since scikit-learn 1.9
    weights = [weight] if by_weight else []
    n_drawn = _get_n_samples_bootstrap(n_rows, ensemble.max_samples, *weights)
    return np.asarray(_generate_unsampled_indices(tree.random_state, n_rows, n_drawn, *weights))


def score_bagging_out_of_bag(bagging: BaseBagging, X: Any, y: NDArray[Any]) -> None:
    """Set the out-of-bag attributes of a fitted bagging ensemble."""
    bagging._set_oob_score(X, bagging._validate_y(y))


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """A delayed function without the wrapper that carries scikit-learn's global configuration."""
    inner: Callable[..., Any] = getattr(function, "function", function)
    return inner
