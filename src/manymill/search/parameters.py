"""Validate the parameters of SearchCV and of learning curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv

from manymill.errors import SettingsError
from manymill.estimator_support import check_is_estimator
from manymill.search.config import suggestion
from manymill.search.ensembles import ensemble_size
from manymill.search.samplers import parameter_spaces
from manymill.validation import check, check_bool, check_integer, is_integer, is_number

# With min_resource="auto": the maximum number of rungs below the last (1/27 of all rows with eta=3), and the minimum
# number of rows of the first rung.
_RUNGS_BELOW_LAST = 3
_MIN_ROWS = 100

# Parameters of scikit-learn's compositions that name further estimators.
_LISTS_OF_ESTIMATORS = {"steps", "estimators", "transformers", "transformer_list"}


def check_parameters(search: Any) -> None:
    """Validate all parameters of a search that do not depend on its data.

    Raises
    ------
    SettingsError
    """
    check_is_estimator(search.estimator)
    check_integer(search.n_trials, "n_trials", 1)
    check_integer(search.eta, "eta", 2)
    if search.max_evaluations is not None:
        check_integer(search.max_evaluations, "max_evaluations", 1, also=", or None")
    for name, seconds in (("seconds", search.seconds), ("timeout", search.timeout)):
        valid = seconds is None or (is_number(seconds) and seconds > 0)
        check(valid, name, seconds, "a number above 0, or None")
    check_error_score(search.error_score)
    for name in ("halving", "return_train_score"):
        check_bool(getattr(search, name), name)
    if not (isinstance(search.refit, str) or callable(search.refit)):
        check_bool(search.refit, "refit", also=", a metric, or a callable")
    valid = search.run is None or isinstance(search.run, str | os.PathLike)
    check(valid, "run", search.run, "the path of a folder, or None")
    if search.ensemble is not None:
        ensemble_size(search.ensemble)
    spaces = parameter_spaces(search.distributions)
    _check_names(search, spaces)
    if not search.halving:
        return
    if search.resource != "rows":
        known = isinstance(search.resource, str) and search.resource in search.estimator.get_params()
        check(known, "resource", search.resource, "'rows', or a parameter of the estimator")
    if any(search.resource in space for space in spaces):
        raise SettingsError(
            f"{search.resource!r} is both the resource of halving and searched",
            "remove it from distributions",
        )


def check_error_score(score: Any) -> None:
    """Raise ``SettingsError`` unless it is a number or ``"raise"``."""
    valid = is_number(score) or (isinstance(score, str) and score == "raise")
    check(valid, "error_score", score, "a number, NaN, or 'raise'")


def make_scorer(estimator: Any, scoring: Any) -> Any:
    """Return the scorer of one metric.

    Raises
    ------
    SettingsError
        If scikit-learn has no scorer of that name, or cannot make one.
    """
    if isinstance(scoring, str):
        known = get_scorer_names()
        check(scoring in known, "scoring", scoring, f"the name of a scorer; {suggestion(scoring, known)}")
    else:
        valid = scoring is None or callable(scoring)
        check(valid, "scoring", scoring, "the name of a scorer, a callable, or None")
    try:
        return check_scoring(estimator, scoring)
    except (ValueError, TypeError) as error:
        expected = f"a scorer for {type(estimator).__name__}: {str(error)[:200].rstrip('.')}"
        raise SettingsError.invalid("scoring", scoring, expected) from error


def cross_validation_splits(
    cv: Any, estimator: Any, X: Any, y: Any, groups: Any, **params: Any
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the indices of training and test rows of each split.

    Parameters
    ----------
    cv : int, splitter, iterable or None
    estimator : estimator
        Decides whether splits are stratified.
    X, y, groups
    **params : dict
        Further parameters of the splitter.

    Raises
    ------
    SettingsError
        If ``cv`` is invalid for these rows.
    """
    try:
        splitter = check_cv(cv, y, classifier=is_classifier(estimator))
        splits = [
            (_row_indices(train), _row_indices(test))
            for train, test in splitter.split(X, y, groups, **params)
        ]
    except (ValueError, TypeError) as error:
        expected = f"splits that the rows and labels allow: {str(error).rstrip('.')}"
        raise SettingsError.invalid("cv", cv, expected) from error
    if not splits:
        raise SettingsError.invalid("cv", cv, "a splitter that gives one or more splits")
    return splits


def _row_indices(rows: Any) -> NDArray[np.intp]:
    """Row indices of one side of a split, which a splitter may give as a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def _check_names(search: Any, spaces: Sequence[Mapping[str, Any]]) -> None:
    """Raise ``SettingsError`` for an unknown parameter; ``set_params`` decides, since some estimators accept any."""
    known = search.estimator.get_params()
    for space in spaces:
        if _LISTS_OF_ESTIMATORS & space.keys():
            continue  # the names depend on the candidate
        for name in space.keys() - known.keys():
            parts = name.split("__")
            if any("__".join(parts[:n]) in space for n in range(1, len(parts))):
                continue  # a parameter of an estimator that is searched itself
            try:
                clone(search.estimator).set_params(**{name: None})
            except ValueError as error:
                if str(error).startswith("Invalid parameter"):
                    raise SettingsError(
                        f"the estimator has no parameter {name!r}",
                        f"its parameters are {', '.join(sorted(known))}",
                    ) from None


def resource_rungs(search: Any, n_rows: int) -> tuple[int | None, ...]:
    """The resource of each rung, ascending; None for all rows, and ``(None,)`` without halving.

    Raises
    ------
    SettingsError
        If ``min_resource`` and ``max_resource`` are not a valid range.
    """
    if not search.halving:
        return (None,)
    by_rows = search.resource == "rows"
    greatest = search.max_resource
    if greatest == "auto":
        check(
            by_rows,
            "max_resource",
            greatest,
            f"an integer, since resource={search.resource!r} has no maximum",
        )
        greatest = n_rows
    check_integer(greatest, "max_resource", 1, also=", or 'auto'")
    if by_rows:
        greatest = min(greatest, n_rows)
    least = search.min_resource
    if least == "auto":
        least = greatest // search.eta**_RUNGS_BELOW_LAST
        least = max(1, max(least, min(_MIN_ROWS, n_rows)) if by_rows else least)
    valid = is_integer(least) and 1 <= least <= greatest
    check(valid, "min_resource", least, f"an integer from 1 to {greatest}, the greatest resource, or 'auto'")
    rungs: list[int | None] = []
    while greatest >= least:
        rungs.append(int(greatest))
        greatest //= search.eta
    rungs.reverse()
    if by_rows and search.max_resource == "auto":
        rungs[-1] = None  # training sets may differ by a row
    return tuple(rungs)
