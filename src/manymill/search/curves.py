"""Learning curves and validation curves: scikit-learn's functions on an execution engine, with shared data."""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import indexable

from manymill.engine.selection import engine_for
from manymill.errors import PlanError, SettingsError
from manymill.estimator_support import check_is_estimator, random_generator
from manymill.search.estimator import FailedCandidatesWarning
from manymill.search.evaluation import Assignment, SearchJob, evaluate, share_job, withdraw_job
from manymill.search.events import Evaluation
from manymill.search.parameters import check_error_score, cross_validation_splits, make_scorer
from manymill.validation import check, check_bool

Scores = NDArray[np.float64]


def learning_curve(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: ArrayLike | None = None,
    train_sizes: ArrayLike = (0.1, 0.325, 0.55, 0.775, 1.0),
    cv: Any = None,
    scoring: Any = None,
    shuffle: bool = False,
    random_state: int | np.random.RandomState | None = None,
    engine: Any = None,
    error_score: float | str = math.nan,
) -> tuple[NDArray[np.int64], Scores, Scores]:
    """Scores of an estimator fitted on training sets of increasing size.

    Parameters
    ----------
    estimator, X, y, groups, cv, scoring, shuffle, random_state
        See ``sklearn.model_selection.learning_curve``.
    train_sizes : array-like
        Numbers of rows, or fractions of the smallest training set (floats in (0, 1]).
    engine : int, str, Executor, Engine or None
        Execution engine; see :func:`manymill.engine.selection.as_engine`.
    error_score : float or "raise"
        Score of a failed fit, with a warning; ``"raise"`` raises the first failure.

    Returns
    -------
    train_sizes : ndarray of int, shape (n_sizes,)
    train_scores, test_scores : ndarray of float64, shape (n_sizes, n_splits)

    Raises
    ------
    SettingsError
        If a parameter is invalid.
    PlanError
        If all fits fail, or with ``error_score="raise"`` any fit.

    Warns
    -----
    FailedCandidatesWarning
        If some fits fail.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from manymill import learning_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> sizes, train, test = learning_curve(GaussianNB(), X, y, train_sizes=[0.5, 1.0], shuffle=True, random_state=0)
    >>> sizes.tolist(), test.shape
    ([60, 120], (2, 5))
    """
    check_bool(shuffle, "shuffle")
    X, y, splits = _splits(estimator, X, y, groups, cv)
    if shuffle:
        generator = random_generator(random_state)
        splits = [(generator.permutation(train), test) for train, test in splits]
    sizes = _row_counts(np.asarray(train_sizes), min(len(train) for train, _ in splits))
    subsets = [(train[:size], test) for size in sizes for train, test in splits]
    tasks: list[tuple[int, dict[str, Any]]] = [(index, {}) for index in range(len(subsets))]
    scores = _evaluate(estimator, X, y, subsets, tasks, scoring, engine, error_score)
    train_scores, test_scores = (part.reshape(len(sizes), len(splits)) for part in scores)
    return np.array(sizes), train_scores, test_scores


def validation_curve(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    param_name: str,
    param_range: Sequence[Any],
    groups: ArrayLike | None = None,
    cv: Any = None,
    scoring: Any = None,
    engine: Any = None,
    error_score: float | str = math.nan,
) -> tuple[Scores, Scores]:
    """Scores of an estimator for several values of one parameter.

    Parameters
    ----------
    estimator, X, y, param_name, param_range, groups, cv, scoring
        See ``sklearn.model_selection.validation_curve``.
    engine : int, str, Executor, Engine or None
        Execution engine; see :func:`manymill.engine.selection.as_engine`.
    error_score : float or "raise"
        Score of a failed fit, with a warning; ``"raise"`` raises the first failure.

    Returns
    -------
    train_scores, test_scores : ndarray of float64, shape (n_values, n_splits)

    Raises
    ------
    SettingsError
        If a parameter is invalid.
    PlanError
        If all fits fail, or with ``error_score="raise"`` any fit.

    Warns
    -----
    FailedCandidatesWarning
        If some fits fail.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from manymill import validation_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> train, test = validation_curve(SVC(), X, y, param_name="C", param_range=[0.01, 1.0], engine=2)
    >>> bool(test[1].mean() > test[0].mean())
    True
    """
    known = isinstance(param_name, str)
    check(known, "param_name", param_name, "the name of a parameter of the estimator")
    try:
        values = list(param_range)
    except TypeError:
        raise SettingsError.invalid("param_range", param_range, "a sequence of values") from None
    X, y, splits = _splits(estimator, X, y, groups, cv)
    tasks = [(index, {param_name: value}) for value in values for index in range(len(splits))]
    scores = _evaluate(estimator, X, y, splits, tasks, scoring, engine, error_score)
    train_scores, test_scores = (part.reshape(len(values), len(splits)) for part in scores)
    return train_scores, test_scores


def _splits(estimator: Any, X: Any, y: Any, groups: Any, cv: Any) -> tuple[Any, Any, list[tuple[Any, Any]]]:
    check_is_estimator(estimator)
    X, y, groups = indexable(X, y, groups)
    return X, y, cross_validation_splits(cv, estimator, X, y, groups)


def _row_counts(train_sizes: NDArray[Any], n_rows: int) -> list[int]:
    """Distinct numbers of rows in ascending order; fractions of ``n_rows`` are rounded as in scikit-learn."""
    valid = train_sizes.ndim == 1 and train_sizes.dtype.kind in "iuf" and len(train_sizes) > 0
    fractions = train_sizes.dtype.kind == "f"
    greatest = 1 if fractions else n_rows
    check(
        valid and bool((train_sizes > 0).all() and (train_sizes <= greatest).all()),
        "train_sizes",
        train_sizes.tolist(),
        f"fractions in (0, 1], or numbers of rows up to {n_rows}, the size of the smallest training set",
    )
    counts = np.clip((train_sizes * n_rows).astype(np.int64), 1, n_rows) if fractions else train_sizes
    return [int(count) for count in np.unique(counts)]


def _evaluate(
    estimator: Any,
    X: Any,
    y: Any,
    splits: list[tuple[Any, Any]],
    tasks: list[tuple[int, dict[str, Any]]],
    scoring: Any,
    engine: Any,
    error_score: float | str,
) -> tuple[Scores, Scores]:
    """Train and test scores of tasks, each an index of ``splits`` and parameters of the estimator."""
    check_error_score(error_score)
    job = SearchJob(
        estimator=clone(estimator),
        data={"X": X} if y is None else {"X": X, "y": y},
        splits=[(np.asarray(train), np.asarray(test)) for train, test in splits],
        scorers={"score": make_scorer(estimator, scoring)},
        train_scores=True,
    )
    scores = np.empty((2, len(tasks)))
    with engine_for(engine) as workers:
        reference = share_job(workers, job, uuid.uuid4().hex)
        try:
            assignments = [
                Assignment(reference, Evaluation(number, split), params)
                for number, (split, params) in enumerate(tasks)
            ]
            failures = []
            for number, outcome in enumerate(workers.map(evaluate, assignments)):
                if not outcome.error:
                    scores[:, number] = outcome.train_scores["score"], outcome.scores["score"]
                    continue
                failures.append(outcome)
                if error_score == "raise" or len(failures) == len(tasks):
                    raise PlanError(f"a fit failed: {outcome.error}", outcome.traceback)
                scores[:, number] = error_score
        finally:
            withdraw_job(workers, reference)
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(tasks)} fits failed, the first with {failures[0].error}",
            FailedCandidatesWarning,
            stacklevel=3,
        )
    return scores[0], scores[1]
