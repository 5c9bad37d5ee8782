"""Statistics of ``recipe.py``: paired differences with 95 % intervals, calibration, thresholds, goals.

Intervals describe the draw of test rows and, for several trainings, the draw of their seeds. Rows count as independent:
where test rows resemble each other, as the packages of one source do, the true intervals are wider.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

QUANTILE = 1.959964  # of the normal distribution, for 95 %
RESAMPLES = 1000
BINS = 15
LEAST_PROBABILITY = 1e-15

Floats = NDArray[np.float64]
Statistic = Callable[[NDArray[np.intp]], float]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """The interval in another unit."""
        return Interval(factor * self.value, factor * self.low, factor * self.high)


def mean_interval(values: ArrayLike) -> Interval:
    """Normal interval of the mean over rows, of the mean over seeds.

    With ``x`` the mean over the seeds of each row's value and ``m`` the mean over the rows of each seed's values, the
    squared standard error is ``var(x) / n_rows + var(m) / n_seeds``. For the differences of correct (1) and wrong (0)
    of two models with one seed, the first term is the variance of McNemar's test: with ``b`` and ``c`` rows that only
    one of them has right, ``(b + c - (b - c)^2 / n) / n^2``, up to a factor of ``n / (n - 1)`` (McNemar 1947; Agresti,
    Categorical Data Analysis, 2013, section 11.1).

    Parameters
    ----------
    values : array-like of shape (n_seeds, n_rows) or (n_rows,)
        A model's values, or paired differences between two models.
    """
    array = np.atleast_2d(np.asarray(values, np.float64))
    n_seeds, n_rows = array.shape
    squared = array.mean(axis=0).var(ddof=1) / n_rows
    if n_seeds > 1:
        squared += array.mean(axis=1).var(ddof=1) / n_seeds
    mean, half = float(array.mean()), QUANTILE * math.sqrt(squared)
    return Interval(mean, mean - half, mean + half)


def mean_of(intervals: list[Interval]) -> Interval:
    """The mean of independent figures with normal intervals."""
    value = sum(each.value for each in intervals) / len(intervals)
    half = math.sqrt(sum(((each.high - each.low) / 2) ** 2 for each in intervals)) / len(intervals)
    return Interval(value, value - half, value + half)


def bootstrap(statistic: Statistic, groups: ArrayLike, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Percentile interval of a statistic (Efron and Tibshirani 1993, section 13.3), stratified by ``groups``.

    Parameters
    ----------
    statistic : callable
        Called with row numbers, (n_rows,): all of them for the value, and resamples with replacement. A difference
        that is computed on the same rows for two models is paired.
    groups : array-like of shape (n_rows,)
        Rows are resampled within each group: their numbers stay.
    seed, resamples : int
        Seed and number of resamples.
    """
    groups = np.asarray(groups)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    random = np.random.default_rng(seed)
    found = [
        statistic(np.concatenate([random.choice(rows, len(rows)) for rows in members]))
        for _ in range(resamples)
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(statistic(np.arange(len(groups))), float(low), float(high))


def average_precision(positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """The mean over the positive rows of the precision at their score; rows of one score count together."""
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(positive[order]), scores[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision, recalled = hits[ends] / (ends + 1), np.diff(hits[ends], prepend=0)
    return float(np.sum(precision * recalled) / hits[-1])


def recall_at(negative: Floats, positive: Floats, false_positives: float) -> float:
    """The share of positive rows with a score above the threshold.

    The threshold is the least score of a negative row such that at most a share of ``false_positives`` of the negative
    rows has a greater one.
    """
    allowed = math.floor(false_positives * len(negative))
    return float(np.mean(positive > np.sort(negative)[::-1][allowed]))


def log_losses(probabilities: NDArray[np.floating], truth: NDArray[np.intp]) -> Floats:
    """Negative logarithm of the probability of each row's class, (n_rows,), at most that of ``LEAST_PROBABILITY``."""
    chosen = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return -np.log(np.maximum(chosen, LEAST_PROBABILITY))


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error with bins of equal width (Guo et al. 2017).

    Parameters
    ----------
    confidence : ndarray of shape (n_rows,)
        Probability of the predicted class.
    correct : ndarray of bool, shape (n_rows,)
        Whether it is the row's class.
    bins : int
        Number of bins.
    """
    numbers = np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)
    gaps = np.bincount(numbers, confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True)
class Goal:
    """What a figure must reach, and what it should.

    Attributes
    ----------
    must, stretch : float
        Both in the unit of the figure; ``stretch`` may be None.
    at_least : bool
        Whether more is better.
    """

    must: float
    stretch: float | None = None
    at_least: bool = True


def verdict(found: Interval, goal: float, at_least: bool) -> str:
    """``met``; ``met within the interval`` if only the better end of the interval reaches it; or ``not met``."""
    value, end = (found.value, found.high) if at_least else (-found.value, -found.low)
    goal = goal if at_least else -goal
    if value >= goal:
        return "met"
    return "met within the interval" if end >= goal else "not met"
