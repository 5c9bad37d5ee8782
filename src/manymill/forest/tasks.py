"""Plan the growth of a forest: the rows and the seed of each tree, and one task per tree, in each of the three modes.

::

    shared:      X                                        all rows
    partition:   X[start:stop]                            a view of the mapped file
    patch:       rows = sorted(drawn); columns = drawn    gathered block by block
                 X[rows][:, columns]

    ensemble.fit(rows)        scikit-learn's own, with one member
    extend_tree(member)       over all columns and classes

Labels of partitions and patches are class indices, and class weights are multiplied into row weights: both are computed
on all rows, so that a partition without rows of a class changes neither.

The seed of a tree and its partition or patch depend on its number alone. So growing 50 trees and then 50 more gives the
100 of one fit.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse, vstack
from sklearn.base import clone
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from manymill.engine.base import Engine
from manymill.engine.shared_arrays import SharedArrays, share, writable
from manymill.errors import SettingsError
from manymill.forest.combining import extend_tree
from manymill.forest.parameters import grows_trees, is_bagging, resolve_count
from manymill.forest.rows import TrainingRows
from manymill.forest.sklearn_fit import GrownTree, capture_calls, shared_rows_tasks
from manymill.forest.sklearn_private import drawing_weight, score_bagging_out_of_bag

# Bytes of the matrix that are read at a time to gather the rows of a patch.
_BLOCK_BYTES = 1 << 26

_MAX_SEED = np.iinfo(np.int32).max
# The random stream of held-out rows; lower numbers are those of trees.
_HELD_OUT_STREAM = 2**32 - 1


@dataclass(slots=True, eq=False)
class GrowthPlan:
    """An ensemble that is fitted except for its members, and the tasks that grow the missing ones.

    Attributes
    ----------
    ensemble : BaseForest or BaseBagging
    earlier : list of GrownTree
        The first trees, which exist already.
    tasks : list
        One for each further tree.
    keys : list
        For each task, an integer or None; tasks with the same key run on the same worker where possible.
    weight : ndarray or None
        Weights of rows, class weights included.
    partitions : list of Partition
        Empty in the modes "shared" and "patches".
    class_counts : ndarray of shape (n_partitions, n_classes), or None
        Number of rows of each class.
    subsets : list
        The partition or patch of each tree, in the order of the trees; empty in mode "shared".
    held_out : ndarray of int or None
        Sorted indices of the rows that no tree is grown on.
    """

    ensemble: Any
    earlier: list[GrownTree]
    tasks: list[Any]
    keys: list[int | None]
    weight: NDArray[np.float64] | None = None
    partitions: list[Partition] = field(default_factory=list)
    class_counts: NDArray[np.int64] | None = None
    subsets: list[Partition | Patch] = field(default_factory=list)
    held_out: NDArray[np.intp] | None = None

    @property
    def classes(self) -> list[NDArray[Any]] | None:
        """The classes of each output; None for regression."""
        classes = getattr(self.ensemble, "classes_", None)
        return classes if classes is None or isinstance(classes, list) else [classes]

    def rows_of(self, member: GrownTree) -> slice | NDArray[np.intp]:
        """The rows that a tree draws its sample from."""
        return self.subsets[member.number].rows(self.held_out) if self.subsets else slice(None)

    def forest(self, members: list[GrownTree]) -> Any:
        """The ensemble with such members: an ordinary fitted forest of scikit-learn."""
        forest = copy.copy(self.ensemble)
        forest.estimators_ = [member.tree for member in members]
        if is_bagging(forest):
            all_features = np.arange(forest.n_features_in_)
            forest.estimators_features_ = [
                all_features if member.features is None else member.features for member in members
            ]
        forest.n_estimators = len(members)
        return forest


# ---- mode "shared"


def plan_shared(ensemble: Any, rows: TrainingRows, engine: Engine) -> GrowthPlan:
    """Plan to grow each tree on all rows, by the calls of scikit-learn's own fit.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
        With ``warm_start`` and the earlier trees if there are any. Is fitted in place.
    rows : TrainingRows
    engine : Engine
    """
    oob_score = ensemble.oob_score
    earlier = fitted_members(ensemble) if ensemble.warm_start else []
    ensemble.oob_score = False  # there are no trees yet to score
    X = writable(rows.X)
    calls = capture_calls(ensemble, X, rows.y, rows.weight)
    ensemble.oob_score = oob_score
    tasks = shared_rows_tasks(
        calls, engine, len(earlier), lambda arg: rows.X if _same_memory(arg, X) else arg
    )
    return GrowthPlan(ensemble, earlier, tasks, [None] * len(tasks), drawing_weight(ensemble))


def score_out_of_bag(forest: Any, rows: TrainingRows) -> None:
    """Set scikit-learn's out-of-bag score of a complete forest, grown in mode "shared"."""
    if is_bagging(forest):
        score_bagging_out_of_bag(forest, rows.X, rows.y)
        return
    forest.warm_start = True  # so that its fit grows no tree and only computes the score
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(Warm-start fitting|class_weight presets)")
        capture_calls(forest, writable(rows.X), rows.y, rows.weight)


