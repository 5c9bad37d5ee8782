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
from manymill.model.rows import table_of
from manymill.storage.tensors import Slices

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

    features: NDArray[np.uint32]  # (m,): those with weights
    weights: NDArray[np.float32]  # (m, n_outputs)
    intercept: NDArray[np.float32]  # (2, n_outputs): intercepts and their squared-gradient sums


def new_learner(settings: Settings, n_classes: int, table: _core.FeatureTable | None) -> _core.Learner:
    """An untrained learner of the features in use, or of all hash buckets."""
    return _core.Learner(
        settings.analyzer.n_features if table is None else len(table),
        n_classes,
        loss=settings.value_of("loss"),
        l1=settings.l1,
        l2=float(settings.l2),
        learning_rate=settings.rate(n_classes),
        initial_g=float(settings.initial_g),
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
    table : FeatureTable, optional
        Features in use, with the weights that the values of rows are multiplied by.
    n_classes_at_start : int, optional
        Number of classes when the learner was created, if training resumes: its rate depends on it.
    """

    def __init__(
        self,
        settings: Settings,
        index: ClassIndex,
        *,
        as_integers: bool,
        table: _core.FeatureTable | None = None,
        n_classes_at_start: int | None = None,
    ) -> None:
        self._settings, self._index, self._as_integers = settings, index, as_integers
        self.table = table
        self.n_classes_at_start = max(2, len(index)) if n_classes_at_start is None else n_classes_at_start
        self.learner = new_learner(settings, self.n_classes_at_start, table)
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
            is_sorted = bool((order[1:] > order[:-1]).all())
            return outputs if is_sorted else outputs.take(order, axis=-1)
        return outputs if order[0] < order[-1] else -outputs

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """The weights in slices of features, ``(n, n_outputs)``."""
        for start, stop in self._spans():
            yield self._arranged(self.learner.weights(start, stop))

    def arrays(self) -> dict[str, Any]:
        """The arrays of a model folder, for :func:`manymill.model.save_model`."""
        features, weights = None if self.table is None else self.table.features, self.weights()
        met = self.learner.met() if features is None else np.zeros(0, np.uint32)
        n_outputs = self.learner.n_outputs
        # Without counts, most of the hash buckets may be empty.
        if features is None and len(met) * (1 + n_outputs) < self.learner.n_features * n_outputs:
            features, weights = met, self._weights_of(met)
        return {
            "weights": weights,
            "intercept": self.intercept(),
            "feature_weights": None if self.table is None else self.table.weights,
            "features": features,
        }

    def _weights_of(self, features: NDArray[np.uint32]) -> Iterator[NDArray[np.float32]]:
        step = max(1, COPIED_BYTES // (4 * self.learner.n_outputs))
        for start in range(0, len(features), step):
            yield self._arranged(self.learner.gather(features[start : start + step])[0])

    def intercept(self) -> NDArray[np.float32]:
        """The intercepts, ``(n_outputs,)``."""
        return self._arranged(self.learner.intercept())

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]:
        """Decision values, ``(n_rows, n_outputs)``."""
        return self._arranged(self.learner.scores(rows))

    @property
    def n_columns(self) -> int:
        """Number of columns: the features in use, or all hash buckets."""
        return self.learner.n_features

    def snapshot(self) -> Snapshot:
        """A copy of the current weights."""
        features = self.learner.met()
        return Snapshot(features, self.learner.gather(features)[0], self.learner.intercept_state())

    def restore(self, snapshot: Snapshot) -> None:
        """Restore earlier weights; the squared-gradient sums stay, so later steps remain short."""
        learner = self.learner
        step = max(1, COPIED_BYTES // (4 * learner.n_outputs))
        met = learner.met()
        for start in range(0, len(met), step):
            part = met[start : start + step]
            # If weights diverged, so did the sums.
            sums = np.nan_to_num(learner.gather(part)[1], copy=False)
            weights = np.zeros((len(part), learner.n_outputs), np.float32)
            first, last = np.searchsorted(snapshot.features, (part[0], part[-1] + 1))
            known = np.searchsorted(part, snapshot.features[first:last])
            weights[known] = snapshot.weights[first:last]
            learner.scatter(part, weights, sums)
        learner.set_intercept_state(snapshot.intercept, learner.n_rows_seen)

    def _spans(self) -> Iterator[tuple[int, int]]:
        n_features = self.learner.n_features
        step = max(1, COPIED_BYTES // (4 * self.learner.n_outputs))
        for start in range(0, n_features, step):
            yield start, min(start + step, n_features)

    # The learner is native: a pickle holds its arrays, the weights as bytes: pickling an array copies it once more.

    def __getstate__(self) -> dict[str, Any]:
        self.learner.settle()
        arrays = stream_state(self.learner)
        return {
            "settings": self._settings,
            "names": self._index.names,
            "as_integers": self._as_integers,
            "table": {} if self.table is None else dump_table(self.table),
            **arrays,
            "weights": [part.tobytes() for part in arrays["weights"].make()],
            "sums": np.concatenate([np.zeros(0, np.float32), *arrays["sums"].make()]),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "accumulators" in state:  # of version 0.1, with the state of every hash bucket
            state = {**state, **_state_0_1(state)}
        features, sums = state["features"], state["sums"]
        LinearState.__init__(
            self,
            state["settings"],
            ClassIndex.in_order(state["names"]),
            as_integers=state["as_integers"],
            table=load_table(state["table"]),
        )
        start = 0
        for part in state["weights"]:
            weights = np.frombuffer(part, np.float32).reshape(-1, self.learner.n_outputs)
            stop = start + len(weights)
            self.learner.scatter(features[start:stop], weights, sums[start:stop])
            start = stop
        self.learner.set_intercept_state(state["intercept"], int(state["n_rows_seen"][0]))


def _state_0_1(state: dict[str, Any]) -> dict[str, Any]:
    """The current form of a pickle of version 0.1."""
    every = np.arange(len(state["accumulators"]), dtype=np.uint32)
    weights = state["feature_weights"]
    return {
        "table": {}
        if weights is None
        else dump_table(_core.FeatureTable.from_arrays(len(every), every, weights)),
        "features": every,
        "weights": [np.ascontiguousarray(state["weights"], np.float32)],
        "sums": state["accumulators"],
        "n_rows_seen": np.array([state["n_rows_seen"]], np.int64),
    }


class LoadedState:
    """Read-only state with the memory-mapped weights of a model folder.

    Parameters
    ----------
    model : LinearModel
        Result of :func:`manymill.model.load_model`.
    """

    def __init__(self, model: LinearModel) -> None:
        self._model = model
        self._table = table_of(model)

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": self._model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        LoadedState.__init__(self, state["_model"])

    @property
    def analyzer(self) -> Analyzer:
        """Conversion of documents to rows."""
        return self._model.analyzer

    def arrays(self) -> dict[str, Any]:
        """The arrays of a model folder, for :func:`manymill.model.save_model`."""
        model = self._model
        return {
            "weights": model.weights,
            "intercept": model.intercept,
            "feature_weights": model.feature_weights,
            "features": model.features,
        }

    @property
    def table(self) -> _core.FeatureTable | None:
        """Features in use, with the weights that values are multiplied by."""
        return self._table

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]:
        """Decision values, ``(n_rows, n_outputs)``."""
        return _core.score_rows(rows, self._model.weights, self._model.intercept)

    @property
    def n_columns(self) -> int:
        """Number of columns: the features in use, or all hash buckets."""
        return len(self._model.weights)

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """The weights as one slice, ``(n_columns, n_outputs)``."""
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


def apply_round(learner: _core.Learner, changed: Arrays, n_lanes: int) -> None:
    """Bring the learner of a lane from the state before a round to the state after it.

    ``changed`` has the features that any lane changed in the round. All others decay by its number of rows, which is
    not exchanged: it is the difference of the rows seen.
    """
    learner.decay(int(changed["n_rows_seen"][0]) - learner.n_rows_seen, n_lanes, is_part=True)
    load_state(learner, changed, n_lanes)


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


def stream_state(learner: _core.Learner) -> dict[str, Any]:
    """The arrays of :func:`dump_state` of all features met, to be written in slices: without a copy of the state.

    The values are arrays, and :class:`~manymill.storage.tensors.Slices` for the weights and the sums.
    """
    features = learner.met()
    step = max(1, COPIED_BYTES // (4 * learner.n_outputs))

    def slices(which: int) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(features), step):
            yield learner.gather(features[start : start + step])[which]

    return {
        "features": features,
        "weights": Slices(np.float32, (len(features), learner.n_outputs), lambda: slices(0)),
        "sums": Slices(np.float32, (len(features),), lambda: slices(1)),
        "intercept": learner.intercept_state(),
        "n_rows_seen": np.array([learner.n_rows_seen], np.int64),
    }


def stream_table(table: _core.FeatureTable) -> dict[str, NDArray[Any] | Slices]:
    """The arrays of :func:`dump_table`, of which one at a time is in memory while they are written."""

    def features() -> Iterator[NDArray[np.uint32]]:
        yield from _copied_slices(table.features)

    def weights() -> Iterator[NDArray[np.float32]]:
        if (weights := table.weights) is not None:
            yield from _copied_slices(weights)

    shape = (len(table),)
    return {
        "n_hashed": np.array([table.n_hashed], np.int64),
        "table_features": Slices(np.uint32, shape, features),
        **({} if table.weights is None else {"table_weights": Slices(np.float32, shape, weights)}),
    }


def _copied_slices(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    # Copies, since a view would keep the whole array in memory for as long as the writer holds it.
    step = COPIED_BYTES // array.itemsize
    for start in range(0, len(array), step):
        yield array[start : start + step].copy()


def dump_table(table: _core.FeatureTable) -> Arrays:
    """The arrays of a feature table, for :func:`load_table`."""
    weights = table.weights
    return {
        "n_hashed": np.array([table.n_hashed], np.int64),
        "table_features": table.features,
        **({} if weights is None else {"table_weights": weights}),
    }


def load_table(arrays: Arrays) -> _core.FeatureTable | None:
    """The feature table of some arrays; None without one.

    Raises
    ------
    ValueError
        If its arrays are invalid: they may come from anyone.
    """
    if "n_hashed" not in arrays:
        return None
    n_hashed, features = arrays["n_hashed"], arrays["table_features"]
    weights = arrays.get("table_weights")
    if (
        n_hashed.shape != (1,)
        or n_hashed.dtype != np.int64
        or features.dtype != np.uint32
        or features.ndim != 1
    ):
        raise ValueError("the feature table has the wrong shape or type")
    if weights is not None and (weights.dtype != np.float32 or weights.shape != features.shape):
        raise ValueError("the feature weights have the wrong shape or type")
    return _core.FeatureTable.from_arrays(int(n_hashed[0]), features, weights)
