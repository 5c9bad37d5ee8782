"""Log a search to MLflow, as MLflow's autologging logs scikit-learn's searches.

::

    mlflow.sklearn.autolog() ──► SearchCV.fit is a run: parameters, best score, cv_results.csv, the best model
                                 └─ the best candidates (max_tuning_runs) are nested runs

Autologging patches the classes of scikit-learn only, and would log the fit of every candidate as a run. This module
does not import MLflow: it does nothing unless the user has imported it. An error of MLflow becomes a warning.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from manymill.search.estimator import SearchCV

# Greatest number of parameters in one call of MLflow.
_PARAMS_PER_CALL = 100
# Prefixes of the columns of cv_results_ that are not metrics of a candidate.
_OTHER_COLUMNS = ("param", "split")


@contextmanager
def autologging_disabled() -> Iterator[None]:
    """Within the block, autologging ignores fits."""
    if not _is_enabled():
        yield
        return
    with _autologging().disable_autologging():
        yield


@contextmanager
def search_logged(search: SearchCV) -> Iterator[None]:
    """Log a search that is fitted in the block, if autologging is enabled: to the active run, or to a new one."""
    if not _is_enabled():
        yield
        return
    import mlflow

    with ExitStack() as stack:
        if mlflow.active_run() is None:
            stack.enter_context(mlflow.start_run())
        yield
        try:
            _log(mlflow, search)
        except Exception as error:
            warnings.warn(f"MLflow could not log the search: {error}", stacklevel=4)


def _log(mlflow: Any, search: SearchCV) -> None:
    import pandas as pd

    _log_params(mlflow, search.get_params(deep=False))
    _log_params(mlflow, {f"best_{name}": value for name, value in search.best_params_.items()})
    mlflow.log_metric("best_cv_score", search.best_score_)
    mlflow.set_tags(_tags(search))
    results = pd.DataFrame(search.cv_results_)
    mlflow.log_text(results.to_csv(index=False), "cv_results.csv")
    estimator_params = search.estimator.get_params()
    for _, row in results.iloc[_best_rows(results)].iterrows():
        with mlflow.start_run(nested=True, tags=_tags(search.estimator)):
            _log_params(mlflow, {**estimator_params, **row["params"]})
            mlflow.log_metrics(_metrics(row))
    if hasattr(search, "best_estimator_") and _option("log_models", True):
        serialization = _option("serialization_format", None)
        options = {} if serialization is None else {"serialization_format": serialization}
        mlflow.sklearn.log_model(search.best_estimator_, name="best_estimator", **options)


def _best_rows(results: Any) -> Any:
    """Row numbers of the best candidates, as many as autologging is configured to log."""
    n_rows = _option("max_tuning_runs", 5)
    rank = next(name for name in results.columns if name.startswith("rank_test_"))
    return np.argsort(results[rank].to_numpy(), kind="stable")[:n_rows]


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of ``cv_results_`` that are not NaN."""
    return {
        str(name): float(value)
        for name, value in row.items()
        if isinstance(value, Real) and not str(name).startswith(_OTHER_COLUMNS) and value == value
    }


def _log_params(mlflow: Any, params: Mapping[str, Any]) -> None:
    items = list(params.items())
    for start in range(0, len(items), _PARAMS_PER_CALL):
        mlflow.log_params(dict(items[start : start + _PARAMS_PER_CALL]))


def _tags(estimator: Any) -> dict[str, str]:
    kind = type(estimator)
    return {
        "estimator_name": kind.__name__,
        "estimator_class": f"{kind.__module__}.{kind.__name__}",
        "mlflow.autologging": "sklearn",
    }


def _is_enabled() -> bool:
    autologging = _autologging()
    return autologging is not None and not autologging.autologging_is_disabled("sklearn")


def _option(name: str, default: Any) -> Any:
    return _autologging().get_autologging_config("sklearn", name, default)


def _autologging() -> Any:
    """MLflow's module on autologging; None if it has not been imported."""
    return sys.modules.get("mlflow.utils.autologging_utils")
