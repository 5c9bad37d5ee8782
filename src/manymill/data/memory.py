"""Convert data in memory to Arrow columns, and Arrow columns (also those of Parquet files) to batches."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.data.batches import MAX_LISTED_BAD_ROWS, TOO_LONG, BadRow, Batch, Labels
from manymill.data.hashed_texts import HashedColumns, HashedTexts
from manymill.errors import SchemaError


def is_text(type: pa.DataType) -> bool:
    """Whether a column of this type is text, possibly dictionary-encoded."""
    if pa.types.is_dictionary(type):
        type = type.value_type
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def check_types(where: str, text: pa.DataType, label: pa.DataType | None, weight: pa.DataType | None) -> None:
    """Reject columns whose type does not fit their role.

    Raises
    ------
    SchemaError
        If the texts are not strings, the labels not scalars, or the weights not numbers.
    """
    if not is_text(text):
        raise SchemaError(
            f"{where}: the text column has type {text}, not string",
            "choose another with --text (text= in Python)",
        )
    if label is not None and not (is_text(label) or _is_scalar(label)):
        raise SchemaError(
            f"{where}: the label column has type {label}",
            "labels must be strings, integers, booleans or floats",
        )
    if weight is not None and not (pa.types.is_integer(weight) or pa.types.is_floating(weight)):
        raise SchemaError(f"{where}: the weight column has type {weight}, not a number")


def _is_scalar(type: pa.DataType) -> bool:
    if pa.types.is_dictionary(type):
        type = type.value_type
    return bool(pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_boolean(type))


def to_batch(
    text: pa.Array,
    label: pa.Array | None,
    weight: pa.Array | None,
    *,
    path: str,
    file: int,
    first_row: int,
    n_bytes: int,
    max_record_bytes: int,
) -> Batch:
    """Convert columns to a batch; rows with missing or invalid values become bad rows."""
    integers = label is not None and _holds_integers(label.type)
    text = text.cast(pa.large_string())
    names: pa.Array | None = None
    faults: list[tuple[str, NDArray[np.bool_]]] = [("missing text", _mask(pc.is_null(text)))]
    faults.append((TOO_LONG, _mask(pc.greater(pc.binary_length(text), max_record_bytes))))
    if label is not None:
        codes, names = _encode_labels(label)
        faults.append(("missing label", codes < 0))
        faults.append(("empty label", _row_mask(codes, _mask(pc.equal(pc.binary_length(names), 0)))))
        too_long = _mask(pc.greater(pc.binary_length(names), max_record_bytes))
        faults.append((TOO_LONG, _row_mask(codes, too_long)))
        faults.append(("invalid UTF-8", _row_mask(codes, np.array([not _is_utf8(name) for name in names]))))
    if weight is not None:
        weight = weight.cast(pa.float32(), safe=False)
        faults.append(("missing weight", _mask(pc.is_null(weight))))
        valid = pc.and_(pc.is_finite(weight), pc.greater_equal(weight, 0.0))
        faults.append(("bad weight", _mask(pc.invert(valid))))

    reason_of = np.full(len(text), -1, dtype=np.int8)
    for number, (_, mask) in enumerate(faults):
        reason_of[(reason_of < 0) & mask] = number
    rows = np.flatnonzero(reason_of < 0)
    position = np.arange(first_row, first_row + len(text), dtype=np.int64)
    bad_rows = np.flatnonzero(reason_of >= 0)
    reasons = [faults[reason_of[row]][0] for row in bad_rows]
    if len(bad_rows):
        good = pa.array(rows)
        text = text.take(good)
        weight = None if weight is None else weight.take(good)
    data, offsets = arrow_layout(text)
    listed = zip(bad_rows[:MAX_LISTED_BAD_ROWS], reasons, strict=False)
    return Batch(
        data=data,
        offsets=offsets,
        label=None if names is None else _used_labels(codes[rows], names),
        weight=None if weight is None else weight.to_numpy(zero_copy_only=False),
        position=position[rows],
        file=file,
        bad=tuple(BadRow(path, f"row {first_row + row}", reason, "") for row, reason in listed),
        bad_counts=dict(Counter(reasons)),
        n_bytes=n_bytes,
        labels_are_integers=integers,
    )


def _encode_labels(label: pa.Array) -> tuple[NDArray[np.int32], pa.Array]:
    """A code for each row, -1 for null, and the values as strings."""
    if not pa.types.is_dictionary(label.type):
        label = label.cast(pa.string()).dictionary_encode()
    values = label.dictionary
    codes = label.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    # A value of a dictionary may be null itself.
    codes = np.where(_row_mask(codes, _mask(pc.is_null(values))), -1, codes).astype(np.int32)
    return codes, values if is_text(values.type) else values.cast(pa.string())


def _row_mask(codes: NDArray[Any], value_mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Spread a mask of the values to the rows; False for rows without a value."""
    mask: NDArray[np.bool_] = np.append(value_mask, False)[codes]
    return mask


