"""An ensemble that is fitted but for its members, for trees that were grown on partitions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.forest.combining import OF_ONE_FIT
from manymill.forest.kinds import is_bagging
from manymill.forest.planning import plan_fit


def shell_of(ensemble: Any, n_features: int, classes: list[NDArray[Any]] | None, n_outputs: int) -> Any:
    """Fit the ensemble in place, but for its members, to the columns and classes there are; give it back.

    scikit-learn itself fits it, to one row a class: nothing is grown of these.

    Parameters
    ----------
    ensemble : BaseForest or BaseBagging
    n_features : int
    classes : list of ndarray, or None
        Of each output; None for regression.
    n_outputs : int
    """
    n_rows = max(map(len, classes)) if classes else 1
    X = np.zeros((n_rows, n_features), np.float32)
    if classes:
        y = np.stack([names[np.arange(n_rows) % len(names)] for names in classes], axis=1)
    else:
        y = np.ones((n_rows, n_outputs))
    own = ensemble.get_params(deep=False)
    plain = {
        "max_samples": type(ensemble)().max_samples if "max_samples" in own else None,
        "warm_start": False,
        "oob_score": False,
        "n_estimators": 1,
        "class_weight": None,
    }
    ensemble.set_params(**{name: value for name, value in plain.items() if name in own})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan_fit(ensemble, X, y[:, 0] if n_outputs == 1 else y)
    ensemble.set_params(**own)
    for name in OF_ONE_FIT:
        ensemble.__dict__.pop(name, None)
    ensemble.estimators_ = []
    if is_bagging(ensemble):
        ensemble.estimators_features_ = []
    return ensemble
