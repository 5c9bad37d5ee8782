"""Ensembles of the best candidates, weighted on out-of-fold predictions.

Greedy selection with replacement (Caruana et al. 2004, "Ensemble Selection from Libraries of Models"): each round adds
that of the k best candidates which improves the loss of the mean prediction most. The weight of a candidate is the
number of rounds in which it was added; a redundant candidate has weight 0.
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
from manymill.search.evaluation import (
    Assignment,
    JobReference,
    SearchJob,
    clone_params,
    predict_test_rows,
    share_job,
    withdraw_job,
)
from manymill.search.events import Evaluation

# Rounds of the greedy selection.
_ROUNDS = 50


def ensemble_size(ensemble: str | int) -> int:
    """The number of candidates that ``"top10"``, or 10, requests.

    Raises
    ------
    SettingsError
        If the value is invalid.
    """
    found = re.fullmatch(r"(?:top)?([1-9]\d{0,5})", str(ensemble))
    if found is None or isinstance(ensemble, bool):
        raise SettingsError.invalid("ensemble", ensemble, "'top10', or a number")
    return int(found.group(1))


def build_ensemble(
    engine: Engine, job: SearchJob, candidates: Sequence[dict[str, Any]], X: Any, y: Any, labels: Any
) -> tuple[Any, float]:
    """Select and fit an ensemble of candidates.

    Parameters
    ----------
    engine : Engine
    job : SearchJob
    candidates : sequence of dict
        Parameters, the best first.
    X, y
        All rows, on which the members are fitted; y is None if X contains the labels.
    labels : array-like of shape (n_rows,)

    Returns
    -------
    ensemble : fitted VotingClassifier or VotingRegressor of scikit-learn
        Soft voting; a weight is the number of rounds in which a candidate was added.
    loss : float
        Out-of-fold log loss, or mean squared error.

    Raises
    ------
    PlanError
        If classifiers do not predict probabilities, or a fit fails.
    """
    reference = share_job(engine, job, uuid.uuid4().hex)
    try:
        predictions, rows = _out_of_fold(engine, reference, job, candidates)
    finally:
        withdraw_job(engine, reference)
    truth = np.asarray(labels)[rows]
    if is_classifier(job.estimator):
        codes = np.searchsorted(np.unique(labels), truth)
        counts, loss = select_greedily(predictions, lambda mean: _log_loss(mean, codes))
    else:
        counts, loss = select_greedily(predictions, lambda mean: float(((mean[:, 0] - truth) ** 2).mean()))
    selected = [(int(n), params) for n, params in zip(counts, candidates, strict=True) if n]
    data = (X,) if y is None else (X, y)
    fit_params = {**{name: job.data[name] for name in job.by_row}, **job.fit_params}
    members = [
        clone(job.estimator).set_params(**clone_params(params)).fit(*data, **fit_params)
        for _, params in selected
    ]
    return _voting(job.estimator, members, [n for n, _ in selected], labels), loss


def select_greedily(
    predictions: NDArray[np.float64], loss: Callable[[NDArray[np.float64]], float]
) -> tuple[NDArray[np.int64], float]:
    """The number of rounds in which each candidate was added, and the loss of the mean prediction.

    Parameters
    ----------
    predictions : ndarray of shape (n_candidates, n_rows, n_outputs)
    loss : callable
        Loss of a mean prediction of shape (n_rows, n_outputs).
    """
    counts = np.zeros(len(predictions), np.int64)
    total = np.zeros(predictions.shape[1:])
    best, best_counts = np.inf, counts.copy()
    for n_added in range(1, _ROUNDS + 1):
        losses = [loss((total + prediction) / n_added) for prediction in predictions]
        index = int(np.argmin(losses))
        counts[index] += 1
        total += predictions[index]
        if losses[index] < best:
            best, best_counts = losses[index], counts.copy()
    return best_counts, float(best)


def _out_of_fold(
    engine: Engine, reference: JobReference, job: SearchJob, candidates: Sequence[dict[str, Any]]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Predictions of each candidate for the test rows of all splits, and the numbers of these rows."""
    n_splits = len(job.splits)
    rows = np.concatenate([test for _, test in job.splits])
    assignments = [
        Assignment(reference, Evaluation(trial, split), params)
        for trial, params in enumerate(candidates)
        for split in range(n_splits)
    ]
    predictions = []
    for prediction in engine.map(predict_test_rows, assignments):
        if isinstance(prediction, str):
            raise PlanError(
                f"cannot fit a member of the ensemble: {prediction}",
                "members vote with probabilities: wrap classifiers without predict_proba in "
                "CalibratedClassifierCV, or use ensemble=None",
            )
        predictions.append(prediction)
    by_candidate = [
        np.concatenate(predictions[start : start + n_splits])
        for start in range(0, len(predictions), n_splits)
    ]
    return np.stack(by_candidate), rows


def _log_loss(mean: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    probabilities = mean[np.arange(len(codes)), codes]
    return float(-np.log(np.maximum(probabilities, 1e-15)).mean())


def _voting(estimator: Any, members: list[Any], weights: list[int], y: Any) -> Any:
    """scikit-learn's voting estimator with fitted members."""
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
