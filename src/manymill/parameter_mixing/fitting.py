"""How one part is learnt: by the model's own ``fit``, or on from a mean that all parts start from.

::

    one round                        fit
    several, and partial_fit         one pass over the part's rows on from the mean, with all classes known
    several, and warm_start          fit on from the mean, as long as max_iter lets it
    several, and neither             refused
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
from manymill.parameter_mixing.averaging import Arrays, Shell, put_together, rows_of_classes

# Two of its models that are learnt side by side take each other's random numbers: then bytes would depend on chance.
_LIBLINEAR = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of features with what is to be learnt of them.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Numbers of classes, int32, or targets.
    weight : ndarray of shape (n_rows,) or None
        Weights of rows.
    """

    X: Any
    y: NDArray[Any]
    weight: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def mass(self) -> float:
        """The sum of the weights of the rows."""
        return float(len(self.y)) if self.weight is None else float(np.sum(self.weight, dtype=np.float64))


def way_to_go_on(estimator: Any, rounds: int) -> str:
    """How a part starts from the mean: "fit" for one round, else "partial_fit" or "warm_start".

    Raises
    ------
    SettingsError
        If there are several rounds, and the estimator can only start from nothing.
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
        f"{type(estimator).__name__}{solver} cannot start from a mean: it has neither partial_fit nor warm_start",
        "set rounds=1, or give SGDClassifier, SGDRegressor, Perceptron or LogisticRegression",
    )


def is_joint(model: Any) -> bool:
    """Whether a classifier's loss is over all classes together, so that only differences of its rows count."""
    kind = getattr(model, "multi_class", None)
    if kind == "crammer_singer":
        return True
    softmax = type(model).__name__ in ("LogisticRegression", "LogisticRegressionCV")
    return softmax and kind != "ovr" and getattr(model, "solver", None) != "liblinear"


def is_liblinear(model: Any) -> bool:
    """Whether a model is solved by liblinear, whose random numbers are shared by all threads of a process."""
    kinds = {kind.__name__ for kind in type(model).__mro__}
    return bool(kinds & {"LinearSVC", "LinearSVR"}) or getattr(model, "solver", None) == "liblinear"


def seeded(estimator: Any, seed: int | None) -> Any:
    """A clone, every ``random_state`` of it set if there is a seed."""
    model = clone(estimator)
    if seed is not None:
        names = (name for name in model.get_params(deep=True))
        chosen = [name for name in names if name == "random_state" or name.endswith("__random_state")]
        model.set_params(**dict.fromkeys(chosen, seed))
    return model


def learnt(
    estimator: Any,
    rows: Rows,
    classes: NDArray[Any] | None,
    way: str,
    *,
    seed: int | None,
    start: tuple[Shell, Arrays] | None = None,
    balance: NDArray[np.float64] | None = None,
) -> Any:
    """A model of the rows.

    Parameters
    ----------
    estimator : estimator
        Not fitted.
    rows : Rows
    classes : ndarray or None
        All classes; None for regression.
    way : {"fit", "partial_fit", "warm_start"}
    seed : int or None
        Of its random stream; None to leave it as it is.
    start : (Shell, dict) or None
        The mean to start from.
    balance : ndarray of shape (n_classes,), optional
        Weights of classes over all parts, which partial_fit needs where they are to be balanced.

    Raises
    ------
    SettingsError
        If rows have weights that the estimator does not take.
    """
    model = seeded(estimator, seed)
    with _LIBLINEAR if is_liblinear(model) else nullcontext():
        return _fitted(model, rows, classes, way, start, balance)


def _fitted(
    model: Any,
    rows: Rows,
    classes: NDArray[Any] | None,
    way: str,
    start: tuple[Shell, Arrays] | None,
    balance: NDArray[np.float64] | None,
) -> Any:
    options: dict[str, Any] = {}
    if rows.weight is not None:
        if not has_fit_parameter(model, "sample_weight"):
            raise SettingsError(f"{type(model).__name__} takes no sample_weight", "leave the weights away")
        options["sample_weight"] = rows.weight
    y = rows.y if classes is None else classes[rows.y]
    if start is not None:
        _start_from(model, start, None if classes is None else np.unique(rows.y), way)
    if way != "partial_fit":
        return model.fit(rows.X, y, **options)
    if classes is not None:
        options["classes"] = classes
        if balance is not None:
            model.set_params(class_weight=dict(zip(classes.tolist(), balance.tolist(), strict=True)))
    return model.partial_fit(rows.X, y, **options)


def balance_of(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Weights of classes as ``class_weight="balanced"`` means them, from the rows of each class in all parts."""
    return np.asarray(counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1)))


def _start_from(model: Any, start: tuple[Shell, Arrays], met: NDArray[Any] | None, way: str) -> None:
    """Give an unfitted model what a fitted one has, but for its parameters."""
    shell, arrays = start
    if way == "warm_start":
        model.set_params(warm_start=True)
    n_classes = 0 if met is None else len(shell.model.classes_)
    if way == "warm_start" and met is not None and n_classes > 2 and len(met) < n_classes:
        arrays = rows_of_classes(arrays, met, jointly=is_joint(model))
    fitted = put_together(shell, arrays)
    own: Mapping[str, Any] = model.get_params(deep=False)
    for name, value in vars(fitted).items():
        if name not in own:
            setattr(model, name, copy.copy(value))