def fitted_members(ensemble: Any) -> list[GrownTree]:
    """The trees of a fitted ensemble."""
    trees = list(getattr(ensemble, "estimators_", ()))
    features = getattr(ensemble, "estimators_features_", None) or [None] * len(trees)
    return [GrownTree(number, *pair) for number, pair in enumerate(zip(trees, features, strict=True))]


def _same_memory(array: Any, X: Any) -> bool:
    """Whether two arrays share all of their memory: scikit-learn passes on views of its input."""
    return (
        isinstance(array, np.ndarray)
        and isinstance(X, np.ndarray)
        and (array.ctypes.data, array.shape, array.dtype) == (X.ctypes.data, X.shape, X.dtype)
    )


# ---- modes "partitions" and "patches"


@dataclass(frozen=True, slots=True)
class Partition:
    """Consecutive rows.

    Parameters
    ----------
    number : int
    start, stop : int
    """

    number: int
    start: int
    stop: int

    @property
    def n_rows(self) -> int:
        """Number of rows, including those held out."""
        return self.stop - self.start

    def rows(self, held_out: NDArray[np.intp] | None) -> slice | NDArray[np.intp]:
        """Its rows without those held out, which are sorted."""
        if held_out is None:
            return slice(self.start, self.stop)
        used = np.ones(self.n_rows, bool)
        first, end = np.searchsorted(held_out, [self.start, self.stop])
        used[held_out[first:end] - self.start] = False
        return np.flatnonzero(used) + self.start


@dataclass(frozen=True, slots=True)
class Patch:
    """Rows and columns drawn without replacement from all.

    Parameters
    ----------
    entropy : int
    number : int
        Index of the tree.
    n_rows, total_rows : int
        Rows to draw, and all rows.
    n_features, total_features : int
        Columns to draw, and all columns.
    """

    entropy: int
    number: int
    n_rows: int
    total_rows: int
    n_features: int
    total_features: int

    def rows(self, held_out: NDArray[np.intp] | None) -> NDArray[np.intp]:
        """Its rows without those held out; sorted, so that a file is read once from start to end."""
        n_held_out = 0 if held_out is None else len(held_out)
        rng = patch_stream(self.entropy, self.number)
        drawn = rng.choice(self.total_rows - n_held_out, self.n_rows, replace=False, shuffle=False)
        drawn.sort()
        return drawn if held_out is None else _skip_held_out(drawn, held_out)

    def features(self) -> NDArray[np.intp] | None:
        """Its columns, sorted; None for all."""
        if self.n_features == self.total_features:
            return None
        rng = patch_stream(self.entropy, self.number).spawn(1)[0]
        return np.sort(rng.choice(self.total_features, self.n_features, replace=False, shuffle=False))


def _skip_held_out(drawn: NDArray[np.intp], held_out: NDArray[np.intp]) -> NDArray[np.intp]:
    """Indices among the rows that are not held out, as indices among all rows."""
    return drawn + np.searchsorted(held_out - np.arange(len(held_out)), drawn, side="right")


