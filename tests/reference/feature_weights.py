"""Slow reference for feature weights: NumPy's logarithms over a dense matrix of counts."""

from __future__ import annotations

import numpy as np


def idf(df, n_rows):
    """``ln((1 + n) / (1 + df)) + 1``, ``(n_features,)``."""
    return np.log((1.0 + n_rows) / (1.0 + df.astype(np.float64))) + 1.0


def log_count_ratio(class_counts, distinct, added=2.0):
    """Absolute log-count ratio of naive Bayes with two classes, ``(n_features,)``; 0 if a class has no rows."""
    if not distinct.all():
        return np.zeros(len(class_counts))
    usual = distinct / distinct.sum()
    ratios = (class_counts + added * usual) / usual
    return np.abs(np.log(ratios[:, 1] / ratios[:, 0]))


def divergence(class_counts, rows, added=1.0):
    """Root of the divergence between the classes of a feature's rows and those of all rows, ``(n_features,)``."""
    with_rows = rows > 0
    prior = rows[with_rows] / rows.sum()
    shares = class_counts[:, with_rows] + added * prior
    shares /= shares.sum(axis=1, keepdims=True)
    return np.sqrt(np.maximum((shares * np.log(shares / prior)).sum(axis=1), 0.0))


def table_of(class_counts, rows, distinct, kind, min_rows=1):
    """The features in at least ``min_rows`` rows and their weights, of counts ``(n_features, n_classes)``."""
    df = class_counts.sum(axis=1)
    features = np.flatnonzero(df >= min_rows)
    inverse = idf(df[features], rows.sum())
    if kind == "idf":
        return features, inverse
    picked = class_counts[features].astype(np.float64)
    nb = log_count_ratio(picked, distinct) if len(rows) == 2 else divergence(picked, rows)
    return features, nb if kind == "nb" else np.sqrt(nb * inverse)
