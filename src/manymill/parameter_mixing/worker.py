"""What a worker does: takes its part's rows, learns them, measures the model, votes.

A task is small: published arrays are named by a handle, and a part of a dataset by its blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from manymill.engine.spool import Ref
from manymill.parameter_mixing.averaging import Shell, Votes, shell_of, votes_of_classes, votes_of_regression
from manymill.parameter_mixing.fitting import Rows, is_joint, learnt


class Part(Protocol):
    """Where a part's rows come from."""

    def rows(self) -> Rows:
        """Load, or read and vectorize, the rows."""
        ...

    def targets(self) -> NDArray[Any]:
        """What is to be learnt of each row, without the features."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MatrixPart:
    """Some rows of published arrays.

    Parameters
    ----------
    name : str
        What messages call it.
    ref : Ref
        Of ``y``, of ``weight`` where there are weights, of ``numbers`` (those of the rows of all parts, one part
        behind the other), and of ``X``, or of ``data``, ``indices`` and ``indptr`` if it is sparse.
    shape : (int, int)
        Of X.
    start, stop : int
        Which of the numbers are this part's.
    """

    name: str
    ref: Ref
    shape: tuple[int, int]
    start: int
    stop: int

    def rows(self) -> Rows:
        """The rows; a view where they lie behind each other in an array."""
        arrays = self.ref.load()
        chosen = self._chosen(arrays)
        weight = arrays.get("weight")
        return Rows(
            _features(arrays, self.shape)[chosen],
            arrays["y"][chosen],
            None if weight is None else weight[chosen],
        )

    def targets(self) -> NDArray[Any]:
        """See `Part`."""
        arrays = self.ref.load()
        return np.asarray(arrays["y"][self._chosen(arrays)])

    def _chosen(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        numbers = arrays["numbers"][self.start : self.stop]
        together = len(numbers) and int(numbers[-1]) - int(numbers[0]) + 1 == len(numbers)
        return slice(int(numbers[0]), int(numbers[-1]) + 1) if together else numbers


def published_features(X: Any) -> dict[str, NDArray[Any]]:
    """A matrix as arrays to publish."""
    if hasattr(X, "indptr"):
        return {"data": X.data, "indices": X.indices, "indptr": X.indptr}
    return {"X": X}


def _features(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> Any:
    if "X" in arrays:
        return arrays["X"]
    from scipy.sparse import csr_matrix

    return csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape, copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One part in one round.

    Parameters
    ----------
    part : Part
    held : Part or None
        The held-out rows.
    estimator : estimator
        Not fitted.
    classes : ndarray or None
        All classes; None for regression.
    way : {"fit", "partial_fit", "warm_start"}
        See :mod:`manymill.parameter_mixing.fitting`.
    seed : int or None
        Of this part in this round.
    weigh : bool
        Whether the part's vote weighs as much as its rows, or 1.
    start : (Shell, Ref) or None
        The mean of the round before.
    balance : ndarray or None
        Weights of classes for ``partial_fit``.
    away : bool
        Whether it is done in another process than the driver's.
    """

    part: Part
    held: Part | None
    estimator: Any
    classes: NDArray[Any] | None
    way: str
    seed: int | None
    weigh: bool
    start: tuple[Shell, Ref] | None = None
    balance: NDArray[np.float64] | None = None
    away: bool = False

    @property
    def name(self) -> str:
        """What a message calls it."""
        return str(getattr(self.part, "name", "a part"))


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a part tells besides its vote.

    Parameters
    ----------
    n_rows : int
    weight : float
        Of its vote; 0 if it had none.
    n_classes : int
        Classes it met; 0 for regression.
    score : float or None
        Of its own model on the held-out rows.
    shell : Shell or None
        Its model without the arrays; None if there is none.
    """

    n_rows: int
    weight: float
    n_classes: int = 0
    score: float | None = None
    shell: Shell | None = None


def learn_part(task: Task) -> tuple[Report, Votes | None]:
    """Learn a part: its report, and its vote on the mean."""
    _use_one_thread(task)
    rows = task.part.rows()
    met = np.zeros(0, np.intp) if task.classes is None else np.unique(rows.y)
    if not len(rows) or (task.classes is not None and len(met) < 2 and task.way != "partial_fit"):
        return Report(len(rows), 0.0, len(met)), None
    start = None if task.start is None else (task.start[0], task.start[1].load())
    model = learnt(
        task.estimator, rows, task.classes, task.way, seed=task.seed, start=start, balance=task.balance
    )
    weight = rows.mass if task.weigh else 1.0
    score = None if task.held is None else score_of(model, task.held.rows(), task.classes)
    shell, arrays = shell_of(model)
    if task.classes is None:
        return Report(len(rows), weight, 0, score, shell), votes_of_regression(arrays, weight)
    if task.way == "partial_fit":  # it was told of all classes
        met = np.arange(len(task.classes))
    votes = votes_of_classes(arrays, met, len(task.classes), weight, jointly=is_joint(model))
    return Report(len(rows), weight, len(met), score, shell), votes


def count_classes(part: Part, *, n_classes: int) -> NDArray[np.int64]:
    """The number of rows of each class in a part."""
    return np.bincount(part.targets(), minlength=n_classes)


def learn_all(task: Task) -> float | None:
    """The held-out score of the estimator fitted on the task's rows, one after the other, nothing averaged."""
    _use_one_thread(task)
    model = learnt(task.estimator, task.part.rows(), task.classes, "fit", seed=task.seed)
    return None if task.held is None else score_of(model, task.held.rows(), task.classes)


def _use_one_thread(task: Task) -> None:
    """Let a worker of another process multiply matrices in one thread: sums then do not depend on the engine."""
    if task.away:
        threadpool_limits(1)


def score_of(model: Any, rows: Rows, classes: NDArray[Any] | None) -> float:
    """Accuracy, or R² for regression, weighted as the rows are."""
    y = rows.y if classes is None else classes[rows.y]
    return float(model.score(rows.X, y, sample_weight=rows.weight))
