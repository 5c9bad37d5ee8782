"""Outcome of a call, for comparison: the bits of a matrix, or an error, and the warnings."""

from __future__ import annotations

import warnings


def bits(X):
    """All properties of a CSR matrix, for comparison."""
    arrays = X.data, X.indices, X.indptr
    return type(X), X.shape, [array.dtype for array in arrays], [_values(array) for array in arrays]


def _values(array):
    """The bytes; for long doubles the shortest text, since their padding bytes are arbitrary."""
    return list(map(repr, array.tolist())) if array.dtype.char in "gG" else array.tobytes()


def outcome(estimator, X, method="fit_transform"):
    """Bits or error, and warnings; ``X`` may be a function that makes it, for input that can be read only once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = bits(getattr(estimator, method)(X() if callable(X) else X))
        except Exception as error:
            result = type(error), str(error)
    return result, [(warning.category, str(warning.message)) for warning in caught]
