"""The parameters of the estimators, checked, and what they stand for."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from manymill.errors import SchemaError, SettingsError
from manymill.linear.parameter_mixing.partitioning import PARTITIONINGS

_WEIGHTINGS = ("rows", "uniform")


def check_parameters(mixing: Any) -> None:
    """Refuse values that cannot be, before any row is looked at.

    Raises
    ------
    SettingsError
    """
    for name in ("n_partitions", "rounds"):
        value = getattr(mixing, name)
        _check(_is_whole(value) and value >= 1, name, value, "1 or more")
    _check(mixing.partitioning in PARTITIONINGS, "partitioning", mixing.partitioning, _one_of(PARTITIONINGS))
    _check(mixing.weighting in _WEIGHTINGS, "weighting", mixing.weighting, _one_of(_WEIGHTINGS))
    share = mixing.validation_fraction
    good = share is None or (
        isinstance(share, Real) and not isinstance(share, bool) and 0 <= float(share) < 1
    )
    _check(good, "validation_fraction", share, "a share from 0 to below 1, or None")
    if mixing.reference and share == 0:
        raise SettingsError(
            "reference=True compares on held-out rows, but validation_fraction=0", "hold some rows out"
        )
    if mixing.partitioning == "stratified" and not mixing._classification:
        raise SettingsError("targets of a regression have no classes to be dealt by", 'use "shuffled"')


def check_vectorizer(vectorizer: Any) -> None:
    """Refuse a vectorizer that would have to learn from all the text first.

    Raises
    ------
    SettingsError
    """
    if not get_tags(vectorizer).requires_fit:
        return
    try:
        check_is_fitted(vectorizer)
    except NotFittedError as error:
        raise SettingsError(
            f"{type(vectorizer).__name__} has to be fitted, and parts are vectorized apart from each other",
            "give HashingVectorizer, which needs no fitting, or a vectorizer that has been fitted",
        ) from error


def seed_of(random_state: Any) -> int:
    """The seed that a ``random_state`` stands for."""
    if _is_whole(random_state) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def positive_weights(
    sample_weight: ArrayLike | None, X: Any
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """Weights of the rows that count, and which rows these are; None for all.

    Raises
    ------
    SchemaError
        If a weight is negative, or all are zero.
    """
    if sample_weight is None:
        return None, None
    weight = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64))
    if (weight < 0).any():
        raise SchemaError("sample_weight holds a negative weight", "weights are 0 or more")
    counts = weight > 0
    if counts.all():
        return weight, None
    if not counts.any():
        raise SchemaError("sample_weight is zero for every row")
    return weight[counts], counts


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _one_of(names: tuple[str, ...]) -> str:
    return f"one of {', '.join(map(repr, names))}"


def _check(good: bool, name: str, value: object, allowed: str) -> None:
    if not good:
        raise SettingsError(f"{name}={value!r} is not possible", f"give {allowed}")
