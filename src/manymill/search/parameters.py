"""Validate the parameters of SearchCV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import clone

from manymill.errors import SettingsError
from manymill.estimator_support import check_estimator
from manymill.search.ensembles import ensemble_size
from manymill.search.samplers import parameter_spaces
from manymill.validation import check, check_integer, is_integer, is_number

# With min_resource="auto", halving has at most so many rungs below the last (1/27 of all rows with eta=3), and begins
# with at least so many rows.
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
    check_estimator(search.estimator)
    check_integer(search.n_trials, "n_trials", 1)
    check_integer(search.eta, "eta", 2)
    if search.max_evaluations is not None:
        check_integer(search.max_evaluations, "max_evaluations", 1, also=", or None")
    for name, seconds in (("seconds", search.seconds), ("timeout", search.timeout)):
        valid = seconds is None or (is_number(seconds) and 0 < seconds < math.inf)
        check(valid, name, seconds, "a finite number above 0, or None")
    score = search.error_score
    check(score == "raise" or is_number(score), "error_score", score, "a number, NaN, or 'raise'")
    if search.ensemble is not None:
        ensemble_size(search.ensemble)
    spaces = parameter_spaces(search.distributions)
    _check_names(search, spaces)
    if not search.halving:
        return
    if search.resource != "rows":
        known = search.resource in search.estimator.get_params()
        check(known, "resource", search.resource, "'rows', or a parameter of the estimator")
    if any(search.resource in space for space in spaces):
        raise SettingsError(
            f"{search.resource!r} is both the resource of halving and searched",
            "remove it from distributions",
        )


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
    of_rows = search.resource == "rows"
    greatest = search.max_resource
    if greatest == "auto":
        check(
            of_rows,
            "max_resource",
            greatest,
            f"an integer, since resource={search.resource!r} has no maximum",
        )
        greatest = n_rows
    check_integer(greatest, "max_resource", 1, also=", or 'auto'")
    if of_rows:
        greatest = min(greatest, n_rows)
    least = search.min_resource
    if least == "auto":
        least = greatest // search.eta**_RUNGS_BELOW_LAST
        least = max(1, max(least, min(_MIN_ROWS, n_rows)) if of_rows else least)
    valid = is_integer(least) and 1 <= least <= greatest
    check(valid, "min_resource", least, f"an integer from 1 to {greatest}, the greatest resource, or 'auto'")
    rungs: list[int | None] = []
    while greatest >= least:
        rungs.append(int(greatest))
        greatest //= search.eta
    rungs.reverse()
    if of_rows and search.max_resource == "auto":
        rungs[-1] = None  # training sets may differ by a row
    return tuple(rungs)