@dataclass(frozen=True, slots=True)
class Subsampling:
    """How rows are assigned to trees.

    Parameters
    ----------
    mode : {"partitions", "patches"}
    n_partitions : int
    max_samples : int, float or None
        Rows of a patch; None: as many as a partition has.
    max_features : int or float
        Columns of a patch.
    entropy : int
    """

    mode: str
    n_partitions: int
    max_samples: float | int | None
    max_features: float | int
    entropy: int

    def subsets(
        self, rows: TrainingRows, n_trees: int, n_held_out: int
    ) -> tuple[list[Partition], list[Partition | Patch]]:
        """All partitions, and the partition or patch of each tree."""
        n_rows = len(rows)
        if self.mode == "patches":
            max_samples = 1 / self.n_partitions if self.max_samples is None else self.max_samples
            n_drawn = resolve_count(max_samples, n_rows - n_held_out)
            n_columns = resolve_count(self.max_features, rows.n_features)
            return [], [
                Patch(self.entropy, number, n_drawn, n_rows, n_columns, rows.n_features)
                for number in range(n_trees)
            ]
        edges = np.linspace(0, n_rows, min(self.n_partitions, n_rows) + 1).astype(int).tolist()
        partitions = [Partition(number, start, stop) for number, (start, stop) in enumerate(pairwise(edges))]
        assigned = assign_partitions([partition.n_rows for partition in partitions], n_trees)
        return partitions, [partitions[index] for index in assigned]


