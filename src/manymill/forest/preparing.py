"""From rows to tasks: what each tree grows on, and with which seed; for each of the three modes."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from manymill.engine.base import Engine
from manymill.engine.shared_arrays import share, writable
from manymill.errors import SettingsError
from manymill.forest.grown import Grown
from manymill.forest.kinds import is_bagging
from manymill.forest.parameters import count_of
from manymill.forest.parts import Partition, PartTask, Patch
from manymill.forest.planning import drawing_weight, plan_fit
from manymill.forest.rows import Rows
from manymill.forest.seeds import dealt, tree_seeds
from manymill.forest.whole import whole_tasks


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
