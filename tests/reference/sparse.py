"""Random rows for the learner, dense for its reference and sparse for the core."""

from __future__ import annotations

import numpy as np

from manymill._core import Rows


def random_rows(seed, n_rows, n_features, n_classes, per_row=6):
    """Dense rows of norm 1, shape ``(n_rows, n_features)``, and classes that correlate with them."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n_rows, n_features), np.float32)
    for x in X:
        x[rng.choice(n_features, per_row, replace=False)] = rng.uniform(0.2, 1, per_row)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    truth = rng.normal(size=(n_features, n_classes))
    return X, np.argmax(X @ truth, axis=1).astype(np.int32)


def sparse(X):
    """The rows of a dense matrix."""
    filled = X != 0
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    return Rows.from_arrays(indptr.astype(np.int64), np.nonzero(filled)[1].astype(np.uint32), X[filled])
