"""Arrow columns, from Parquet files and from memory, to batches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.data.batches import BadRow, Batch
from manymill.data.labels import Labels
from manymill.errors import SchemaError

_KEPT_BAD_ROWS = 1000


def is_text(type: pa.DataType) -> bool:
    """Whether a column of this type is text, maybe as a dictionary."""
    if pa.types.is_dictionary(type):
        type = type.value_type
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def check_types(where: str, text: pa.DataType, label: pa.DataType | None, weight: pa.DataType | None) -> None:
    """Refuse columns that can never hold what they are named for.

    Raises
    ------
    SchemaError
        If the text is no string, the label no scalar, or the weight no number.
    """
    if not is_text(text):
        raise SchemaError(
            f"{where}: the text column is of type {text}, not a string",
            "name another with --text (text= in Python)",
        )
    if label is not None and not (is_text(label) or _is_scalar(label)):
        raise SchemaError(
            f"{where}: the label column is of type {label}",
            "labels are strings, integers, booleans or floats",
        )
    if weight is not None and not (pa.types.is_integer(weight) or pa.types.is_floating(weight)):
        raise SchemaError(f"{where}: the weight column is of type {weight}, not a number")


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
    """Columns as a batch; rows with nulls and the like are bad rows."""
    integers = label is not None and _holds_integers(label.type)
    text = text.cast(pa.large_string())
    faults: list[tuple[str, NDArray[np.bool_]]] = [("missing text", _mask(pc.is_null(text)))]
    faults.append(("record too long", _mask(pc.greater(pc.binary_length(text), max_record_bytes))))
    if label is not None:
        label = label.cast(pa.string()).dictionary_encode()
        faults.append(("missing label", _mask(pc.is_null(label))))
        faults.append(("empty label", _mask(pc.equal(label.cast(pa.string()), ""))))
    if weight is not None:
        weight = weight.cast(pa.float32(), safe=False)
        faults.append(("missing weight", _mask(pc.is_null(weight))))
        fine = pc.and_(pc.is_finite(weight), pc.greater_equal(weight, 0.0))
        faults.append(("bad weight", _mask(pc.invert(fine))))

    reason_of = np.full(len(text), -1, dtype=np.int8)
    for number, (_, mask) in enumerate(faults):
        reason_of[(reason_of < 0) & mask] = number
    rows = np.flatnonzero(reason_of < 0)
    position = np.arange(first_row, first_row + len(text), dtype=np.int64)
    bad_rows = np.flatnonzero(reason_of >= 0)
    reasons = [faults[reason_of[row]][0] for row in bad_rows]
    if len(bad_rows):
        kept = pa.array(rows)
        text = text.take(kept)
        label = None if label is None else label.take(kept)
        weight = None if weight is None else weight.take(kept)
    data, offsets = arrow_layout(text)
    shown = zip(bad_rows[:_KEPT_BAD_ROWS], reasons, strict=False)
    return Batch(
        data=data,
        offsets=offsets,
        label=None if label is None else Labels(tuple(label.dictionary.to_pylist()), _codes(label)),
        weight=None if weight is None else weight.to_numpy(zero_copy_only=False),
        position=position[rows],
        file=file,
        bad=tuple(BadRow(path, f"row {first_row + row}", reason, "") for row, reason in shown),
        bad_counts=dict(Counter(reasons)),
        n_bytes=n_bytes,
        labels_are_integers=integers,
    )


def _codes(label: pa.DictionaryArray) -> NDArray[np.int32]:
    codes: NDArray[np.int32] = label.indices.to_numpy(zero_copy_only=False)
    return codes.astype(np.int32, copy=False)


def _mask(array: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = array.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _holds_integers(type: pa.DataType) -> bool:
    if pa.types.is_dictionary(type):
        type = type.value_type
    return bool(pa.types.is_integer(type))


def arrow_layout(text: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Data and offsets of a large_string array without nulls; nothing is copied."""
    _, offsets, data = text.buffers()
    if not len(text):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    ends = np.frombuffer(offsets, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    bytes_ = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    return bytes_, ends
