"""What MLflow has of a search where its autologging is switched on: what it has of scikit-learn's searches.

::

    mlflow.sklearn.autolog() ──► SearchCV.fit is a run: parameters, the best, cv_results.csv, the best model
                                 └─ the best candidates (max_tuning_runs) are runs beneath it

MLflow knows scikit-learn's own classes only, and would take the fit of each candidate for a run. Nothing here imports
MLflow: whoever wants it has done so. What it cannot take is a warning, and no end of a search.
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

# MLflow takes so many parameters at a time.
_BATCH = 100
# Of the columns of cv_results_, those of single splits and parameters are no metrics of a candidate.
_NO_METRICS = ("param", "split")


@contextmanager
def unlogged() -> Iterator[None]:
    """In the block, fits are no runs of MLflow's."""
    if not _is_on():
        yield
        return
    with _utils().disable_autologging():
        yield


@contextmanager
def logged(search: SearchCV) -> Iterator[None]:
    """The block as a run of MLflow's, if its autologging is on; a run that is active is that run.

    Parameters
    ----------
    search : SearchCV
        Fitted in the block.
    """
    if not _is_on():
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
    own = search.estimator.get_params()
    for _, row in results.iloc[_best(results)].iterrows():
        with mlflow.start_run(nested=True, tags=_tags(search.estimator)):
            _log_params(mlflow, {**own, **row["params"]})
            mlflow.log_metrics(_metrics(row))
    if hasattr(search, "best_estimator_") and _config("log_models", True):
        asked = _config("serialization_format", None)
        how = {} if asked is None else {"serialization_format": asked}
        mlflow.sklearn.log_model(search.best_estimator_, name="best_estimator", **how)


def _best(results: Any) -> Any:
    """Rows of the best candidates: as many as MLflow was told."""
    most = _config("max_tuning_runs", 5)
    rank = next(name for name in results.columns if name.startswith("rank_test_"))
    return np.argsort(results[rank].to_numpy(), kind="stable")[:most]


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of ``cv_results_``."""
    return {
        str(name): float(value)
        for name, value in row.items()
        if isinstance(value, Real) and not str(name).startswith(_NO_METRICS) and value == value
    }


def _log_params(mlflow: Any, params: Mapping[str, Any]) -> None:
    items = list(params.items())
    for start in range(0, len(items), _BATCH):
        mlflow.log_params(dict(items[start : start + _BATCH]))


def _tags(estimator: Any) -> dict[str, str]:
    kind = type(estimator)
    return {
        "estimator_name": kind.__name__,
        "estimator_class": f"{kind.__module__}.{kind.__name__}",
        "mlflow.autologging": "sklearn",
    }


def _is_on() -> bool:
    utils = _utils()
    return utils is not None and not utils.autologging_is_disabled("sklearn")


def _config(name: str, default: Any) -> Any:
    return _utils().get_autologging_config("sklearn", name, default)


def _utils() -> Any:
    """MLflow's module on autologging; None where nobody imported it."""
    return sys.modules.get("mlflow.utils.autologging_utils")
