"""Tasks of workers: load the rows of a part, fit and score its model, and return its weighted coefficients.

A task is small when pickled: it refers to published arrays, or to blocks of a dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from manymill.engine.base import Engine
from manymill.engine.spool import Ref
from manymill.parameter_mixing.averaging import (
    MeanSums,
    ModelTemplate,
    class_sums,
    regression_sums,
    split_arrays,
)
from manymill.parameter_mixing.fitting import PartRows, fit_part, is_joint


class Part(Protocol):
    """One part of the rows."""

    def rows(self) -> PartRows:
        """Load, or read and vectorize, the rows."""
        ...

    def targets(self) -> NDArray[Any]:
        """Load the labels or targets only."""
        ...


# ---- parts of matrices


@dataclass(frozen=True, slots=True, eq=False)
class MatrixPart:
    """A part that consists of rows of published arrays.

    Parameters
    ----------
    name : str
        Name of the part in messages.
    ref : Ref
        Refers to the arrays ``y``, ``weight`` if rows have weights, ``indices`` (row indices of all parts, one part
        after the other), and ``X``, or ``X.data``, ``X.indices`` and ``X.indptr`` if it is sparse.
    shape : (int, int)
        Shape of X.
    start, stop : int
        The section of ``indices`` that belongs to this part.
    """

    name: str
    ref: Ref
    shape: tuple[int, int]
    start: int
    stop: int

    def rows(self) -> PartRows:
        """Load the rows; a view if they are consecutive in a dense array."""
        arrays = self.ref.load()
        selection = self._selection(arrays)
        weight = arrays.get("weight")
        return PartRows(
            _feature_matrix(arrays, self.shape)[selection],
            arrays["y"][selection],
            None if weight is None else weight[selection],
        )

    def targets(self) -> NDArray[Any]:
        """Load the labels or targets."""
        arrays = self.ref.load()
        return np.asarray(arrays["y"][self._selection(arrays)])

    def _selection(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        indices = arrays["indices"][self.start : self.stop]
        consecutive = len(indices) and int(indices[-1]) - int(indices[0]) + 1 == len(indices)
        return slice(int(indices[0]), int(indices[-1]) + 1) if consecutive else indices


def matrix_parts(
    rows: PartRows, parts: Sequence[NDArray[np.int64]], engine: Engine
) -> tuple[list[MatrixPart], MatrixPart]:
    """Publish rows once, and return their parts, and one part with all rows of the parts in order.

    Parameters
    ----------
    rows : PartRows
    parts : sequence of ndarray of int
        Row indices of each part.
    engine : Engine
    """
    indices = [*parts, np.sort(np.concatenate(parts))]
    arrays = {**_feature_arrays(rows.X), "y": rows.y, "indices": np.concatenate(indices)}
    if rows.weight is not None:
        arrays["weight"] = rows.weight
    ref = engine.publish(arrays)
    names = [f"part {number} of {len(parts)}" for number in range(1, len(parts) + 1)] + ["all rows"]
    stops = np.cumsum([len(part) for part in indices]).tolist()
    *published, all_rows = (
        MatrixPart(name, ref, rows.X.shape, start, stop)
        for name, start, stop in zip(names, [0, *stops[:-1]], stops, strict=True)
    )
    return published, all_rows


def _feature_arrays(X: Any) -> dict[str, NDArray[Any]]:
    """A matrix as arrays to publish."""
    if hasattr(X, "indptr"):
        return {"X.data": X.data, "X.indices": X.indices, "X.indptr": X.indptr}
    return {"X": X}


def _feature_matrix(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> Any:
    if "X" in arrays:
        return arrays["X"]
    from scipy.sparse import csr_matrix

    parts = (arrays["X.data"], arrays["X.indices"], arrays["X.indptr"])
    return csr_matrix(parts, shape=shape, copy=False)


# ---- tasks


@dataclass(frozen=True, slots=True, eq=False)
class PartFit:
    """The task of fitting one part in one round.

    Parameters
    ----------
    part : Part
    held_out : Part or None
        The held-out rows.
    estimator : estimator
        Not fitted.
    classes : ndarray or None
        All classes; None for regression.
    method : {"fit", "partial_fit", "warm_start"}
        See :mod:`manymill.parameter_mixing.fitting`.
    seed : int or None
        Random state of this part in this round; None for that of the estimator.
    weight_by_rows : bool
        Whether the weight of the part is that of its rows, or 1.
    start : (ModelTemplate, Ref) or None
        The mean of the previous round.
    class_weights : ndarray or None
        Balanced weights of classes for ``partial_fit``.
    remote : bool
        Whether the task runs in another process than the driver.
    """

    part: Part
    held_out: Part | None
    estimator: Any
    classes: NDArray[Any] | None
    method: str
    seed: int | None
    weight_by_rows: bool
    start: tuple[ModelTemplate, Ref] | None = None
    class_weights: NDArray[np.float64] | None = None
    remote: bool = False

    @property
    def name(self) -> str:
        """Name of the task in messages."""
        return str(getattr(self.part, "name", "a part"))


@dataclass(frozen=True, slots=True, eq=False)
class PartFitReport:
    """Report of a task, without the weighted coefficients.

    Parameters
    ----------
    n_rows : int
    weight : float
        Weight of the part in the mean; 0 if it has no model.
    n_classes : int
        Number of classes of its rows; 0 for regression.
    score : float or None
        Score of its model on the held-out rows.
    template : ModelTemplate or None
        Its model without coefficients; None if it has no model.
    """

    n_rows: int
    weight: float
    n_classes: int = 0
    score: float | None = None
    template: ModelTemplate | None = None


def run_part_fit(task: PartFit) -> tuple[PartFitReport, MeanSums | None]:
    """Fit a part; a report, and its contribution to the mean (None if it has no model)."""
    _limit_threads(task)
    rows = task.part.rows()
    present = np.zeros(0, np.intp) if task.classes is None else np.unique(rows.y)
    single_class = task.classes is not None and len(present) < 2 and task.method != "partial_fit"
    if not len(rows) or single_class:
        return PartFitReport(len(rows), 0.0, len(present)), None
    start = None if task.start is None else (task.start[0], task.start[1].load())
    model = fit_part(
        task.estimator,
        rows,
        task.classes,
        task.method,
        seed=task.seed,
        start=start,
        class_weights=task.class_weights,
    )
    weight = rows.total_weight if task.weight_by_rows else 1.0
    score = _score_held_out(task, model)
    template, arrays = split_arrays(model)
    if task.classes is None:
        return PartFitReport(len(rows), weight, 0, score, template), regression_sums(arrays, weight)
    if task.method == "partial_fit":  # its model has all classes
        present = np.arange(len(task.classes))
    sums = class_sums(arrays, present, len(task.classes), weight, jointly=is_joint(model))
    return PartFitReport(len(rows), weight, len(present), score, template), sums


def score_reference(task: PartFit) -> float | None:
    """Fit the estimator on all rows of the task, without averaging, and return its held-out score."""
    _limit_threads(task)
    model = fit_part(task.estimator, task.part.rows(), task.classes, "fit", seed=task.seed)
    return _score_held_out(task, model)


def count_classes(part: Part, *, n_classes: int) -> NDArray[np.int64]:
    """Number of rows of each class in a part."""
    return np.bincount(part.targets(), minlength=n_classes)


def score_model(model: Any, rows: PartRows, classes: NDArray[Any] | None) -> float:
    """Accuracy, or R² for regression, weighted by the weights of the rows."""
    y = rows.y if classes is None else classes[rows.y]
    return float(model.score(rows.X, y, sample_weight=rows.weight))


def _score_held_out(task: PartFit, model: Any) -> float | None:
    return None if task.held_out is None else score_model(model, task.held_out.rows(), task.classes)


def _limit_threads(task: PartFit) -> None:
    """Use one thread for matrix products in other processes, as in the driver: so sums do not depend on the engine."""
    if task.remote:
        threadpool_limits(1)
