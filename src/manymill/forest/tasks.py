"""From rows to tasks: what each tree grows on, and with which seed; for each of the three modes.

A tree of a part of the rows: a partition, or a patch of rows and columns drawn from all partitions.

::

    partition:   X[low:high]                              a view of what is mapped
    patch:       rows = sorted(drawn); columns = drawn    gathered block by block
                 X[rows][:, columns]

    ensemble.fit(part)        scikit-learn's own, with one member
    widened(member)           over all columns and classes

Classes are numbers here, and weights of classes are weights of rows already: both were made of all rows, so that a
part that lacks a class changes neither.

Seeds of trees, and which partition each tree grows on: functions of the tree's number alone.

So growing 50 trees and then 50 more gives the 100 of one call, and no tree is ever grown twice.
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
from manymill.forest.combining import widened
from manymill.forest.parameters import count_of, grows_trees, is_bagging
from manymill.forest.rows import Rows
from manymill.forest.sklearn_fit import Grown, drawing_weight, plan_fit, whole_tasks

_MOST = np.iinfo(np.int32).max
_HELD_OUT = 2**32 - 1


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


def held_out(entropy: int, n_rows: int, n_held: int) -> NDArray[np.intp]:
    """Rows that nothing is grown on, sorted; drawn from a stream that no tree has."""
    rng = np.random.default_rng(_child(entropy, _HELD_OUT))
    return np.sort(rng.choice(n_rows, n_held, replace=False, shuffle=False))


def dealt(n_rows: Sequence[int], n_trees: int) -> NDArray[np.intp]:
    """The partition of each of the first trees, ``(n_trees,)``, so that votes weigh as rows do.

    Every member of a forest has one vote, so a partition with twice the rows gets twice the trees. The next tree goes
    to the partition whose rows to (2 trees + 1) are the most: the divisor rule of Webster and Sainte-Laguë. Other than
    that of the largest remainder, it never takes back a tree when there are more.

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


# Rows of a patch are gathered from so much of the matrix at a time.
_BLOCK_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Partition:
    """Rows that lie together."""

    number: int
    low: int
    high: int

    @property
    def n_rows(self) -> int:
        """How many, with those that are held out."""
        return self.high - self.low

    def rows(self, held: NDArray[np.intp] | None) -> slice | NDArray[np.intp]:
        """Its rows without those held out, which are sorted."""
        if held is None:
            return slice(self.low, self.high)
        keep = np.ones(self.n_rows, bool)
        keep[held[np.searchsorted(held, self.low) : np.searchsorted(held, self.high)] - self.low] = False
        return np.flatnonzero(keep) + self.low


@dataclass(frozen=True, slots=True)
class Patch:
    """Rows and columns drawn without replacement, from all there are."""

    entropy: int
    number: int
    n_rows: int
    of_rows: int
    n_features: int
    of_features: int

    def rows(self, held: NDArray[np.intp] | None) -> NDArray[np.intp]:
        """Its rows, sorted, so that the file is read once from front to back; none of those held out."""
        n_held = 0 if held is None else len(held)
        drawn = self._draw().choice(self.of_rows - n_held, self.n_rows, replace=False, shuffle=False)
        drawn.sort()
        return drawn if held is None else _past(drawn, held)

    def features(self) -> NDArray[np.intp] | None:
        """Its columns, sorted; None for all."""
        if self.n_features == self.of_features:
            return None
        draw = self._draw().spawn(1)[0]
        return np.sort(draw.choice(self.of_features, self.n_features, replace=False, shuffle=False))

    def _draw(self) -> np.random.Generator:
        return patch_stream(self.entropy, self.number)


