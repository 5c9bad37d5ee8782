"""Weighted mean of fitted linear models, class by class.

::

    for each part p:                            on the worker
        rows_p, weights_p = coefficients with one row per class of all classes, and the weight of each row
    sums = Σ_p weights_p · rows_p               float64, in a fixed tree in the order of parts
    mean = sums / Σ_p weights_p                 rounded once to the dtype of the models

A part without rows of a class does not contribute to the row of that class. A part with rows of two classes of many has
a single row *f*, for the second class and against the first: it contributes *f* and *-f* where each class is separated
from the rest (the mirrored problem of these losses has the mirrored solution), and *f/2* and *-f/2* where classes are
modelled jointly, since only differences between rows matter there. A part with rows of a single class has no model and
contributes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import SettingsError
from manymill.parameter_mixing.sklearn_private import COEFFICIENTS

# Counters of steps; the mean gets the largest value of all models.
_COUNTERS = ("n_iter_", "t_")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class MeanSums:
    """Sums over parts of weights, and of weights times coefficients: numerator and denominator of the mean.

    Parameters
    ----------
    sums : dict of ndarray of float64
        For each attribute, the sum of weights times values.
    weights : ndarray of float64
        Sum of weights: of shape (n_outputs,) for classification, () for regression.
    """

    sums: Arrays
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelTemplate:
    """A fitted model without its coefficient arrays, and the dtype and number of dimensions of each."""

    model: Any
    dtypes: Mapping[str, np.dtype[Any]]
    dimensions: Mapping[str, int]


def split_arrays(model: Any) -> tuple[ModelTemplate, Arrays]:
    """Split a fitted model into a template and its coefficient arrays.

    Raises
    ------
    SettingsError
        If it is not a linear model with coefficients that can be set.
    """
    kind = type(model).__name__
    hint = "give a linear model, such as SGDClassifier, LogisticRegression or Ridge"
    if not (hasattr(model, "coef_") and hasattr(model, "intercept_")):
        raise SettingsError(f"a fitted {kind} has no coef_ and intercept_, so it cannot be averaged", hint)
    if isinstance(getattr(type(model), "coef_", None), property):
        raise SettingsError(f"coef_ of {kind} is a property and cannot be set", hint)
    template = copy.copy(model)
    arrays: Arrays = {}
    for name in COEFFICIENTS:
        if template.__dict__.get(name) is not None:
            value = template.__dict__.pop(name)
            arrays[name] = value.toarray() if hasattr(value, "toarray") else np.asarray(value)
    dtypes = {name: array.dtype for name, array in arrays.items()}
    return ModelTemplate(template, dtypes, {name: array.ndim for name, array in arrays.items()}), arrays


def join_arrays(template: ModelTemplate, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """A model from a template and coefficient arrays, which are copied."""
    model = copy.deepcopy(template.model)
    for name, array in arrays.items():
        value: Any = np.array(array, dtype=template.dtypes[name])
        if template.dimensions[name] == 0:  # without fit_intercept, the intercept is the number 0
            value = float(value.flat[0])
        elif template.dimensions[name] < value.ndim and len(value) == 1:
            value = value[0]
        setattr(model, name, value)
    return model


# ---- sums and means


def regression_sums(arrays: Arrays, weight: float) -> MeanSums:
    """The contribution of the regression model of a part."""
    return MeanSums(_weighted(arrays, weight), np.array(weight, np.float64))


def class_sums(
    arrays: Arrays, present: NDArray[Any], n_classes: int, weight: float, *, jointly: bool
) -> MeanSums:
    """The contribution of the classifier of a part.

    Parameters
    ----------
    arrays : dict of ndarray
        Its coefficient arrays, with one row per class of the part, or a single row for two classes.
    present : ndarray of shape (n_present,)
        Indices of the classes of the part among all classes, ascending; two at least.
    n_classes : int
        Number of all classes.
    weight : float
        Weight of the part.
    jointly : bool
        Whether its loss is over all classes together, such as softmax.
    """
    rows = {name: _as_rows(name, array) for name, array in arrays.items()}
    if len(present) < n_classes:
        rows = {name: _scatter_rows(array, present, n_classes, jointly) for name, array in rows.items()}
        weights = np.zeros(n_classes)
        weights[present] = weight
    else:
        weights = np.full(len(rows["coef_"]), weight, np.float64)
    return MeanSums(_weighted(rows, weight), weights)


def select_classes(arrays: Arrays, present: NDArray[Any], *, jointly: bool) -> Arrays:
    """The coefficients of some classes, from which a part with rows of these classes starts.

    Parameters
    ----------
    arrays : dict of ndarray
        With one row per class, for three classes or more.
    present : ndarray
        Indices of the classes of the part.
    jointly : bool
        See `class_sums`.
    """
    rows = {name: _as_rows(name, array)[present] for name, array in arrays.items()}
    if len(present) > 2:
        return rows
    return {name: array[1:] - array[:1] if jointly else array[1:] for name, array in rows.items()}


def add_sums(items: Sequence[MeanSums]) -> MeanSums:
    """The total, added in order; the items are not changed."""
    sums = {name: np.array(array) for name, array in items[0].sums.items()}
    weights = np.array(items[0].weights)
    for item in items[1:]:
        for name, array in sums.items():
            array += item.sums[name]
        weights += item.weights
    return MeanSums(sums, weights)


def weighted_mean(total: MeanSums) -> Arrays:
    """The weighted mean of the coefficients, as float64."""
    weights = total.weights
    return {
        name: array / (weights[:, None] if weights.ndim and array.ndim == 2 else weights)
        for name, array in total.sums.items()
    }


def set_counters(model: Any, others: Sequence[Any]) -> None:
    """Set the step counters of a model to the largest of other models."""
    for name in _COUNTERS:
        values = [value for other in others if (value := getattr(other, name, None)) is not None]
        if values and not isinstance(getattr(type(model), name, None), property):
            shapes = {np.shape(value) for value in values}
            largest = np.max(values, axis=0) if len(shapes) == 1 else max(np.max(value) for value in values)
            shape = np.shape(getattr(model, name))
            setattr(
                model, name, np.broadcast_to(largest, shape).copy() if shape else type(values[0])(largest)
            )


def _weighted(arrays: Arrays, weight: float) -> Arrays:
    return {name: np.asarray(weight * np.asarray(array, np.float64)) for name, array in arrays.items()}


def _as_rows(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Coefficients as a matrix and intercepts as a vector, with one row or number per class."""
    coefficients = name.endswith("coef") or name == "coef_"
    return array.reshape(-1, array.shape[-1]) if coefficients else array.reshape(-1)


def _scatter_rows(
    rows: NDArray[Any], present: NDArray[Any], n_classes: int, jointly: bool
) -> NDArray[np.float64]:
    """Rows at the indices of their classes, zeros elsewhere."""
    scattered = np.zeros((n_classes, *rows.shape[1:]))
    if len(rows) == 1:  # two classes, or the number 0 for all intercepts
        f = 0.5 * rows[0] if jointly else rows[0]
        scattered[present[0]], scattered[present[1]] = -f, f
    else:
        scattered[present] = rows
    return scattered
