"""Slow reference for counting and weighting features: dense matrices, one entry after the other."""

from __future__ import annotations

import numpy as np

from manymill._core import FeatureCounts, FeatureSums


def counts_of(X, classes, weights, n_classes):
    """Number of rows of each class with each feature, number of rows of each class, and the features of the rows."""
    counts = np.zeros((X.shape[1], n_classes), np.int64)
    rows, distinct = np.zeros(n_classes, np.int64), np.zeros(n_classes, np.int64)
    for x, c, weight in zip(X, classes, weights, strict=True):
        if c >= 0 and weight != 0:
            rows[c] += 1
            for j in np.flatnonzero(~np.isnan(x)):
                counts[j, c] += 1
                distinct[c] += 1
    return counts, rows, distinct


def weighted(X, weights, norm):
    """A dense matrix, NaN where nothing is stored, times weights, each row divided by its norm."""
    Z = X * weights
    for z in Z:
        stored = z[~np.isnan(z)]
        size = np.abs(stored).sum() if norm == "l1" else np.sqrt((stored**2).sum())
        if norm and size > 0:
            z /= size
    return Z


def counting(kind, n_features, n_classes):
    """An empty counter of a kind: ``"rows"``, ``"classes"`` or ``"sums"``."""
    if kind == "sums":
        return FeatureSums(n_features, n_classes)
    return FeatureCounts(n_features, n_classes, by_class=kind == "classes")


def arrays_again(counter, kind):
    """A counter that was converted to arrays and back."""
    arrays = counter.to_arrays()
    if kind == "sums":
        return FeatureSums.from_arrays(counter.n_features, *arrays)
    return FeatureCounts.from_arrays(counter.n_features, *arrays, by_class=kind == "classes")


def dense_counts(counter):
    """The matrix of counts by feature and class; all are of class 0 if classes are counted together."""
    features, classes, counts, rows, _ = counter.to_arrays()
    matrix = np.zeros((counter.n_features, len(rows)), np.int64)
    matrix[features, classes if len(classes) else 0] = counts
    return matrix


def bits(counter):
    """The bytes of a counter, for comparison."""
    return [part.tobytes() if hasattr(part, "tobytes") else part for part in counter.to_arrays()]
