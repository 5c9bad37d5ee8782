"""Rows to learn from, as given and as workers take them: checked block by block, converted once.

A matrix that is mapped from a file is left there: no copy of it is made, and it is looked through in blocks.

Datasets of Parquet and CSV files in place of matrices.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    _check_y,
    validate_data,
)

from manymill.data.dataset import Dataset
from manymill.errors import SchemaError
from manymill.forest.parameters import grows_trees
from manymill.forest.reports import ForestWarning

_BLOCK_BYTES = 1 << 25


@dataclass(slots=True, eq=False)
class Rows:
    """A matrix, its labels or targets, and weights of its rows (None: all the same)."""

    X: Any
    y: NDArray[Any]
    weight: NDArray[np.float64] | None

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns."""
        return int(self.X.shape[1])

    def taken(self, rows: NDArray[np.intp]) -> Rows:
        """A copy of some."""
        return Rows(self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows])


def rows_of(
    estimator: Any,
    ensemble: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    sparse_format: str,
    reset: bool = True,
) -> Rows:
    """Check rows and bring them into the form that trees are grown from.

    Parameters
    ----------
    estimator : estimator
        Ours: is told the number and the names of the columns.
    ensemble : BaseForest or BaseBagging
        Says whether values may be missing, and whether 32-bit floats will do.
    X, y, sample_weight
        As for ``fit``.
    sparse_format : {"csr", "csc"}

    Raises
    ------
    ValueError
        If lengths differ, or the matrix holds what cannot be learnt from.
    SchemaError
        If a value is infinite, or missing where it may not be: names the row and the column.
    """
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    dtype = np.float32 if grows_trees(ensemble) else "numeric"
    numeric = not estimator._classification
    if _stays(X):
        _check_feature_names(estimator, X, reset=reset)
        _check_n_features(estimator, X, reset=reset)
        y = _check_y(y, multi_output=True, y_numeric=numeric)
        check_consistent_length(X, y)
    else:
        options = {"accept_sparse": sparse_format, "dtype": dtype, "ensure_all_finite": False, "order": "C"}
        with np.errstate(over="ignore"):
            X, y = validate_data(
                estimator, X, y, reset=reset, multi_output=True, y_numeric=numeric, **options
            )
    check_finite(X, missing=get_tags(ensemble).input_tags.allow_nan and not issparse(X), dtype=dtype)
    weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
    return Rows(X, np.asarray(y), weight)


def check_finite(X: Any, *, missing: bool, dtype: Any = np.float32) -> None:
    """Refuse infinite values, and missing ones unless they may be.

    Parameters
    ----------
    X : ndarray or sparse matrix
        Is read in blocks.
    missing : bool
        Whether values may be NaN.
    dtype : dtype or "numeric"
        That values will have when they are learnt from.

    Raises
    ------
    SchemaError
        Names the first such value's row and column.
    """
    for low, block in _blocks(X):
        with np.errstate(over="ignore"):
            values = block.astype(dtype, copy=False) if dtype == np.float32 else block
            total = values.sum(dtype=np.float64) if values.dtype.kind == "f" else 0.0
        if np.isfinite(total):
            continue
        bad = ~np.isfinite(values) if not missing else np.isinf(values)
        if bad.any():
            where = np.unravel_index(int(np.argmax(bad)), bad.shape)
            raise _refused(X, low, where, bool(np.isnan(values[where])))


def _refused(X: Any, low: int, where: Any, is_nan: bool) -> SchemaError:
    row = low + int(where[0])
    at = f"stored value {row}" if issparse(X) else f"row {row}, column {int(where[1])}"
    if is_nan:
        return SchemaError(
            f"Input X contains NaN: {at}", "fill in what is missing, or take trees that can do without"
        )
    return SchemaError(
        f"Input X contains infinity or a value too large for dtype('float32'): {at}",
        "scale or cut that column",
    )


def _blocks(X: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    values = X.data if issparse(X) else X
    width = values.itemsize * (1 if values.ndim == 1 else max(1, values.shape[1]))
    step = max(1, _BLOCK_BYTES // width)
    for low in range(0, len(values), step):
        yield low, values[low : low + step]


def _stays(X: Any) -> bool:
    """Whether a matrix is mapped from a file, and is left there."""
    return isinstance(X, np.memmap) and X.ndim == 2 and X.dtype.kind in "fiu" and min(X.shape) > 0


def learnt(X: Any, y: Any, *, classification: bool) -> tuple[Any, Any, Any]:
    """Rows, labels or values, and the schema that made numbers of them; what is no Dataset stays as it is.

    Raises
    ------
    SchemaError
        If labels are given besides a Dataset, which has its own.
    """
    if not isinstance(X, Dataset):
        return X, y, None
    if y is not None:
        raise SchemaError("labels were given besides a Dataset", "name the column: scan(..., label=...)")
    from manymill.data.table import encode_table

    table = encode_table(X, task="classification" if classification else "regression")
    if table.schema.left_out:
        told = "; ".join(f"{name}: {reason}" for name, reason in table.schema.left_out.items())
        warnings.warn(f"columns were left out: {told}", ForestWarning, stacklevel=4)
    return table.X, table.labels, table.schema


def numbers(X: Any, schema: Any) -> Any:
    """Rows to predict; a Dataset is encoded as the one was that was learnt from.

    Raises
    ------
    SchemaError
        If the forest was grown on a matrix, or a column is missing.
    """
    if not isinstance(X, Dataset):
        return X
    if schema is None:
        raise SchemaError(
            "the forest was grown on a matrix, and knows no columns", "give a matrix, or fit on a Dataset"
        )
    from manymill.data.table import encode_table

    return encode_table(X, task=None, schema=schema).X