@dataclass(frozen=True, slots=True, eq=False)
class PartTask:
    """One tree on a part of the rows."""

    number: int
    ensemble: Any  # unfitted, of one member
    seed: int
    place: Partition | Patch
    n_classes: tuple[int, ...] | None
    shared: SharedArrays

    @property
    def name(self) -> str:
        """What messages call it."""
        if isinstance(self.place, Partition):
            return f"tree {self.number} on partition {self.place.number}"
        return f"tree {self.number} on its patch"

    def grow(self) -> Grown:
        """Take the rows and grow the tree."""
        start = time.perf_counter()
        X, y, weight, columns = self.data()
        ensemble = clone(self.ensemble).set_params(n_estimators=1, random_state=self.seed)
        ensemble.set_params(n_jobs=None, oob_score=False, warm_start=False)
        _fit_columns(ensemble, columns)
        # Not by its fit alone: what joblib does to the filters of warnings, threads side by side do not undo.
        (call,) = plan_fit(ensemble, X, y, weight)
        made = call.function(*call.args, **call.kwargs)
        ensemble.estimators_ = made[0] if isinstance(made, tuple) else [made]
        if isinstance(made, tuple):
            ensemble.estimators_features_ = made[1]
        part = self.place.number if isinstance(self.place, Partition) else None
        return self._widened(ensemble, columns, part, start)

    def data(self) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None, NDArray[np.intp] | None]:
        """Rows, labels, weights, and the columns that these rows have (None for all)."""
        arrays = self.shared.load()
        rows = self.place.rows(arrays.get("held"))
        columns = self.place.features() if isinstance(self.place, Patch) else None
        X = gathered(arrays["X"], rows, columns)
        if grows_trees(self.ensemble) and not issparse(X):
            X = np.ascontiguousarray(X, np.float32)
            if not X.flags.writeable and np.isnan(X.sum()):
                X = X.copy()  # scikit-learn looks for missing values in memory that it could write to
        weight = arrays["weight"][rows] if "weight" in arrays else None
        return X, arrays["y"][rows], weight, columns

    def _widened(
        self, ensemble: Any, columns: NDArray[np.intp] | None, part: int | None, start: float
    ) -> Grown:
        member = ensemble.estimators_[0]
        n_features = self.place.of_features if isinstance(self.place, Patch) else ensemble.n_features_in_
        features = columns
        if is_bagging(ensemble):
            own = np.asarray(ensemble.estimators_features_[0])
            features = own if columns is None else columns[own]
        if hasattr(member, "tree_"):
            classes = None if self.n_classes is None else _seen(ensemble, member)
            member = widened(
                member,
                features=None if is_bagging(ensemble) else features,
                n_features=len(features) if is_bagging(ensemble) and features is not None else n_features,
                classes=classes,
                n_classes=self.n_classes,
            )
        kept = features if is_bagging(ensemble) else None
        return Grown(self.number, member, kept, part, time.perf_counter() - start)


