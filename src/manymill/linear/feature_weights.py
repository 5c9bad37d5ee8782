"""What counts of rows say: weights of features and of classes.

In: whole numbers, which add up exactly (:class:`manymill._core.FeatureCounts`). Out: float arrays. Nothing here reads a
row. Logarithms are NumPy's, whose last bit may differ between processors: weights are computed once and handed on.

The counting pass: a lane's rows are counted once, and weighed by what was counted from then on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.engine import interrupts
from manymill.errors import MemoryLimitError
from manymill.linear.row_stream import Lane
from manymill.model.linear import FeatureWeights

# Counts looked at at a time: those of all classes are never held twice.
SLICE_COUNTS = 1 << 20


def counts_for(kind: FeatureWeights, n_features: int, n_classes: int) -> _core.FeatureCounts:
    """Counts of no rows, of the shape that these weights need."""
    return _core.FeatureCounts(n_features, n_classes, by_class=kind == "nb")


def feature_weights(kind: FeatureWeights, counts: _core.FeatureCounts) -> NDArray[np.float32]:
    """The weights of all features, ``(n_features,)``; those that were never met weigh 0."""
    if kind == "nb":
        return nb_weights(counts)
    n_rows = int(counts.rows.sum())
    if n_rows < counts.n_features:  # fewer logarithms than one for each feature
        return counts.by_frequency(idf(np.arange(n_rows + 1, dtype=np.uint32), n_rows))
    return idf(counts.document_frequencies(), n_rows)


def idf(df: NDArray[np.uint32], n_rows: int) -> NDArray[np.float32]:
    """``ln((1 + n) / (1 + df)) + 1`` for features that are in a row, else 0, ``(n_features,)``.

    Parameters
    ----------
    df : ndarray of shape (n_features,)
        In how many rows each feature is.
    n_rows : int
        How many rows there are.
    """
    smooth = np.log((1.0 + n_rows) / (1.0 + df.astype(np.float64))) + 1.0
    return np.where(df > 0, smooth, 0.0).astype(np.float32)


def nb_weights(counts: _core.FeatureCounts, alpha: float | None = None) -> NDArray[np.float32]:
    """How much each feature tells of the class, ``(n_features,)``; 0 for one that is in no row.

    With two classes the absolute log-count ratio of naive Bayes (Wang and Manning 2012): ``|ln(p / q)|``, where ``p``
    is the share of the feature among the features of the rows of one class, each counted once a row, and ``q`` that of
    the other, counts smoothed by ``alpha``.

    With more classes the root of the divergence (Kullback and Leibler 1951) of the classes of the rows that hold the
    feature from the classes of all rows: ``sqrt(sum_c p_c ln(p_c / prior_c))``, with ``alpha`` rows a class added that
    are distributed as all rows are. ``benches/bar.py`` compares accuracy with and without these weights.

    Parameters
    ----------
    counts : FeatureCounts
        By class.
    alpha : float, optional
        Smoothing, above 0; 1 with two classes and 0.1 with more if not given.
    """
    n_features, n_classes = counts.n_features, len(counts.rows)
    if alpha is None:
        alpha = 1.0 if n_classes == 2 else 0.1
    weights = np.zeros(n_features, np.float32)
    step = max(1, SLICE_COUNTS // n_classes)
    measure = _log_count_ratio if n_classes == 2 else _divergence
    for start in range(0, n_features, step):
        part = counts.counts(start, min(start + step, n_features))
        met = part.any(axis=1)
        weights[start : start + len(part)][met] = measure(part[met].astype(np.float64), counts, alpha)
    return weights


def _log_count_ratio(
    of_class: NDArray[np.float64], counts: _core.FeatureCounts, alpha: float
) -> NDArray[np.float64]:
    shares = (alpha + of_class) / (alpha * counts.n_features + counts.distinct)
    ratio: NDArray[np.float64] = np.abs(np.log(shares[:, 1] / shares[:, 0]))
    return ratio


def _divergence(
    of_class: NDArray[np.float64], counts: _core.FeatureCounts, alpha: float
) -> NDArray[np.float64]:
    with_rows = counts.rows > 0
    prior = counts.rows[with_rows] / counts.rows.sum()
    added = alpha * len(prior)
    shares = of_class[:, with_rows] + added * prior
    shares /= shares.sum(axis=1, keepdims=True)
    divergence = (shares * np.log(shares / prior)).sum(axis=1)
    # Rounding makes the divergence of equal distributions a little less than 0 at times.
    root: NDArray[np.float64] = np.sqrt(np.maximum(divergence, 0.0))
    return root


def weigh(lane: Lane, kind: FeatureWeights, n_features: int) -> None:
    """Count the rows that a lane learns, and have it multiply their values by the weights of their features.

    If the lane is refused further classes, the rows before them are counted: the pass that learns is refused at the
    same place, and has learnt something by then.
    """
    counts = counts_for(kind, n_features, max(1, len(lane.index)))
    try:
        count(lane, counts)
    except MemoryLimitError:
        if lane.refusal is None or not counts.rows.any():
            raise
        lane.begin_again()
    lane.weigh(feature_weights(kind, counts))


def count(lane: Lane, counts: _core.FeatureCounts) -> None:
    """Count the rows that a lane learns; rows that are held out are not counted."""
    for lesson in lane.lessons(0):
        interrupts.raise_if_requested()
        if lesson.n_classes > len(counts.rows):
            counts.grow(lesson.n_classes)
        counts.add(lesson.rows, lesson.classes, lesson.weights)
