"""State of a linear model: numbered classes with their weights, the learner, and its state as arrays.

Classes are numbered in order of appearance: first those of the plan's sample, then new ones, sorted within each window.
The numbers are private to a training; a finished model has its classes in sorted order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import Labels
from manymill.linear.settings import Settings
from manymill.model import Analyzer, LinearModel

# Bytes of weights copied at a time: a large state is never held twice.
COPIED_BYTES = 8 << 20


class ClassIndex:
    """Names of classes and their numbers; new names get the next numbers."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        self.add(names)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of their numbers."""
        return tuple(self._numbers)

    def add(self, names: Iterable[str]) -> tuple[str, ...]:
        """Number the names without a number, in sorted order, and return them."""
        new = self.missing(names)
        for name in new:
            self._numbers[name] = len(self._numbers)
        return new

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names without a number, sorted."""
        return tuple(sorted(set(names) - self._numbers.keys()))

    @classmethod
    def in_order(cls, names: Iterable[str]) -> ClassIndex:
        """An index that numbers the names in the given order."""
        index = cls()
        index._numbers = {name: number for number, name in enumerate(names)}
        return index

    def numbers(self, names: Iterable[str]) -> NDArray[np.int32]:
        """The numbers of names, int32; -1 for a name without a number."""
        return np.array([self._numbers.get(name, -1) for name in names], np.int32)

    def encode(self, labels: Labels) -> NDArray[np.int32]:
        """The numbers of labels, int32 of shape ``(n_rows,)``; -1 for a name without a number."""
        return self.numbers(labels.names)[labels.codes]

    @property
    def are_integers(self) -> bool:
        """Whether each name is the decimal form of an integer."""
        return all(re.fullmatch(r"0|-?[1-9][0-9]*", name) for name in self._numbers)

    def sorted_order(self, *, as_integers: bool, first: int | None = None) -> NDArray[np.intp]:
        """The numbers of the (``first``) classes, sorted by name, ``(n_classes,)``."""
        names = self.names[:first]
        key = (lambda i: int(names[i])) if as_integers else (lambda i: names[i])
        return np.array(sorted(range(len(names)), key=key), np.intp)


class ClassWeights:
    """Weights of rows by class: none, given by name, or balanced over the rows so far.

    Attributes
    ----------
    counts : ndarray of int64, shape (n_classes,)
        Rows of each class so far, if weights are balanced.
    """

    def __init__(self, class_weight: str | Mapping[Any, float] | None) -> None:
        self._given = (
            {str(k): float(v) for k, v in class_weight.items()} if isinstance(class_weight, Mapping) else {}
        )
        self._balanced = class_weight == "balanced"
        self.counts = np.zeros(0, np.int64)

    def update(
        self, codes: NDArray[np.int32], index: ClassIndex, *, count: bool
    ) -> NDArray[np.float32] | None:
        """The weights of all classes, ``(n_classes,)``; None if every row weighs 1.

        The rows are counted first, unless ``count`` is False because they were counted in an earlier pass.
        """
        if self._given:
            return np.array([self._given.get(name, 1.0) for name in index.names], np.float32)
        if not self._balanced:
            return None
        if count:
            self.counts = np.bincount(codes, minlength=len(index)) + np.pad(
                self.counts, (0, len(index) - len(self.counts))
            )
        counts = np.maximum(self.counts, 1)
        balanced = self.counts.sum() / (np.count_nonzero(self.counts) * counts)
        return np.asarray(balanced, np.float32)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the weights of a learner, in the order of its outputs."""

    weights: NDArray[np.float32]  # (n_features, n_outputs)
    intercept: NDArray[np.float32]  # (2, n_outputs): intercepts and their squared-gradient sums


def new_learner(settings: Settings, n_classes: int) -> _core.Learner:
    """An untrained learner."""
    return _core.Learner(
        settings.analyzer.n_features,
        n_classes,
        loss=settings.loss,
        l1=settings.l1,
        l2=settings.l2,
        learning_rate=settings.rate(n_classes),
        fit_intercept=settings.fit_intercept,
    )


