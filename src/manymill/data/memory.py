"""Texts, labels and weights that are in memory already."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from manymill.data.batches import Batch
from manymill.data.columnar import check_types, to_batch
from manymill.data.hashed import HashedMemory, HashedTexts
from manymill.errors import SchemaError


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Columns of equal length."""

    text: pa.Array
    label: pa.Array | None
    weight: pa.Array | None

    @property
    def is_hashed(self) -> bool:
        """It holds texts."""
        return False

    def __len__(self) -> int:
        return len(self.text)

    @property
    def nbytes(self) -> int:
        """Bytes that the texts take."""
        return int(self.text.nbytes)

    def batch(self, start: int, stop: int, file: int) -> Batch:
        """The rows from ``start`` to ``stop``."""
        n_rows = stop - start
        return to_batch(
            self.text.slice(start, n_rows),
            None if self.label is None else self.label.slice(start, n_rows),
            None if self.weight is None else self.weight.slice(start, n_rows),
            path="memory",
            file=file,
            first_row=start,
            n_bytes=0,
            max_record_bytes=sys.maxsize,  # it is in memory already
        )


def to_memory(texts: Any, labels: Any, weights: Any) -> Memory | HashedMemory:
    """Columns of whatever the user has.

    Raises
    ------
    SchemaError
        If the lengths differ or a type is wrong.
    """
    text = texts if isinstance(texts, HashedTexts) else to_texts(texts)
    label = None if labels is None else _labels(labels)
    weight = None if weights is None else _array(weights, "weights", pa.float32())
    for name, column in (("labels", label), ("weights", weight)):
        if column is not None and len(column) != len(text):
            raise SchemaError(f"{len(text)} texts, but {len(column)} {name}")
    if isinstance(text, HashedTexts):
        return HashedMemory(text, label, weight)
    check_types("memory", text.type, label and label.type, weight and weight.type)
    return Memory(text, label, weight)


def to_texts(texts: Any) -> pa.Array:
    """One Arrow column of texts, some of which may be missing.

    Raises
    ------
    SchemaError
        If they are no texts.
    """
    if isinstance(texts, str | bytes):
        raise SchemaError("texts is one string, not a sequence of strings", "put it into a list")
    column = _strings(texts)
    check_types("memory", column.type, None, None)
    return column


def complete_texts(texts: Any) -> pa.Array | HashedTexts:
    """Texts as one Arrow column with a text in every row, so that row and label, row and prediction stay together.

    Texts that were hashed before are complete as they are.

    Raises
    ------
    SchemaError
        If there is none, one is missing, or one is no string.
    """
    hashed = isinstance(texts, HashedTexts)
    column = texts if hashed else to_texts(texts)
    if not len(column):
        raise SchemaError("there are no texts")
    if hashed:
        return column
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise SchemaError(f"texts[{row}] is missing", "leave such rows out, or give an empty string")
    return column


def _array(values: Any, name: str, type: pa.DataType | None = None) -> pa.Array:
    """An Arrow array in one piece."""
    if hasattr(values, "to_arrow"):  # polars
        values = values.to_arrow()
    elif hasattr(values, "__arrow_array__") or isinstance(values, np.ndarray):
        values = np.asarray(values)
    elif not isinstance(values, pa.Array | pa.ChunkedArray | list | tuple) and isinstance(values, Iterable):
        values = list(values) if not hasattr(values, "to_numpy") else values.to_numpy()
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise SchemaError(f"{name} is of shape {values.shape}", "give one value a row")
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            array = values if type is None else values.cast(type)
        else:
            array = pa.array(values, type=type, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SchemaError(f"{name} cannot be read as a column: {error}") from error
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array


def _strings(texts: Any) -> pa.Array:
    # Tables too have a shape, and to go through one gives the names of its columns.
    if len(shape := getattr(texts, "shape", (0,))) != 1:
        raise SchemaError(f"texts is of shape {tuple(shape)}", "give one text a row, such as one column")
    if not hasattr(texts, "__iter__"):
        raise SchemaError(f"texts is of type {type(texts).__name__}, not a sequence of strings")
    if isinstance(texts, np.ndarray) and not len(texts):
        texts = []
    if isinstance(texts, np.ndarray) and texts.dtype.kind == "U":
        texts = texts.tolist()
    try:
        return _array(texts, "texts", pa.large_string())
    except SchemaError:
        values = list(texts)
        for i, value in enumerate(values):
            if value is not None and not isinstance(value, str):
                raise SchemaError(f"texts[{i}] is of type {type(value).__name__}, not a string") from None
        # A lone surrogate has no UTF-8; its replacement separates words just as well.
        clean = [value if value is None else value.encode("utf-8", "replace") for value in values]
        return pa.array(clean, pa.large_binary()).cast(pa.large_string())


def _labels(labels: Any) -> pa.Array:
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "U":
        labels = labels.tolist()
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "O":
        labels = labels.tolist()
    return _array(labels, "labels")
