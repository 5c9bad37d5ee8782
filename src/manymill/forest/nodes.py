"""The nodes of trees as plain arrays, and trees of arrays in which nothing is believed.

Trees see features as float32. ``x <= t`` is true of the same float32 numbers x for a threshold t in float64 and for the
largest float32 that is not above t: thresholds of four bytes decide exactly as those of eight do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import ModelError

Arrays = Mapping[str, NDArray[Any]]

# What is stored of each node, the widest numbers first; scikit-learn's names of them.
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


def tensors_of(
    n_trees: int, n_nodes: int, n_outputs: int, n_classes: int
) -> dict[str, tuple[str, list[int]]]:
    """Dtype and shape of what is stored of a forest, in the order of the file."""
    tensors = {"tree_sizes": ("int64", [n_trees])}
    for name, dtype in FIELDS.items():
        shape = [n_nodes, n_outputs, n_classes] if name == "value" else [n_nodes]
        tensors[name] = (dtype, shape)
    return tensors


def pieces_of(trees: list[Any]) -> Iterator[memoryview]:
    """What is stored of scikit-learn's trees, array by array and tree by tree: little more than one is in memory."""
    sizes = np.array([tree.node_count for tree in trees], "<i8")
    yield sizes.data.cast("B")
    for name, dtype in FIELDS.items():
        kind = np.dtype(dtype).newbyteorder("<")
        for tree in trees:
            state = tree.__getstate__()
            values = state["values"] if name == "value" else state["nodes"][name]
            if name == "threshold":
                values = rounded_down(values)
            yield np.ascontiguousarray(values, kind).reshape(-1).view(np.uint8).data


def rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each number."""
    with np.errstate(over="ignore", under="ignore"):
        nearest = thresholds.astype(np.float32)
        return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def check(arrays: Arrays, n_features: int, *, votes: bool) -> NDArray[np.int64]:
    """The depth of each tree of arrays that might come from anyone.

    Parameters
    ----------
    arrays : mapping
        As `tensors_of` says.
    n_features : int
    votes : bool
        Whether values are shares of classes.

    Raises
    ------
    ModelError
        If they are no trees: says which array is wrong, and at which node.
    """
    sizes = arrays["tree_sizes"]
    n_nodes = len(arrays["feature"])
    # None is greater than all nodes, and there are no more of them than nodes: then their sum cannot wrap around.
    if len(sizes) > n_nodes or ((sizes < 1) | (sizes > n_nodes)).any() or int(sizes.sum()) != n_nodes:
        raise ModelError(f"its tree_sizes do not add up to its {n_nodes} nodes")
    roots = np.cumsum(sizes) - sizes
    starts, ends = np.repeat(roots, sizes), np.repeat(roots + sizes, sizes)
    left, right = (arrays[name].astype(np.int64) for name in ("left_child", "right_child"))
    leaf = left == _LEAF
    _refuse_where("right_child", (right == _LEAF) != leaf)
    own = np.arange(n_nodes)
    left, right = left + starts, right + starts
    for name, child in (("left_child", left), ("right_child", right)):
        # Children come after their parent: there is no way round in a circle.
        _refuse_where(name, ~leaf & ((child <= own) | (child >= ends)))
    met = np.bincount(np.concatenate([left[~leaf], right[~leaf]]), minlength=n_nodes)
    wanted = np.ones(n_nodes, np.int64)
    wanted[roots] = 0
    _refuse_where("left_child", met != wanted)
    feature = arrays["feature"]
    _refuse_where("feature", np.where(leaf, feature != _UNDEFINED, (feature < 0) | (feature >= n_features)))
    _refuse_where("threshold", np.isnan(arrays["threshold"]))
    _refuse_where("missing_go_to_left", arrays["missing_go_to_left"] > 1)
    _refuse_where("n_node_samples", arrays["n_node_samples"] < 1)
    for name in ("impurity", "weighted_n_node_samples"):
        _refuse_where(name, ~np.isfinite(arrays[name]))
    values = arrays["value"].reshape(n_nodes, -1)
    for start in range(0, n_nodes, 2**16):
        part = values[start : start + 2**16]
        wrong = ~np.isfinite(part) if not votes else ~((part >= 0) & (part <= 1 + 1e-9))
        _refuse_where("value", wrong.any(axis=1), start)
    return _depths(left, right, leaf, roots)


def _refuse_where(name: str, wrong: Any, start: int = 0) -> None:
    if wrong.any():
        raise ModelError(
            f"its {name} at node {start + int(np.argmax(wrong))} cannot be", "copy the folder again"
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


def trees_of(arrays: Arrays, depths: NDArray[np.int64], n_features: int, sizes: list[int]) -> list[Any]:
    """Trees of scikit-learn of arrays that were checked; ``sizes`` are the classes of each output."""
    from sklearn.tree._tree import NODE_DTYPE, Tree

    out, end = [], 0
    for size, depth in zip(arrays["tree_sizes"].tolist(), depths.tolist(), strict=True):
        start, end = end, end + size
        nodes = np.zeros(size, NODE_DTYPE)
        for name in FIELDS:
            if name != "value":
                nodes[name] = arrays[name][start:end]
        tree = Tree(n_features, np.array(sizes, np.intp), len(sizes))
        values = np.array(arrays["value"][start:end], np.float64)
        tree.__setstate__({"max_depth": depth, "node_count": size, "nodes": nodes, "values": values})
        out.append(tree)
    return out
