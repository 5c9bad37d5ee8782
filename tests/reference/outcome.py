"""What a call comes to, for comparison: the bits of a matrix, or an error; and the warnings on the way."""

from __future__ import annotations

import warnings


def bits(X):
    """All that there is to tell of a matrix of compressed rows."""
    arrays = X.data, X.indices, X.indptr
    return type(X), X.shape, [array.dtype for array in arrays], [_values(array) for array in arrays]


def _values(array):
    """The bits; of long doubles the shortest text, since behind their ten bytes there are six of anything."""
    return list(map(repr, array.tolist())) if array.dtype.char in "gG" else array.tobytes()


def outcome(estimator, X, method="fit_transform"):
    """Bits or error, and warnings; ``X`` may be a function that makes it, for what can be read only once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = bits(getattr(estimator, method)(X() if callable(X) else X))
        except Exception as error:
            result = type(error), str(error)
    return result, [(warning.category, str(warning.message)) for warning in caught]
