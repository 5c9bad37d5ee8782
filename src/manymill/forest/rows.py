"""Validate training rows and bring them into the form that trees are grown from.

A matrix that is mapped from a file is not copied: it is checked block by block and stays where it is. Datasets of
Parquet and CSV files are encoded as matrices.
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
from sklearn.utils.validation import validate_data

from manymill.data.dataset import Dataset
from manymill.errors import SchemaError
from manymill.estimator_support import refuse_own_labels
from manymill.forest.parameters import grows_trees
from manymill.forest.reports import ForestWarning
from manymill.forest.sklearn_private import (
    check_feature_names,
    check_n_features,
    check_sample_weight,
    check_targets,
)

_BLOCK_BYTES = 1 << 25


@dataclass(slots=True, eq=False)
class TrainingRows:
    """A matrix, its labels or targets, and weights of its rows (None if all are equal)."""

    X: Any
    y: NDArray[Any]
    weight: NDArray[np.float64] | None

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.X.shape[1])

    def subset(self, rows: NDArray[np.intp]) -> TrainingRows:
        """A copy of some of the rows."""
        return TrainingRows(self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows])


def validate_rows(
    estimator: Any,
    ensemble: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    sparse_format: str,
    reset: bool = True,
) -> TrainingRows:
    """Validate rows and convert them once.

    Parameters
    ----------
    estimator : PartitionedForest
        Its ``n_features_in_`` and ``feature_names_in_`` are set, or compared if ``reset`` is false.
    ensemble : BaseForest or BaseBagging
        Decides whether values may be missing, and whether 32-bit floats suffice.
    X, y, sample_weight
        As for ``fit``.
    sparse_format : {"csr", "csc"}
    reset : bool

    Raises
    ------
    ValueError
        If lengths differ, or the matrix has an unsupported shape or dtype.
    SchemaError
        If a value is infinite, or missing where the ensemble does not support that: names the row and the column.
    """
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    dtype = np.float32 if grows_trees(ensemble) else "numeric"
    numeric = not estimator._classification
    if _is_mapped(X):
        check_feature_names(estimator, X, reset=reset)
        check_n_features(estimator, X, reset=reset)
        y = check_targets(y, multi_output=True, y_numeric=numeric)
        check_consistent_length(X, y)
    else:
        options = {"accept_sparse": sparse_format, "dtype": dtype, "ensure_all_finite": False, "order": "C"}
        with np.errstate(over="ignore"):
            X, y = validate_data(
                estimator, X, y, reset=reset, multi_output=True, y_numeric=numeric, **options
            )
    check_finite(X, missing=get_tags(ensemble).input_tags.allow_nan and not issparse(X), dtype=dtype)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    return TrainingRows(X, np.asarray(y), weight)


def _is_mapped(X: Any) -> bool:
    """Whether a matrix is mapped from a file in a form that needs no conversion."""
    return isinstance(X, np.memmap) and X.ndim == 2 and X.dtype.kind in "fiu" and min(X.shape) > 0


def check_finite(X: Any, *, missing: bool, dtype: Any = np.float32) -> None:
    """Refuse infinite values, and NaN unless it is allowed.

    Parameters
    ----------
    X : ndarray or sparse matrix
        Is read in blocks.
    missing : bool
        Whether values may be NaN.
    dtype : dtype or "numeric"
        Dtype that the values will be converted to.

    Raises
    ------
    SchemaError
        Names the row and the column of the first such value.
    """
    for start, block in _blocks(X):
        with np.errstate(over="ignore"):
            values = block.astype(dtype, copy=False) if dtype == np.float32 else block
            total = values.sum(dtype=np.float64) if values.dtype.kind == "f" else 0.0
        if np.isfinite(total):
            continue
        bad = ~np.isfinite(values) if not missing else np.isinf(values)
        if bad.any():
            index = np.unravel_index(int(np.argmax(bad)), bad.shape)
            raise _value_error(X, start, index, bool(np.isnan(values[index])))


def _value_error(X: Any, start: int, index: Any, is_nan: bool) -> SchemaError:
    row = start + int(index[0])
    where = f"stored value {row}" if issparse(X) else f"row {row}, column {int(index[1])}"
    if is_nan:
        return SchemaError(
            f"Input X contains NaN: {where}",
            "fill in missing values, or use an estimator that supports them",
        )
    return SchemaError(
        f"Input X contains infinity or a value too large for dtype('float32'): {where}",
        "scale or clip that column",
    )


def _blocks(X: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    values = X.data if issparse(X) else X
    width = values.itemsize * (1 if values.ndim == 1 else max(1, values.shape[1]))
    step = max(1, _BLOCK_BYTES // width)
    for start in range(0, len(values), step):
        yield start, values[start : start + step]


def encode_training_rows(X: Any, y: Any, *, classification: bool) -> tuple[Any, Any, Any]:
    """A Dataset as a matrix, its labels or targets, and its schema; other input unchanged, with None as schema.

    Raises
    ------
    SchemaError
        If labels are given with a Dataset, which contains its own.
    """
    if not isinstance(X, Dataset):
        return X, y, None
    refuse_own_labels(y, None)
    from manymill.data.table import encode_table

    table = encode_table(X, task="classification" if classification else "regression")
    if table.schema.left_out:
        columns = "; ".join(f"{name}: {reason}" for name, reason in table.schema.left_out.items())
        warnings.warn(f"columns were left out: {columns}", ForestWarning, stacklevel=4)
    return table.X, table.labels, table.schema


def encode_prediction_rows(X: Any, schema: Any) -> Any:
    """Rows to predict; a Dataset is encoded with the schema of the training data.

    Raises
    ------
    SchemaError
        If the forest was trained on a matrix, or a column is missing.
    """
    if not isinstance(X, Dataset):
        return X
    if schema is None:
        raise SchemaError(
            "the forest was trained on a matrix and has no column names",
            "give a matrix, or fit on a Dataset",
        )
    from manymill.data.table import encode_table

    return encode_table(X, task=None, schema=schema).X
