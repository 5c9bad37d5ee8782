"""Datasets of Parquet and CSV files in place of matrices."""

from __future__ import annotations

import warnings
from typing import Any

from manymill.data.dataset import Dataset
from manymill.errors import SchemaError
from manymill.forest.reports import ForestWarning


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
