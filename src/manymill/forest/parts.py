"""A tree of a part of the rows: a partition, or a patch of rows and columns drawn from all partitions.

::

    partition:   X[low:high]                              a view of what is mapped
    patch:       rows = sorted(drawn); columns = drawn    gathered block by block
                 X[rows][:, columns]

    ensemble.fit(part)        scikit-learn's own, with one member
    widened(member)           over all columns and classes

Classes are numbers here, and weights of classes are weights of rows already: both were made of all rows, so that a
part that lacks a class changes neither.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse, vstack
from sklearn.base import clone

from manymill.engine.shared_arrays import Shared
from manymill.forest.grown import Grown
from manymill.forest.kinds import grows_trees, is_bagging
from manymill.forest.planning import plan_fit
from manymill.forest.remapping import widened
from manymill.forest.seeds import patch_stream

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
    shared: Shared

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
