"""Twins of estimators that hold an engine: who has a pool has one, and a clone works on it too."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

Estimator = TypeVar("Estimator")


def twin_of(estimator: Estimator, **as_they_are: Any) -> Estimator:
    """What ``clone`` makes of an estimator, but for its engine, which stays the same.

    Parameters
    ----------
    estimator : estimator with a parameter ``engine``
    **as_they_are : dict
        Further parameters that are not cloned, and their values in the twin.
    """
    from sklearn.base import clone

    given: Any = estimator
    own = given.get_params(deep=False)
    kept = {"engine": own["engine"], **as_they_are}
    others = {name: clone(value, safe=False) for name, value in own.items() if name not in kept}
    twin: Any = type(given)(**others, **kept)
    for name in ("_metadata_request", "_sklearn_output_config"):
        if hasattr(given, name):
            setattr(twin, name, copy.deepcopy(getattr(given, name)))
    made: Estimator = twin
    return made
