"""Fit the model of one part: from scratch, or continuing from the mean of all parts.

::

    one round                              fit
    several rounds, with partial_fit       one pass over the rows of the part from the mean, given all classes
    several rounds, with warm_start        fit from the mean, for up to max_iter iterations
    several rounds, with neither           refused
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from manymill.errors import SettingsError
from manymill.parameter_mixing.averaging import Arrays, ModelTemplate, join_arrays, select_classes

# liblinear's random numbers are shared by all threads of a process: concurrent fits would not be reproducible.
_LIBLINEAR_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class PartRows:
    """The rows of a part.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Class indices, int32, or targets.
    weight : ndarray of shape (n_rows,) or None
        Weights of rows; None if all are 1.
    """

    X: Any
    y: NDArray[Any]
    weight: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows."""
        return float(len(self.y)) if self.weight is None else float(np.sum(self.weight, dtype=np.float64))

    def subset(self, indices: NDArray[np.int64]) -> PartRows:
        """A copy of some of the rows."""
        weight = None if self.weight is None else self.weight[indices]
        return PartRows(self.X[indices], self.y[indices], weight)


def choose_method(estimator: Any, rounds: int) -> str:
    """How parts are fitted: "fit" for one round, else "partial_fit" or "warm_start".

    Raises
    ------
    SettingsError
        If there are several rounds, and the estimator cannot start from given coefficients.
    """
    if rounds == 1:
        return "fit"
    if hasattr(estimator, "partial_fit"):
        return "partial_fit"
    parameters = estimator.get_params(deep=False)
    if "warm_start" in parameters and parameters.get("solver") != "liblinear":
        return "warm_start"
    solver = " with the solver 'liblinear'" if parameters.get("solver") == "liblinear" else ""
    raise SettingsError(
        f"{type(estimator).__name__}{solver} cannot start from a mean: it supports neither partial_fit nor warm_start",
        "set rounds=1, or give SGDClassifier, SGDRegressor, Perceptron or LogisticRegression",
    )


def is_joint(model: Any) -> bool:
    """Whether a classifier's loss is over all classes together, so that only differences between rows matter."""
    kind = getattr(model, "multi_class", None)
    if kind == "crammer_singer":
        return True
    softmax = type(model).__name__ in ("LogisticRegression", "LogisticRegressionCV")
    return softmax and kind != "ovr" and getattr(model, "solver", None) != "liblinear"


def is_liblinear(model: Any) -> bool:
    """Whether a model is fitted by liblinear."""
    kinds = {kind.__name__ for kind in type(model).__mro__}
    return bool(kinds & {"LinearSVC", "LinearSVR"}) or getattr(model, "solver", None) == "liblinear"


def seeded_clone(estimator: Any, seed: int | None) -> Any:
    """A clone with every ``random_state`` set to the seed, unless that is None."""
    model = clone(estimator)
    if seed is not None:
        names = (name for name in model.get_params(deep=True))
        chosen = [name for name in names if name == "random_state" or name.endswith("__random_state")]
        model.set_params(**dict.fromkeys(chosen, seed))
    return model


def fit_part(
    estimator: Any,
    rows: PartRows,
    classes: NDArray[Any] | None,
    method: str,
    *,
    seed: int | None,
    start: tuple[ModelTemplate, Arrays] | None = None,
    class_weights: NDArray[np.float64] | None = None,
) -> Any:
    """Fit a clone of the estimator on rows.

    Parameters
    ----------
    estimator : estimator
        Is not fitted itself.
    rows : PartRows
    classes : ndarray or None
        All classes; None for regression.
    method : {"fit", "partial_fit", "warm_start"}
        See `choose_method`.
    seed : int or None
        Its random state; None for that of the estimator.
    start : (ModelTemplate, dict) or None
        The mean to start from.
    class_weights : ndarray of shape (n_classes,), optional
        Balanced weights of classes over all parts, which partial_fit cannot compute.

    Raises
    ------
    SettingsError
        If rows have weights, and the estimator does not support them.
    """
    model = seeded_clone(estimator, seed)
    with _LIBLINEAR_LOCK if is_liblinear(model) else nullcontext():
        return _fit(model, rows, classes, method, start, class_weights)


def _fit(
    model: Any,
    rows: PartRows,
    classes: NDArray[Any] | None,
    method: str,
    start: tuple[ModelTemplate, Arrays] | None,
    class_weights: NDArray[np.float64] | None,
) -> Any:
    options: dict[str, Any] = {}
    if rows.weight is not None:
        if not has_fit_parameter(model, "sample_weight"):
            raise SettingsError(
                f"{type(model).__name__} does not support sample_weight", "leave out the weights"
            )
        options["sample_weight"] = rows.weight
    y = rows.y if classes is None else classes[rows.y]
    if start is not None:
        _start_from_mean(model, start, None if classes is None else np.unique(rows.y), method)
    if method != "partial_fit":
        return model.fit(rows.X, y, **options)
    if classes is not None:
        options["classes"] = classes
        if class_weights is not None:
            model.set_params(class_weight=dict(zip(classes.tolist(), class_weights.tolist(), strict=True)))
    return model.partial_fit(rows.X, y, **options)


def balanced_weights(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Weights of classes as in ``class_weight="balanced"``, from the number of rows of each class in all parts."""
    return np.asarray(counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1)))


def _start_from_mean(
    model: Any, start: tuple[ModelTemplate, Arrays], present: NDArray[Any] | None, method: str
) -> None:
    """Set the fitted attributes of an unfitted model to those of the mean."""
    template, arrays = start
    if method == "warm_start":
        model.set_params(warm_start=True)
        n_classes = 0 if present is None else len(template.model.classes_)
        if present is not None and n_classes > 2 and len(present) < n_classes:
            arrays = select_classes(arrays, present, jointly=is_joint(model))
    parameters: Mapping[str, Any] = model.get_params(deep=False)
    for name, value in vars(join_arrays(template, arrays)).items():
        if name not in parameters:
            setattr(model, name, copy.copy(value))