class LinearState:
    """A learner and the classes of its outputs.

    Parameters
    ----------
    settings : Settings
        Settings of the learner.
    index : ClassIndex
        The classes in the order of the learner's outputs. Call :meth:`make_room` when classes are added.
    as_integers : bool
        Whether classes are sorted and returned as integers, if all of them are.
    feature_weights : ndarray of float32, shape (n_features,), optional
        Weights that the values of its rows were multiplied by.
    n_classes_at_start : int, optional
        Number of classes when the learner was created, if training resumes: its rate depends on it.
    """

    def __init__(
        self,
        settings: Settings,
        index: ClassIndex,
        *,
        as_integers: bool,
        feature_weights: NDArray[np.float32] | None = None,
        n_classes_at_start: int | None = None,
    ) -> None:
        self._settings, self._index, self._as_integers = settings, index, as_integers
        self.feature_weights = feature_weights
        self.n_classes_at_start = max(2, len(index)) if n_classes_at_start is None else n_classes_at_start
        self.learner = new_learner(settings, self.n_classes_at_start)
        self.make_room(len(index))

    @property
    def index(self) -> ClassIndex:
        """The classes in the order of the learner's outputs."""
        return self._index

    @property
    def analyzer(self) -> Analyzer:
        """Conversion of documents to rows."""
        return self._settings.analyzer

    def make_room(self, n_classes: int) -> None:
        """Add outputs for at least ``n_classes`` classes."""
        if n_classes > self.learner.n_classes:
            self.learner.grow(n_classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, sorted."""
        return tuple(self._index.names[i] for i in self._order())

    @property
    def classes(self) -> tuple[str, ...] | tuple[int, ...]:
        """The classes, sorted."""
        return tuple(map(int, self.names)) if self._sorted_as_integers() else self.names

    def numbers(self) -> NDArray[np.int32]:
        """The learner's number of each class, in the order of the sorted classes, ``(n_classes,)``."""
        return self._order().astype(np.int32)

    def _order(self) -> NDArray[np.intp]:
        # If training was interrupted, a class may have a number but no output yet.
        n_classes = self.learner.n_classes
        return self._index.sorted_order(as_integers=self._sorted_as_integers(), first=n_classes)

    def _sorted_as_integers(self) -> bool:
        # A class found later may be the first that is not an integer.
        return self._as_integers and self._index.are_integers

    def _arranged(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs, ``(..., n_outputs)``, in the order of the classes; for two classes the sign may flip."""
        order = self._order()
        if self.learner.n_outputs > 1:
            return np.ascontiguousarray(outputs[..., order])
        return outputs if order[0] < order[-1] else -outputs

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """The weights in slices of features, ``(n, n_outputs)``."""
        for start, stop in self._spans():
            yield self._arranged(self.learner.weights(start, stop))

    def intercept(self) -> NDArray[np.float32]:
        """The intercepts, ``(n_outputs,)``."""
        return self._arranged(self.learner.intercept())

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]:
        """Decision values, ``(n_rows, n_outputs)``."""
        return self._arranged(self.learner.scores(rows))

    def snapshot(self) -> Snapshot:
        """A copy of the current weights."""
        return Snapshot(self.learner.weights(0, self.learner.n_features), self.learner.intercept_state())

    def restore(self, snapshot: Snapshot) -> None:
        """Restore earlier weights; the squared-gradient sums stay, so later steps remain short."""
        for start, stop in self._spans():
            # If weights diverged, so did the sums.
            sums = np.nan_to_num(self.learner.accumulators(start, stop), copy=False)
            self.learner.set_state(start, snapshot.weights[start:stop], sums)
        self.learner.set_intercept_state(snapshot.intercept, self.learner.n_rows_seen)

    def _spans(self) -> Iterator[tuple[int, int]]:
        n_features = self.learner.n_features
        step = max(1, COPIED_BYTES // (4 * self.learner.n_outputs))
        for start in range(0, n_features, step):
            yield start, min(start + step, n_features)

    # The learner is native: a pickle holds its arrays.

    def __getstate__(self) -> dict[str, Any]:
        learner = self.learner
        learner.settle()
        return {
            "settings": self._settings,
            "names": self._index.names,
            "as_integers": self._as_integers,
            "feature_weights": self.feature_weights,
            "weights": learner.weights(0, learner.n_features),
            "accumulators": learner.accumulators(0, learner.n_features),
            "intercept": learner.intercept_state(),
            "n_rows_seen": learner.n_rows_seen,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        LinearState.__init__(
            self,
            state["settings"],
            ClassIndex.in_order(state["names"]),
            as_integers=state["as_integers"],
            feature_weights=state["feature_weights"],
        )
        self.learner.set_state(0, state["weights"], state["accumulators"])
        self.learner.set_intercept_state(state["intercept"], state["n_rows_seen"])


class LoadedState:
    """Read-only state with the memory-mapped weights of a model folder.

    Parameters
    ----------
    model : LinearModel
        Result of :func:`manymill.model.load_model`.
    """

    def __init__(self, model: LinearModel) -> None:
        self._model = model

    @property
    def analyzer(self) -> Analyzer:
        """Conversion of documents to rows."""
        return self._model.analyzer

    @property
    def feature_weights(self) -> NDArray[np.float32] | None:
        """Weights that values are multiplied by, ``(n_features,)``; None: 1."""
        return self._model.feature_weights

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]:
        """Decision values, ``(n_rows, n_outputs)``."""
        return _core.score_rows(rows, self._model.weights, self._model.intercept)

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """The weights as one slice, ``(n_features, n_outputs)``."""
        yield self._model.weights

    def intercept(self) -> NDArray[np.float32]:
        """The intercepts, ``(n_outputs,)``."""
        return self._model.intercept


# features (m,) uint32, sorted; weights (m, n_outputs) and sums (m,) float32; intercept (2, n_outputs) float32;
# n_rows_seen (1,) int64.
Arrays = dict[str, NDArray[Any]]


def load_state(learner: _core.Learner, arrays: Arrays, share: int = 1) -> None:
    """Overwrite features of a learner, with the squared-gradient sums divided by ``share`` lanes.

    Values are absolute: loading a full state gives the same bytes as loading every change before it.
    """
    sums: NDArray[np.float32] = arrays["sums"]
    learner.scatter(arrays["features"], arrays["weights"], sums / np.float32(share))
    intercept = arrays["intercept"].copy()
    intercept[1] /= np.float32(share)
    learner.set_intercept_state(intercept, int(arrays["n_rows_seen"][0]))


def dump_state(learner: _core.Learner, features: NDArray[np.uint32]) -> Arrays:
    """The state of some features, for :func:`load_state`."""
    weights, sums = learner.gather(features)
    return {
        "features": features,
        "weights": weights,
        "sums": sums,
        "intercept": learner.intercept_state(),
        "n_rows_seen": np.array([learner.n_rows_seen], np.int64),
    }
