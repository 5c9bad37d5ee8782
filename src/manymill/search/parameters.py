"""What the parameters of a search ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manymill.errors import SettingsError
from manymill.search.ensembles import size_of
from manymill.search.samplers import spaces_of
from manymill.validation import check, check_integer, is_number

# Rungs of halving below the last where the least resource is to be chosen: 1/27 of all with eta=3.
_RUNGS_BELOW = 3
_LEAST_ROWS = 100

# Parameters of scikit-learn's compositions by which others get their names.
_LISTS_OF_ESTIMATORS = {"steps", "estimators", "transformers", "transformer_list"}


def check_parameters(search: Any) -> None:
    """Validate the parameters of a search.

    Raises
    ------
    SettingsError
    """
    check_integer(search.n_trials, "n_trials", 1)
    check_integer(search.eta, "eta", 2)
    if search.max_evaluations is not None:
        check_integer(search.max_evaluations, "max_evaluations", 1, also=", or None")
    for name, seconds in (("seconds", search.seconds), ("timeout", search.timeout)):
        check(
            seconds is None or (is_number(seconds) and seconds > 0),
            name,
            seconds,
            "a number above 0, or None",
        )
    score = search.error_score
    check(score == "raise" or is_number(score), "error_score", score, "a number, NaN, or 'raise'")
    if search.ensemble is not None:
        size_of(search.ensemble)
    if search.resource != "rows" and search.halving and search.resource not in search.estimator.get_params():
        raise SettingsError(f"the estimator has no parameter {search.resource!r}", "name one, or rows")
    spaces = spaces_of(search.distributions)
    _check_names(search, spaces)
    if search.halving and any(search.resource in space for space in spaces):
        raise SettingsError(
            f"{search.resource!r} is the resource of halving and is searched as well",
            "leave it out of distributions",
        )


def _check_names(search: Any, spaces: Sequence[Mapping[str, Any]]) -> None:
    """Raise ``SettingsError`` of a parameter that the estimator has not; some take any, so that they are asked."""
    from sklearn.base import clone

    known = search.estimator.get_params()
    for space in spaces:
        if _LISTS_OF_ESTIMATORS & space.keys():
            continue  # what names there are depends on the candidate
        for name in space.keys() - known.keys():
            parts = name.split("__")
            if any("__".join(parts[:n]) in space for n in range(1, len(parts))):
                continue  # what is searched has parameters of its own
            try:
                clone(search.estimator).set_params(**{name: None})
            except ValueError as error:
                if str(error).startswith("Invalid parameter"):
                    raise SettingsError(
                        f"the estimator has no parameter {name!r}", f"it has {', '.join(sorted(known))}"
                    ) from None


def rungs_of(search: Any, n_rows: int) -> tuple[int | None, ...]:
    """The amounts of rows, or of another resource, that candidates get, from few to all; None is all rows.

    Raises
    ------
    SettingsError
        If there is no such range.
    """
    if not search.halving:
        return (None,)
    most = search.max_resource
    if most == "auto":
        if search.resource != "rows":
            raise SettingsError(
                f"how much of {search.resource!r} a candidate gets in the end is not said",
                "give max_resource",
            )
        most = n_rows
    elif search.resource == "rows" and isinstance(most, (int, np.integer)):
        most = min(most, n_rows)  # nobody has more to give
    least = search.min_resource
    if least == "auto":
        least = int(most) // search.eta**_RUNGS_BELOW
        least = max(1, least if search.resource != "rows" else max(least, min(_LEAST_ROWS, n_rows)))
    whole = all(isinstance(amount, (int, np.integer)) for amount in (least, most))
    if not whole or not 1 <= least <= most:
        raise SettingsError(
            f"min_resource={search.min_resource!r} to max_resource={search.max_resource!r} is no range",
            "give 1 or more, the greater one last",
        )
    rungs: list[int | None] = []
    while most >= least:
        rungs.append(int(most))
        most //= search.eta
    rungs.reverse()
    if search.resource == "rows" and search.max_resource == "auto":
        rungs[-1] = None  # splits may differ by a row
    return tuple(rungs)


def is_by_row(value: Any, n_rows: int) -> bool:
    """Whether a fit parameter has one value for each row."""
    if isinstance(value, (str, bytes, Mapping)):
        return False
    if hasattr(value, "shape"):  # sparse matrices have no length
        return len(value.shape) > 0 and value.shape[0] == n_rows
    return hasattr(value, "__len__") and len(value) == n_rows
