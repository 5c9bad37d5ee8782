"""Feature weights: naive Bayes log-count ratios and inverse document frequencies, from counts of a separate pass.

The counts are integers, which add up exactly (:class:`manymill._core.FeatureCounts`). Logarithms are NumPy's, whose
last bit may differ between processors: weights are computed once and passed on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.constants import FeatureWeights
from manymill.engine import interrupts
from manymill.errors import MemoryLimitError
from manymill.linear.row_stream import Lane

# Counts processed at a time: the counts of all classes are never copied at once.
SLICE_COUNTS = 1 << 20


def empty_counts(kind: FeatureWeights, n_features: int, n_classes: int) -> _core.FeatureCounts:
    """Counts without rows, in the shape that the weights need."""
    return _core.FeatureCounts(n_features, n_classes, by_class=kind == "nb")


def feature_weights(kind: FeatureWeights, counts: _core.FeatureCounts) -> NDArray[np.float32]:
    """The weights of all features, ``(n_features,)``; 0 for a feature without rows."""
    if kind == "nb":
        return nb_weights(counts)
    n_rows = int(counts.rows.sum())
    if n_rows < counts.n_features:  # fewer logarithms than one per feature
        return counts.by_frequency(idf(np.arange(n_rows + 1, dtype=np.uint32), n_rows))
    return idf(counts.document_frequencies(), n_rows)


def idf(df: NDArray[np.uint32], n_rows: int) -> NDArray[np.float32]:
    """``ln((1 + n) / (1 + df)) + 1``, 0 for features without rows, ``(n_features,)``.

    Parameters
    ----------
    df : ndarray of shape (n_features,)
        Number of rows with each feature.
    n_rows : int
        Number of rows.
    """
    smooth = np.log((1.0 + n_rows) / (1.0 + df.astype(np.float64))) + 1.0
    return np.where(df > 0, smooth, 0.0).astype(np.float32)


def nb_weights(counts: _core.FeatureCounts, alpha: float | None = None) -> NDArray[np.float32]:
    """How well each feature separates the classes, ``(n_features,)``; 0 for a feature without rows.

    With two classes this is the absolute log-count ratio of naive Bayes (Wang and Manning 2012): ``|ln(p / q)|``, where
    ``p`` is the share of the feature among the features of one class, each counted once per row, and ``q`` that of the
    other class, with counts smoothed by ``alpha``.

    With more classes it is the root of the divergence (Kullback and Leibler 1951) between the classes of the rows with
    the feature and the classes of all rows: ``sqrt(sum_c p_c ln(p_c / prior_c))``, smoothed by ``alpha`` rows per class
    with the distribution of all rows. ``benches/bar.py`` compares accuracy with and without these weights.

    Parameters
    ----------
    counts : FeatureCounts
        Counts by class.
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
        seen = part.any(axis=1)
        weights[start : start + len(part)][seen] = measure(part[seen].astype(np.float64), counts, alpha)
    return weights


def _log_count_ratio(
    class_counts: NDArray[np.float64], counts: _core.FeatureCounts, alpha: float
) -> NDArray[np.float64]:
    shares = (alpha + class_counts) / (alpha * counts.n_features + counts.distinct)
    ratio: NDArray[np.float64] = np.abs(np.log(shares[:, 1] / shares[:, 0]))
    return ratio


def _divergence(
    class_counts: NDArray[np.float64], counts: _core.FeatureCounts, alpha: float
) -> NDArray[np.float64]:
    with_rows = counts.rows > 0
    prior = counts.rows[with_rows] / counts.rows.sum()
    added = alpha * len(prior)
    shares = class_counts[:, with_rows] + added * prior
    shares /= shares.sum(axis=1, keepdims=True)
    divergence = (shares * np.log(shares / prior)).sum(axis=1)
    # Rounding may make the divergence of equal distributions slightly negative.
    root: NDArray[np.float64] = np.sqrt(np.maximum(divergence, 0.0))
    return root


def fit_feature_weights(lane: Lane, kind: FeatureWeights, n_features: int) -> None:
    """Count the features of a lane's training rows and apply the resulting weights to the lane.

    If there is no memory for further classes, the rows before them are counted: the training pass will stop at the
    same row.
    """
    counts = empty_counts(kind, n_features, max(1, len(lane.index)))
    try:
        count_features(lane, counts)
    except MemoryLimitError:
        if lane.refusal is None or not counts.rows.any():
            raise
        lane.reset()
    lane.apply_feature_weights(feature_weights(kind, counts))


def count_features(lane: Lane, counts: _core.FeatureCounts) -> None:
    """Count the features of a lane's training rows, without those that are held out."""
    for batch in lane.feature_batches(0):
        interrupts.raise_if_requested()
        if batch.n_classes > len(counts.rows):
            counts.grow(batch.n_classes)
        counts.add(batch.rows, batch.classes, batch.weights)