def _used_labels(codes: NDArray[np.int32], names: pa.Array) -> Labels:
    """The labels of complete rows, without unused values, in order of first occurrence."""
    used, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(used), np.int32)
    rank[order] = np.arange(len(used), dtype=np.int32)
    found = names.take(pa.array(used[order])).to_pylist()
    codes = rank[inverse]
    # The dictionary of a file may contain a value twice.
    index = {name: i for i, name in enumerate(dict.fromkeys(found))}
    if len(index) < len(found):
        codes = np.array([index[name] for name in found], np.int32)[codes]
    return Labels(tuple(index), codes.astype(np.int32, copy=False))


def _is_utf8(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _mask(array: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = array.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _holds_integers(type: pa.DataType) -> bool:
    if pa.types.is_dictionary(type):
        type = type.value_type
    return bool(pa.types.is_integer(type))


def arrow_layout(text: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Data and offsets of a large_string array without nulls, without a copy."""
    _, offsets, data = text.buffers()
    if not len(text):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    ends = np.frombuffer(offsets, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    bytes_ = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    return bytes_, ends


@dataclass(frozen=True, slots=True, eq=False)
class ArrowColumns:
    """Arrow columns of equal length."""

    text: pa.Array
    label: pa.Array | None
    weight: pa.Array | None

    @property
    def is_hashed(self) -> bool:
        """False: the columns have texts."""
        return False

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights."""
        return self.weight is not None

    def __len__(self) -> int:
        return len(self.text)

    @property
    def nbytes(self) -> int:
        """Bytes of the texts."""
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
            max_record_bytes=sys.maxsize,  # the records are in memory anyway
        )


def columns_in_memory(texts: Any, labels: Any, weights: Any) -> ArrowColumns | HashedColumns:
    """Convert texts, labels and weights in memory to columns.

    Raises
    ------
    SchemaError
        If the lengths differ or a type is wrong.
    """
    text = texts if isinstance(texts, HashedTexts) else _to_texts(texts)
    label = None if labels is None else _to_labels(labels)
    weight = None if weights is None else _array(weights, "weights", pa.float32())
    for name, column in (("labels", label), ("weights", weight)):
        if column is not None and len(column) != len(text):
            raise SchemaError(f"{len(text)} texts, but {len(column)} {name}")
    if isinstance(text, HashedTexts):
        return HashedColumns(text, label, weight)
    check_types("memory", text.type, label and label.type, weight and weight.type)
    return ArrowColumns(text, label, weight)


def _to_texts(texts: Any) -> pa.Array:
    """One Arrow column of texts, some of which may be missing.

    Raises
    ------
    SchemaError
        If they are not texts.
    """
    if isinstance(texts, str | bytes):
        raise SchemaError("texts is one string, not a sequence of strings", "put it into a list")
    column = _strings(texts)
    check_types("memory", column.type, None, None)
    return column


def complete_texts(texts: Any) -> pa.Array | HashedTexts:
    """Convert to one Arrow column without missing texts, so that rows match labels and predictions.

    Hashed texts are returned unchanged.

    Raises
    ------
    SchemaError
        If there are no texts, one is missing, or one is not a string.
    """
    hashed = isinstance(texts, HashedTexts)
    column = texts if hashed else _to_texts(texts)
    if not len(column):
        raise SchemaError("there are no texts")
    if hashed:
        return column
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise SchemaError(f"texts[{row}] is missing", "remove such rows, or use an empty string")
    return column


def _array(values: Any, name: str, type: pa.DataType | None = None) -> pa.Array:
    """One contiguous Arrow array."""
    if hasattr(values, "to_arrow"):  # polars
        values = values.to_arrow()
    elif hasattr(values, "__arrow_array__") or isinstance(values, np.ndarray):
        values = np.asarray(values)
    elif not isinstance(values, pa.Array | pa.ChunkedArray | list | tuple) and isinstance(values, Iterable):
        values = list(values) if not hasattr(values, "to_numpy") else values.to_numpy()
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise SchemaError(f"{name} has shape {values.shape}", "give one value per row")
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            array = values if type is None else values.cast(type)
        else:
            array = pa.array(values, type=type, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SchemaError(f"{name} cannot be converted to a column: {error}") from error
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array


def _strings(texts: Any) -> pa.Array:
    # Data frames have a shape, too, and iterating over one gives its column names.
    if len(shape := getattr(texts, "shape", (0,))) != 1:
        raise SchemaError(f"texts has shape {tuple(shape)}", "give one text per row, such as one column")
    if not hasattr(texts, "__iter__"):
        raise SchemaError(f"texts has type {type(texts).__name__}, not a sequence of strings")
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
                raise SchemaError(f"texts[{i}] has type {type(value).__name__}, not a string") from None
        # A lone surrogate has no UTF-8; its replacement "?" separates words just as well.
        clean = [value if value is None else value.encode("utf-8", "replace") for value in values]
        return pa.array(clean, pa.large_binary()).cast(pa.large_string())


def _to_labels(labels: Any) -> pa.Array:
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "UO":
        labels = labels.tolist()
    return _array(labels, "labels")
