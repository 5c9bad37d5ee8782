"""Convert trees to arrays for storage, validate such arrays from untrusted files, and build trees from them.

Trees compare features as float32. For a float32 number x, ``x <= t`` gives the same result for a float64 threshold t
and for the largest float32 number that is not above t: thresholds of four bytes decide exactly as those of eight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import ModelError
from manymill.forest.sklearn_private import NODE_DTYPE, build_tree, tree_arrays

Arrays = Mapping[str, NDArray[Any]]

# The stored arrays, one entry per node, the widest numbers first; the names are scikit-learn's.
FIELDS = {
    "n_node_samples": "int64",
    "impurity": "float64",
    "weighted_n_node_samples": "float64",
    "value": "float64",
    "left_child": "int32",
    "right_child": "int32",
    "feature": "int32",
    "threshold": "float32",
    "missing_go_to_left": "uint8",
}

_LEAF = -1  # as a child
_UNDEFINED = -2  # as a feature


def tensor_specs(
    n_trees: int, n_nodes: int, n_outputs: int, n_classes: int
) -> dict[str, tuple[str, list[int]]]:
    """Dtype and shape of each stored array of a forest, in the order of the file."""
    tensors = {"tree_sizes": ("int64", [n_trees])}
    for name, dtype in FIELDS.items():
        shape = [n_nodes, n_outputs, n_classes] if name == "value" else [n_nodes]
        tensors[name] = (dtype, shape)
    return tensors


def stored_chunks(trees: list[Any]) -> Iterator[memoryview]:
    """The bytes of the stored arrays, array by array and tree by tree, so that little more than one is in memory."""
    sizes = np.array([tree.node_count for tree in trees], "<i8")
    yield sizes.data.cast("B")
    for name, dtype in FIELDS.items():
        stored = np.dtype(dtype).newbyteorder("<")
        for tree in trees:
            nodes, values = tree_arrays(tree)
            array = values if name == "value" else nodes[name]
            if name == "threshold":
                array = round_down(array)
            yield np.ascontiguousarray(array, stored).reshape(-1).view(np.uint8).data


def round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 number that is not above each threshold."""
    with np.errstate(over="ignore", under="ignore"):
        nearest = thresholds.astype(np.float32)
        return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def check_nodes(arrays: Arrays, n_features: int, *, probabilities: bool) -> NDArray[np.int64]:
    """Validate untrusted arrays and return the depth of each tree.

    Parameters
    ----------
    arrays : mapping
        With the dtypes and shapes of `tensor_specs`.
    n_features : int
    probabilities : bool
        Whether values are shares of classes, from 0 to 1.

    Raises
    ------
    ModelError
        If they do not form trees: names the array and the node.
    """
    sizes = arrays["tree_sizes"]
    n_nodes = len(arrays["feature"])
    # No size exceeds the number of nodes, and there are at most as many sizes as nodes: so their sum cannot overflow.
    if len(sizes) > n_nodes or ((sizes < 1) | (sizes > n_nodes)).any() or int(sizes.sum()) != n_nodes:
        raise ModelError(f"its tree_sizes do not add up to its {n_nodes} nodes", "copy the folder again")
    roots = np.cumsum(sizes) - sizes
    starts, ends = np.repeat(roots, sizes), np.repeat(roots + sizes, sizes)
    left, right = (arrays[name].astype(np.int64) for name in ("left_child", "right_child"))
    leaf = left == _LEAF
    _refuse_where("right_child", (right == _LEAF) != leaf)
    indices = np.arange(n_nodes)
    left, right = left + starts, right + starts
    for name, child in (("left_child", left), ("right_child", right)):
        # Children come after their parent, so there are no cycles.
        _refuse_where(name, ~leaf & ((child <= indices) | (child >= ends)))
    n_parents = np.bincount(np.concatenate([left[~leaf], right[~leaf]]), minlength=n_nodes)
    expected = np.ones(n_nodes, np.int64)
    expected[roots] = 0
    _refuse_where("left_child", n_parents != expected)
    feature = arrays["feature"]
    _refuse_where("feature", np.where(leaf, feature != _UNDEFINED, (feature < 0) | (feature >= n_features)))
    _refuse_where("threshold", np.isnan(arrays["threshold"]))
    _refuse_where("missing_go_to_left", arrays["missing_go_to_left"] > 1)
    _refuse_where("n_node_samples", arrays["n_node_samples"] < 1)
    for name in ("impurity", "weighted_n_node_samples"):
        _refuse_where(name, ~np.isfinite(arrays[name]))
    values = arrays["value"].reshape(n_nodes, -1)
    for start in range(0, n_nodes, 2**16):
        block = values[start : start + 2**16]
        invalid = ~((block >= 0) & (block <= 1 + 1e-9)) if probabilities else ~np.isfinite(block)
        _refuse_where("value", invalid.any(axis=1), start)
    return _depths(left, right, leaf, roots)


def _refuse_where(name: str, invalid: Any, start: int = 0) -> None:
    if invalid.any():
        raise ModelError(
            f"its {name} at node {start + int(np.argmax(invalid))} is invalid", "copy the folder again"
        )


def _depths(
    left: NDArray[np.int64], right: NDArray[np.int64], leaf: NDArray[np.bool_], roots: NDArray[np.int64]
) -> NDArray[np.int64]:
    depths = np.zeros(len(roots), np.int64)
    nodes, trees = roots, np.arange(len(roots))
    depth = 0
    while len(nodes):
        depths[trees] = depth
        inner = ~leaf[nodes]
        nodes, trees = nodes[inner], trees[inner]
        nodes, trees = np.concatenate([left[nodes], right[nodes]]), np.concatenate([trees, trees])
        depth += 1
    return depths


def build_trees(
    arrays: Arrays, depths: NDArray[np.int64], n_features: int, n_classes: list[int]
) -> list[Any]:
    """Build scikit-learn's trees from arrays that `check_nodes` has validated.

    Parameters
    ----------
    arrays : mapping
    depths : ndarray of shape (n_trees,)
        What `check_nodes` returned.
    n_features : int
    n_classes : list of int
        For each output; 1 for regression.
    """
    trees, end = [], 0
    for size, depth in zip(arrays["tree_sizes"].tolist(), depths.tolist(), strict=True):
        start, end = end, end + size
        nodes = np.zeros(size, NODE_DTYPE)
        for name in FIELDS:
            if name != "value":
                nodes[name] = arrays[name][start:end]
        values = np.array(arrays["value"][start:end], np.float64)
        trees.append(build_tree(nodes, values, max_depth=depth, n_features=n_features, n_classes=n_classes))
    return trees
