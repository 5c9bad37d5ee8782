"""The labels of an estimator's rows: any values that NumPy can sort, known to the training by plain names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from manymill.errors import PlanError, SchemaError, SettingsError

# Classes listed in a message.
SHOWN_CLASSES = 12


class Labels:
    """Labels and weights of rows, checked.

    Parameters
    ----------
    X : sized
        The texts, for their number.
    y : array-like of shape (n_rows,)
        Labels.
    sample_weight : array-like of shape (n_rows,) or None
        Weights of rows.
    classes : array-like of shape (n_classes,), optional
        All labels there may be; those of ``y`` if not given.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    names : list of str
        What the training calls the classes; sorted, so in the order of ``classes``.
    codes : ndarray of shape (n_rows,)
        The position of each row's label in ``classes``.
    weights : ndarray of float32, shape (n_rows,), or None

    Raises
    ------
    PlanError
        If there is only one class, or a label that is none of ``classes``.
    SchemaError
        If lengths differ, or a weight is negative or not finite.
    """

    def __init__(
        self, X: Any, y: ArrayLike | None, sample_weight: ArrayLike | None, classes: ArrayLike | None = None
    ) -> None:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        check_consistent_length(X, labels)
        self.classes = np.unique(labels if classes is None else np.asarray(classes))
        if len(self.classes) < 2:
            raise PlanError(f"all rows have the same label, {self.classes.tolist()}: there is only one class")
        self.codes = np.minimum(np.searchsorted(self.classes, labels), len(self.classes) - 1)
        unknown = self.classes[self.codes] != labels
        if unknown.any():
            known = ", ".join(map(repr, self.classes[:SHOWN_CLASSES].tolist()))
            more = ", ..." if len(self.classes) > SHOWN_CLASSES else ""
            raise PlanError(f"the label {labels[unknown].tolist()[0]!r} is none of the classes {known}{more}")
        width = len(str(len(self.classes) - 1))
        self.names = [f"{number:0{width}}" for number in range(len(self.classes))]
        self.weights = None if sample_weight is None else _weights(X, sample_weight)

    def counting(self, texts: pa.Array) -> tuple[pa.Array, list[str], NDArray[np.float32] | None]:
        """Texts, names of classes and weights of the rows that count: those of weight 0 are left out.

        Raises
        ------
        SchemaError
            If no row counts.
        """
        names, weights = np.array(self.names, object)[self.codes], self.weights
        if weights is None or weights.all():
            return texts, names.tolist(), weights
        counts = weights > 0
        if not counts.any():
            raise SchemaError("sample_weight is zero for every row")
        return texts.filter(pa.array(counts)), names[counts].tolist(), weights[counts]

    def by_name(self, class_weight: str | Mapping[Any, float] | None) -> str | Mapping[str, float] | None:
        """Weights given by label as weights by name.

        Raises
        ------
        SettingsError
            If a weight is of no class.
        """
        if not isinstance(class_weight, Mapping):
            return class_weight
        unknown = [label for label in class_weight if label not in set(self.classes.tolist())]
        if unknown:
            raise SettingsError(
                f"class_weight names {unknown[0]!r}, which is none of the classes",
                "write labels as they are in y",
            )
        return {
            name: class_weight.get(label, 1.0)
            for name, label in zip(self.names, self.classes.tolist(), strict=True)
        }

    def weighted(self, class_weight: str | Mapping[Any, float] | None) -> NDArray[np.float32] | None:
        """The weights of rows times those of their classes."""
        if not isinstance(class_weight, Mapping):
            return self.weights
        by_class = np.array([class_weight.get(label, 1.0) for label in self.classes.tolist()], np.float32)
        by_row: NDArray[np.float32] = by_class[self.codes]
        return by_row if self.weights is None else by_row * self.weights


def _weights(X: Any, sample_weight: ArrayLike) -> NDArray[np.float32]:
    weights = np.asarray(sample_weight, np.float32)
    if weights.ndim == 0:
        weights = np.full(len(X), weights, np.float32)
    if weights.ndim != 1:
        raise SchemaError(f"sample_weight must be one-dimensional, not of shape {weights.shape}")
    check_consistent_length(X, weights)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise SchemaError("sample_weight holds a weight that is negative or not finite")
    return weights


def plain_classes(classes: NDArray[Any]) -> tuple[str, ...] | tuple[int, ...]:
    """Labels as a model folder holds them: integers, or else strings."""
    if np.issubdtype(classes.dtype, np.integer):
        return tuple(int(c) for c in classes.tolist())
    return tuple(str(c) for c in classes.tolist())