def assign_partitions(n_rows: Sequence[int], n_trees: int) -> NDArray[np.intp]:
    """The index of the partition of each tree, ``(n_trees,)``, in proportion to rows.

    All members of a forest count equally, so a partition with twice the rows gets twice the trees. The next tree goes
    to the partition with the largest rows / (2 trees + 1): the divisor rule of Webster and Sainte-Laguë. Unlike the
    largest remainder method, it never moves a tree when there are more of them.

    Parameters
    ----------
    n_rows : sequence of int
        Of each partition.
    n_trees : int
    """
    rows = np.asarray(n_rows, np.float64)
    trees = np.zeros(len(rows))
    assigned = np.empty(n_trees, np.intp)
    for number in range(n_trees):
        assigned[number] = index = int(np.argmax(rows / (2 * trees + 1)))
        trees[index] += 1
    return assigned


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
        From 0 to 2**31 - 2; for tree k the first number from the k-th child of ``SeedSequence(entropy)`` that no
        earlier tree has. (Without this rule, one in two forests of 65,000 trees would repeat a seed.)
    """
    seeds: dict[int, None] = {}
    for number in range(n_trees):
        rng = np.random.Generator(np.random.PCG64(_child(entropy, number)))
        while (seed := int(rng.integers(_MAX_SEED))) in seeds:
            pass
        seeds[seed] = None
    return list(seeds)


def patch_stream(entropy: int, number: int) -> np.random.Generator:
    """The random stream that draws the rows and columns of a tree; not the stream of its seed."""
    return np.random.Generator(np.random.PCG64(_child(entropy, number).spawn(1)[0]))


def draw_held_out(entropy: int, n_rows: int, n_held_out: int) -> NDArray[np.intp]:
    """Sorted indices of the rows that no tree is grown on, from a random stream that no tree uses."""
    rng = np.random.default_rng(_child(entropy, _HELD_OUT_STREAM))
    return np.sort(rng.choice(n_rows, n_held_out, replace=False, shuffle=False))


def _child(entropy: int, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(entropy, spawn_key=(number,))


def encode_labels(
    ensemble: Any, rows: TrainingRows, *, classification: bool
) -> tuple[TrainingRows, list[NDArray[Any]] | None]:
    """Rows with class indices as labels, and the classes of each output (None for regression).

    Class weights of the ensemble are multiplied into row weights, and its ``class_weight`` is set to None.
    """
    y = column_or_1d(rows.y, warn=True) if rows.y.ndim == 1 or rows.y.shape[1] == 1 else rows.y
    if not classification:
        return TrainingRows(rows.X, np.ascontiguousarray(y, np.float64), rows.weight), None
    check_classification_targets(y)
    columns = y[:, None] if y.ndim == 1 else y
    classes, codes = [], np.empty(columns.shape, np.int64)
    for output in range(columns.shape[1]):
        names, codes[:, output] = np.unique(columns[:, output], return_inverse=True)
        classes.append(names)
    weight = rows.weight
    class_weight = getattr(ensemble, "class_weight", None)
    by_sample = class_weight == "balanced_subsample" and ensemble.bootstrap
    if class_weight is not None and not by_sample:
        expanded = compute_sample_weight("balanced" if isinstance(class_weight, str) else class_weight, y)
        weight = expanded if weight is None else weight * expanded
        ensemble.class_weight = None
    return TrainingRows(rows.X, codes[:, 0] if y.ndim == 1 else codes, weight), classes


def plan_subsets(
    ensemble: Any,
    fitted: Any,
    rows: TrainingRows,
    classes: list[NDArray[Any]] | None,
    subsampling: Subsampling,
    held_out: NDArray[np.intp] | None,
    engine: Engine,
) -> GrowthPlan:
    """Plan to grow each tree on a partition or patch.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
        Unfitted: is fitted, with one member, for each tree.
    fitted : BaseForest or BaseBagging
        Fitted except for its new members; its members are the first trees.
    rows : TrainingRows
        Labels are class indices.
    classes : list of ndarray or None
        Of each output; None for regression.
    subsampling : Subsampling
    held_out : ndarray of int or None
        Sorted indices of the rows that no tree is grown on.
    engine : Engine

    Raises
    ------
    SettingsError
        If there are more trees already than ``n_estimators``.
    """
    n_trees, earlier = ensemble.n_estimators, fitted_members(fitted)
    if len(earlier) > n_trees:
        raise SettingsError(
            f"n_estimators={n_trees} is less than the {len(earlier)} trees of the earlier fit",
            "give a larger number, or leave out warm_start",
        )
    partitions, subsets = subsampling.subsets(rows, n_trees, 0 if held_out is None else len(held_out))
    arrays = {"X": rows.X, "y": rows.y}
    if rows.weight is not None:
        arrays["weight"] = rows.weight
    if held_out is not None:
        arrays["held_out"] = held_out
    shared = share(engine, arrays)
    n_classes = None if classes is None else tuple(map(len, classes))
    seeds = tree_seeds(subsampling.entropy, n_trees)
    tasks = [
        PartTask(number, ensemble, seed, subset, n_classes, shared)
        for number, (seed, subset) in enumerate(zip(seeds, subsets, strict=True))
    ][len(earlier) :]
    # A worker that has a partition in its page cache gets its further trees.
    keys = [_partition_number(task.subset) for task in tasks]
    for member in earlier:
        member.partition = _partition_number(subsets[member.number])
    class_counts = _count_classes(rows, partitions, n_classes)
    return GrowthPlan(fitted, earlier, tasks, keys, rows.weight, partitions, class_counts, subsets, held_out)


def _partition_number(subset: Partition | Patch) -> int | None:
    return subset.number if isinstance(subset, Partition) else None


def _count_classes(
    rows: TrainingRows, partitions: list[Partition], n_classes: tuple[int, ...] | None
) -> NDArray[np.int64] | None:
    if n_classes is None or len(n_classes) > 1 or not partitions:
        return None
    return np.stack(
        [np.bincount(rows.y[part.start : part.stop], minlength=n_classes[0]) for part in partitions]
    ).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class PartTask:
    """Grow one tree on a partition or patch."""

    number: int
    ensemble: Any  # unfitted
    seed: int
    subset: Partition | Patch
    n_classes: tuple[int, ...] | None
    shared: SharedArrays

    @property
    def name(self) -> str:
        """Name of the task in messages."""
        if isinstance(self.subset, Partition):
            return f"tree {self.number} on partition {self.subset.number}"
        return f"tree {self.number} on its patch"

    def grow(self) -> GrownTree:
        """Load the rows and grow the tree."""
        start = time.perf_counter()
        X, y, weight, columns = self._load()
        ensemble = clone(self.ensemble).set_params(n_estimators=1, random_state=self.seed)
        ensemble.set_params(n_jobs=None, oob_score=False, warm_start=False)
        _select_constraints(ensemble, columns)
        # Not by fit alone: joblib changes the filters of warnings, which concurrent threads would not restore.
        (call,) = capture_calls(ensemble, X, y, weight)
        member, member_features = call.run()
        features = columns
        if member_features is not None:
            own = np.asarray(member_features)
            features = own if columns is None else columns[own]
        return GrownTree(
            self.number,
            self._extend(ensemble, member, features),
            None if member_features is None else features,
            _partition_number(self.subset),
            time.perf_counter() - start,
        )

    def _load(self) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None, NDArray[np.intp] | None]:
        """Rows, labels, weights, and the indices of the columns (None for all)."""
        arrays = self.shared.load()
        rows = self.subset.rows(arrays.get("held_out"))
        columns = self.subset.features() if isinstance(self.subset, Patch) else None
        X = gather(arrays["X"], rows, columns)
        if grows_trees(self.ensemble) and not issparse(X):
            X = np.ascontiguousarray(X, np.float32)
            if not X.flags.writeable and np.isnan(X.sum()):
                X = X.copy()  # scikit-learn searches for missing values in writable memory only
        weight = arrays["weight"][rows] if "weight" in arrays else None
        return X, arrays["y"][rows], weight, columns

    def _extend(self, ensemble: Any, member: Any, features: NDArray[np.intp] | None) -> Any:
        """The member over all columns and classes, if it is a tree; those of bagging have columns of their own."""
        if not hasattr(member, "tree_"):
            return member
        bagging = is_bagging(ensemble)
        if bagging and features is not None:
            n_features = len(features)
        else:
            n_features = (
                self.subset.total_features if isinstance(self.subset, Patch) else ensemble.n_features_in_
            )
        return extend_tree(
            member,
            features=None if bagging else features,
            n_features=n_features,
            class_indices=None if self.n_classes is None else _class_indices(ensemble, member),
            n_classes=self.n_classes,
        )


def gather(
    X: Any,
    rows: slice | NDArray[np.intp],
    columns: NDArray[np.intp] | None,
    *,
    block_bytes: int = _BLOCK_BYTES,
) -> Any:
    """Some rows and columns of a matrix, of which ``block_bytes`` are read at a time."""
    if isinstance(rows, slice):
        selected = X[rows]
        return selected if columns is None else selected[:, columns]
    width = max(1, X.shape[1] * 8 if issparse(X) else X.shape[1] * X.dtype.itemsize)
    step = max(1, block_bytes // width)
    cuts = np.searchsorted(rows, np.arange(step, X.shape[0], step))
    blocks = [block for block in np.split(rows, cuts) if len(block)]
    if issparse(X):
        return vstack(
            [X[block] if columns is None else X[block][:, columns] for block in blocks], format="csr"
        )
    gathered = np.empty((len(rows), X.shape[1] if columns is None else len(columns)), X.dtype)
    done = 0
    for block in blocks:
        selected = X[block]
        gathered[done : done + len(block)] = selected if columns is None else selected[:, columns]
        done += len(block)
    return gathered


def _class_indices(ensemble: Any, member: Any) -> list[NDArray[np.intp]]:
    """For each output the indices, among all classes, of the classes of a member.

    The classes of a member are indices of the ensemble's classes, which are indices of all classes.
    """
    member_classes = member.classes_ if isinstance(member.classes_, list) else [member.classes_]
    ensemble_classes = ensemble.classes_ if isinstance(ensemble.classes_, list) else [ensemble.classes_]
    return [
        np.asarray(classes)[np.asarray(indices).astype(np.intp)].astype(np.intp)
        for indices, classes in zip(member_classes, ensemble_classes, strict=True)
    ]


def _select_constraints(ensemble: Any, columns: NDArray[np.intp] | None) -> None:
    """Reduce monotonicity constraints of all columns to those of some."""
    constraints = getattr(ensemble, "monotonic_cst", None)
    if columns is not None and constraints is not None:
        ensemble.monotonic_cst = np.asarray(constraints)[columns]
