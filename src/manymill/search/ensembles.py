"""Several of the best candidates as one model, chosen on predictions of rows that they were not fitted on.

Greedy selection with replacement (Caruana et al. 2004, "Ensemble Selection from Libraries of Models"): of the k best
candidates the one is added, again and again, that makes the mean of the predictions best; how often each was added is
its weight. A candidate that only agrees with the others gets none.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Bunch

from manymill.engine.base import Engine
from manymill.errors import PlanError, SettingsError
from manymill.search.evaluation import Assignment, Job, predict, share_job, withdraw_job
from manymill.search.events import Task

# How often a candidate is added.
_ROUNDS = 50


def size_of(ensemble: str | int) -> int:
    """The number of candidates that ``"top10"``, or 10, means.

    Raises
    ------
    SettingsError
        If it means none.
    """
    found = re.fullmatch(r"(?:top)?([1-9]\d{0,5})", str(ensemble))
    if found is None or isinstance(ensemble, bool):
        raise SettingsError.invalid("ensemble", ensemble, "'top10', or a number")
    return int(found.group(1))


def build(
    engine: Engine, job: Job, candidates: Sequence[dict[str, Any]], X: Any, y: Any, labels: Any
) -> tuple[Any, float]:
    """The ensemble of candidates, and its loss on rows that no member was fitted on.

    Parameters
    ----------
    engine : Engine
    job : Job
        Of the search.
    candidates : sequence of dict
        Parameters, the best first.
    X, y
        All rows, on which members are fitted in the end; y is None where X has labels of its own.
    labels : array-like of shape (n_rows,)

    Returns
    -------
    ensemble : fitted VotingClassifier or VotingRegressor of scikit-learn
        Soft votes; its weights are how often a candidate was added.
    loss : float
        Log loss, or mean squared error, out of fold.

    Raises
    ------
    PlanError
        If classifiers give no probabilities, or a fit fails.
    """
    handle = share_job(engine, job, uuid.uuid4().hex)
    try:
        predictions, rows = _out_of_fold(engine, handle, job, candidates)
    finally:
        withdraw_job(engine, handle)
    truth = np.asarray(labels)[rows]
    if is_classifier(job.estimator):
        codes = np.searchsorted(np.unique(labels), truth)
        counts, loss = greedy(predictions, lambda mean: _log_loss(mean, codes))
    else:
        counts, loss = greedy(predictions, lambda mean: float(((mean[:, 0] - truth) ** 2).mean()))
    chosen = [(int(n), params) for n, params in zip(counts, candidates, strict=True) if n]
    own = () if y is None else (y,)
    given = {**{name: job.data[name] for name in job.by_row}, **job.fit_params}
    members = [
        clone(job.estimator).set_params(**_cloned(params)).fit(X, *own, **given) for _, params in chosen
    ]
    return _voting(job.estimator, members, [n for n, _ in chosen], labels), loss


def greedy(
    predictions: NDArray[np.float64], loss: Callable[[NDArray[np.float64]], float]
) -> tuple[NDArray[np.int64], float]:
    """How often each candidate is added, and the loss of the mean.

    Parameters
    ----------
    predictions : ndarray of shape (n_candidates, n_rows, n_outputs)
    loss : callable
        Of a mean prediction, ``(n_rows, n_outputs)``.
    """
    counts = np.zeros(len(predictions), np.int64)
    total = np.zeros(predictions.shape[1:])
    best, best_counts = np.inf, counts.copy()
    for added in range(1, _ROUNDS + 1):
        losses = [loss((total + prediction) / added) for prediction in predictions]
        place = int(np.argmin(losses))
        counts[place] += 1
        total += predictions[place]
        if losses[place] < best:
            best, best_counts = losses[place], counts.copy()
    return best_counts, float(best)


def _out_of_fold(
    engine: Engine, handle: Any, job: Job, candidates: Sequence[dict[str, Any]]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The prediction of each candidate for each row of a test part, by models that were not fitted on it."""
    rows = np.concatenate([test for _, test in job.splits])
    tasks = [
        Assignment(handle, Task(trial, split), params)
        for trial, params in enumerate(candidates)
        for split in range(len(job.splits))
    ]
    found = []
    for outcome in engine.map(predict, tasks):
        if isinstance(outcome, str):
            raise PlanError(
                f"a member of the ensemble cannot be fitted: {outcome}",
                "members vote with probabilities (wrap classifiers without in CalibratedClassifierCV); "
                "or leave ensemble away",
            )
        found.append(outcome)
    per = len(job.splits)
    return np.stack([np.concatenate(found[n * per : (n + 1) * per]) for n in range(len(candidates))]), rows


def _log_loss(mean: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    own = mean[np.arange(len(codes)), codes]
    return float(-np.log(np.maximum(own, 1e-15)).mean())


def _cloned(params: dict[str, Any]) -> dict[str, Any]:
    return {name: clone(value, safe=False) for name, value in params.items()}


def _voting(estimator: Any, members: list[Any], weights: list[int], y: Any) -> Any:
    """scikit-learn's voting over members that are fitted."""
    from sklearn.ensemble import VotingClassifier, VotingRegressor

    named = [(f"member{number}", member) for number, member in enumerate(members)]
    if not is_classifier(estimator):
        voting = VotingRegressor(named, weights=weights)
    else:
        voting = VotingClassifier(named, voting="soft", weights=weights)
        voting.le_ = LabelEncoder().fit(y)
        voting.classes_ = voting.le_.classes_
    voting.estimators_ = members
    voting.named_estimators_ = Bunch(**dict(named))
    return voting
