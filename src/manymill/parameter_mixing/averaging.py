"""The weighted mean of fitted linear models, class by class.

::

    for each part p:                            on the worker
        rows_p, votes_p = coefficients with a row for each class of all, and the weight that each row has
    sums = Σ_p votes_p · rows_p                 float64, in a fixed tree in the order of parts
    mean = sums / Σ_p votes_p                   rounded once to the models' own type

A class that a part has not met has no row there, so the part has no vote on it. A part that met two classes of many
has one row *f*, which speaks for the second class and against the first: *f* and *-f* where each class is set against
the rest (for these losses the mirrored problem has the mirrored solution), *f/2* and *-f/2* where classes are modelled
jointly, since only differences count there. A part that met one class alone has learnt to tell nothing apart and has
no vote at all.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import SettingsError

# What a linear model's predictions depend on, and what SGD keeps besides to go on from.
_ARRAYS = (
    "coef_", "intercept_", "_standard_coef", "_standard_intercept", "_average_coef", "_average_intercept",
)  # fmt: skip
# Counters: the models' greatest one is that of the mean.
_COUNTERS = ("n_iter_", "t_")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Coefficients times their weights, added up over parts.

    Parameters
    ----------
    sums : dict of ndarray of float64
        By the name of the attribute: weights times values.
    weights : ndarray of float64
        Of shape (n_outputs,) for classes, () for regression: the sum of weights of each output.
    """

    sums: Arrays
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Shell:
    """A fitted model without the arrays that are averaged, and what their shapes and types were."""

    model: Any
    dtypes: Mapping[str, np.dtype[Any]]
    dimensions: Mapping[str, int]


def shell_of(model: Any) -> tuple[Shell, Arrays]:
    """A fitted model taken apart: all but the averaged arrays, and these.

    Raises
    ------
    SettingsError
        If it is no linear model whose coefficients can be set.
    """
    kind = type(model).__name__
    hint = "give a linear model, such as SGDClassifier, LogisticRegression or Ridge"
    if not (hasattr(model, "coef_") and hasattr(model, "intercept_")):
        raise SettingsError(
            f"a fitted {kind} has no coef_ and intercept_, so there is nothing to average", hint
        )
    if isinstance(getattr(type(model), "coef_", None), property):
        raise SettingsError(f"the coefficients of {kind} follow from others and cannot be set", hint)
    shell = copy.copy(model)
    arrays: Arrays = {}
    for name in _ARRAYS:
        if shell.__dict__.get(name) is not None:
            value = shell.__dict__.pop(name)
            arrays[name] = value.toarray() if hasattr(value, "toarray") else np.asarray(value)
    dtypes = {name: array.dtype for name, array in arrays.items()}
    return Shell(shell, dtypes, {name: array.ndim for name, array in arrays.items()}), arrays


def put_together(shell: Shell, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """A model of a shell and arrays; shares nothing with them."""
    model = copy.deepcopy(shell.model)
    for name, array in arrays.items():
        value: Any = np.array(array, dtype=shell.dtypes[name])
        if shell.dimensions[name] == 0:  # an intercept that is not fitted is the number 0
            value = float(value.flat[0])
        elif shell.dimensions[name] < value.ndim and len(value) == 1:
            value = value[0]
        setattr(model, name, value)
    return model


def votes_of_regression(arrays: Arrays, weight: float) -> Votes:
    """The vote of a part's regression model."""
    return Votes(_weighted(arrays, weight), np.array(weight, np.float64))


def votes_of_classes(
    arrays: Arrays, numbers: NDArray[Any], n_classes: int, weight: float, *, jointly: bool
) -> Votes:
    """The vote of a part's classifier.

    Parameters
    ----------
    arrays : dict of ndarray
        Its arrays, one row for each class it met, or one for two classes.
    numbers : ndarray of shape (n_met,)
        Which of all classes it met, two at least, ascending.
    n_classes : int
        All classes.
    weight : float
        Of the part.
    jointly : bool
        Whether its loss is over all classes together, as softmax is.
    """
    rows = {name: _in_rows(name, array) for name, array in arrays.items()}
    if len(numbers) < n_classes:
        rows = {name: _placed(array, numbers, n_classes, jointly) for name, array in rows.items()}
        weights = np.zeros(n_classes)
        weights[numbers] = weight
    else:
        weights = np.full(len(rows["coef_"]), weight, np.float64)
    return Votes(_weighted(rows, weight), weights)


def rows_of_classes(arrays: Arrays, numbers: NDArray[Any], *, jointly: bool) -> Arrays:
    """Of arrays with a row for each of three classes or more the part about some: where a part starts from."""
    rows = {name: _in_rows(name, array)[numbers] for name, array in arrays.items()}
    if len(numbers) > 2:
        return rows
    return {name: array[1:] - array[:1] if jointly else array[1:] for name, array in rows.items()}


def added(votes: Sequence[Votes]) -> Votes:
    """Votes added up in order."""
    sums = {name: np.array(array) for name, array in votes[0].sums.items()}
    weights = np.array(votes[0].weights)
    for vote in votes[1:]:
        for name, array in sums.items():
            array += vote.sums[name]
        weights += vote.weights
    return Votes(sums, weights)


def mean_of(votes: Votes) -> Arrays:
    """The weighted mean, float64."""
    weights = votes.weights
    return {
        name: array / (weights[:, None] if weights.ndim and array.ndim == 2 else weights)
        for name, array in votes.sums.items()
    }


def counted(model: Any, others: Sequence[Any]) -> Any:
    """The model, its counters of steps being the greatest of all models."""
    for name in _COUNTERS:
        values = [value for other in others if (value := getattr(other, name, None)) is not None]
        if values and not isinstance(getattr(type(model), name, None), property):
            shapes = {np.shape(value) for value in values}
            greatest = np.max(values, axis=0) if len(shapes) == 1 else max(np.max(value) for value in values)
            shape = np.shape(getattr(model, name))
            setattr(
                model, name, np.broadcast_to(greatest, shape).copy() if shape else type(values[0])(greatest)
            )
    return model


def _weighted(arrays: Arrays, weight: float) -> Arrays:
    return {name: np.asarray(weight * np.asarray(array, np.float64)) for name, array in arrays.items()}


def _in_rows(name: str, array: NDArray[Any]) -> NDArray[Any]:
    return (
        array.reshape(-1, array.shape[-1]) if name.endswith("coef") or name == "coef_" else array.reshape(-1)
    )


def _placed(rows: NDArray[Any], numbers: NDArray[Any], n_classes: int, jointly: bool) -> NDArray[np.float64]:
    """Rows at the places of their classes, zeros elsewhere."""
    placed = np.zeros((n_classes, *rows.shape[1:]))
    if len(rows) == 1:  # two classes, or the number 0 for all intercepts
        f = 0.5 * rows[0] if jointly else rows[0]
        placed[numbers[0]], placed[numbers[1]] = -f, f
    else:
        placed[numbers] = rows
    return placed