def gathered(X: Any, rows: slice | NDArray[np.intp], columns: NDArray[np.intp] | None) -> Any:
    """Rows and columns of a matrix; no more of it is touched at a time than a block."""
    if isinstance(rows, slice):
        part = X[rows]
        return part if columns is None else part[:, columns]
    width = max(1, X.shape[1] * 8 if issparse(X) else X.shape[1] * X.dtype.itemsize)
    step = max(1, _BLOCK_BYTES // width)
    cuts = np.searchsorted(rows, np.arange(step, X.shape[0], step))
    pieces = [piece for piece in np.split(rows, cuts) if len(piece)]
    if issparse(X):
        blocks = [X[piece] if columns is None else X[piece][:, columns] for piece in pieces]
        return vstack(blocks, format="csr")
    out = np.empty((len(rows), X.shape[1] if columns is None else len(columns)), X.dtype)
    done = 0
    for piece in pieces:
        taken = X[piece]
        out[done : done + len(piece)] = taken if columns is None else taken[:, columns]
        done += len(piece)
    return out


def _past(drawn: NDArray[np.intp], held: NDArray[np.intp]) -> NDArray[np.intp]:
    """Numbers among the rows that are not held out, as numbers among all rows."""
    return drawn + np.searchsorted(held - np.arange(len(held)), drawn, side="right")


def _seen(ensemble: Any, member: Any) -> list[NDArray[np.intp]]:
    """For each output the numbers of the classes that a member has seen.

    The members of an ensemble know classes by their place among those of the ensemble, which are numbers of ours.
    """
    own = member.classes_ if isinstance(member.classes_, list) else [member.classes_]
    of_part = ensemble.classes_ if isinstance(ensemble.classes_, list) else [ensemble.classes_]
    return [
        np.asarray(part)[np.asarray(seen).astype(np.intp)].astype(np.intp)
        for seen, part in zip(own, of_part, strict=True)
    ]


def _fit_columns(ensemble: Any, columns: NDArray[np.intp] | None) -> None:
    """Constraints of all columns, cut to those there are."""
    constraints = getattr(ensemble, "monotonic_cst", None)
    if columns is not None and constraints is not None:
        ensemble.monotonic_cst = np.asarray(constraints)[columns]


@dataclass(slots=True, eq=False)
class Work:
    """An ensemble that is fitted but for its members, and the tasks that grow those it has not.

    Attributes
    ----------
    ensemble : BaseForest or BaseBagging
    earlier : list of Grown
        The first trees.
    tasks, keys : list
        Of the others; and which of them go to the same worker where that is possible.
    weight : ndarray or None
        Weights of rows, with those of their classes.
    partitions : list of Partition
        Unless trees see all rows, or patches.
    histograms : ndarray of shape (n_partitions, n_classes), or None
        Rows of each class.
    places : list
        Where each tree grows, in the order of their numbers; none if each sees all rows.
    held : ndarray of int or None
        Rows that nothing is grown on, sorted.
    """

    ensemble: Any
    earlier: list[Grown]
    tasks: list[Any]
    keys: list[int | None]
    weight: NDArray[np.float64] | None = None
    partitions: list[Partition] = field(default_factory=list)
    histograms: NDArray[np.int64] | None = None
    places: list[Partition | Patch] = field(default_factory=list)
    held: NDArray[np.intp] | None = None

    @property
    def classes(self) -> list[NDArray[Any]] | None:
        """Of each output; None for regression."""
        classes = getattr(self.ensemble, "classes_", None)
        return classes if classes is None or isinstance(classes, list) else [classes]

    def rows_of(self, member: Grown) -> slice | NDArray[np.intp]:
        """The rows that a tree has drawn from."""
        return self.places[member.number].rows(self.held) if self.places else slice(None)

    def forest(self, members: list[Grown]) -> Any:
        """The ensemble with such members; an ordinary one of scikit-learn."""
        forest = copy.copy(self.ensemble)
        forest.estimators_ = [member.tree for member in members]
        if is_bagging(forest):
            every = np.arange(forest.n_features_in_)
            forest.estimators_features_ = [
                every if member.features is None else member.features for member in members
            ]
        forest.n_estimators = len(members)
        return forest


def prepare_whole(ensemble: Any, rows: Rows, engine: Engine) -> Work:
    """All rows for each tree: the calls of scikit-learn's own fit.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
        With ``warm_start`` and the earlier trees if there are any.
    """
    oob = ensemble.oob_score
    earlier = members_of(ensemble) if ensemble.warm_start else []
    ensemble.oob_score = False  # there are no trees yet to score
    X = writable(rows.X)
    calls = plan_fit(ensemble, X, rows.y, rows.weight)
    ensemble.oob_score = oob
    tasks = whole_tasks(calls, engine, len(earlier), lambda arg: rows.X if _same(arg, X) else arg)
    return Work(ensemble, earlier, tasks, [None] * len(tasks), drawing_weight(ensemble))


def score_out_of_bag(forest: Any, rows: Rows) -> None:
    """Have scikit-learn score a forest that has all its trees on the rows that each has not drawn."""
    if is_bagging(forest):
        forest._set_oob_score(rows.X, forest._validate_y(rows.y))
        return
    forest.warm_start = True  # so that its fit finds nothing to grow, and goes on with the score
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(Warm-start fitting|class_weight presets)")
        plan_fit(forest, writable(rows.X), rows.y, rows.weight)


def members_of(ensemble: Any) -> list[Grown]:
    """The trees of an ensemble that is fitted."""
    trees = list(getattr(ensemble, "estimators_", ()))
    features = getattr(ensemble, "estimators_features_", None) or [None] * len(trees)
    return [Grown(number, *pair) for number, pair in enumerate(zip(trees, features, strict=True))]


def _same(array: Any, X: Any) -> bool:
    """Whether two arrays are one memory: scikit-learn hands out views of what it is given."""
    return (
        isinstance(array, np.ndarray)
        and isinstance(X, np.ndarray)
        and (array.ctypes.data, array.shape, array.dtype) == (X.ctypes.data, X.shape, X.dtype)
    )


@dataclass(frozen=True, slots=True)
class Parting:
    """How rows are parted.

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

    def places(
        self, rows: Rows, n_trees: int, n_held: int
    ) -> tuple[list[Partition], list[Partition | Patch]]:
        """The partitions, and where each tree grows."""
        n_rows = len(rows)
        if self.mode == "patches":
            asked = 1 / self.n_partitions if self.max_samples is None else self.max_samples
            n_drawn = count_of(asked, n_rows - n_held)
            n_columns = count_of(self.max_features, rows.n_features)
            return [], [
                Patch(self.entropy, number, n_drawn, n_rows, n_columns, rows.n_features)
                for number in range(n_trees)
            ]
        edges = np.linspace(0, n_rows, min(self.n_partitions, n_rows) + 1).astype(int).tolist()
        parts = [Partition(number, low, high) for number, (low, high) in enumerate(pairwise(edges))]
        return parts, [parts[part] for part in dealt([part.n_rows for part in parts], n_trees)]


def prepare_parts(
    ensemble: Any,
    shell: Any,
    rows: Rows,
    classes: list[NDArray[Any]] | None,
    parting: Parting,
    held: NDArray[np.intp] | None,
    engine: Engine,
) -> Work:
    """A part of the rows for each tree.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
        Unfitted: what each part is given to.
    shell : BaseForest or BaseBagging
        Fitted but for its new members; the earlier ones count as the first.
    rows : Rows
        Labels are numbers of classes.
    classes : list of ndarray or None
        Of each output.
    parting : Parting
    held : ndarray of int or None
        Rows that nothing is grown on, sorted.
    engine : Engine
    """
    n_trees, earlier = ensemble.n_estimators, members_of(shell)
    parts, places = parting.places(rows, n_trees, 0 if held is None else len(held))
    if len(earlier) > n_trees:
        raise SettingsError(
            f"n_estimators={n_trees} is less than the {len(earlier)} trees there are",
            "ask for more, or leave out warm_start",
        )
    arrays = {"X": rows.X, "y": rows.y}
    if rows.weight is not None:
        arrays["weight"] = rows.weight
    if held is not None:
        arrays["held"] = held
    shared = share(engine, arrays)
    n_classes = None if classes is None else tuple(map(len, classes))
    tasks = [
        PartTask(number, ensemble, seed, place, n_classes, shared)
        for number, (seed, place) in enumerate(zip(tree_seeds(parting.entropy, n_trees), places, strict=True))
    ][len(earlier) :]
    # A worker that has a partition in its cache of pages keeps it.
    keys = [task.place.number if isinstance(task.place, Partition) else None for task in tasks]
    for member in earlier:
        place = places[member.number]
        member.part = place.number if isinstance(place, Partition) else None
    histograms = _histograms(rows, parts, n_classes)
    return Work(shell, earlier, tasks, keys, rows.weight, parts, histograms, places, held)


def numbered(ensemble: Any, rows: Rows, *, classification: bool) -> tuple[Rows, list[NDArray[Any]] | None]:
    """Labels as numbers, weights of classes as weights of rows; the classes of each output (None for regression)."""
    y = column_or_1d(rows.y, warn=True) if rows.y.ndim == 1 or rows.y.shape[1] == 1 else rows.y
    if not classification:
        return Rows(rows.X, np.ascontiguousarray(y, np.float64), rows.weight), None
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
        asked = "balanced" if isinstance(class_weight, str) else class_weight
        expanded = compute_sample_weight(asked, y)
        weight = expanded if weight is None else weight * expanded
        ensemble.class_weight = None
    return Rows(rows.X, codes[:, 0] if y.ndim == 1 else codes, weight), classes


def _histograms(
    rows: Rows, parts: list[Partition], n_classes: tuple[int, ...] | None
) -> NDArray[np.int64] | None:
    if n_classes is None or len(n_classes) > 1 or not parts:
        return None
    return np.stack(
        [np.bincount(rows.y[part.low : part.high], minlength=n_classes[0]) for part in parts]
    ).astype(np.int64)
