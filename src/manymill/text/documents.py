"""Arrow columns of text as the core reads them: where they lie.

In: any pyarrow array of text. Out: the columns of :mod:`manymill._core`, one a chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manymill._core import TextColumn
from manymill.errors import RowError, SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

# Bytes that Arrow's views take of each document.
_VIEW_BYTES = 16


def text_columns(array: pa.Array | pa.ChunkedArray) -> list[TextColumn]:
    """The chunks of a pyarrow column of text.

    ``string``, ``large_string`` and ``string_view`` are read where they are; of dictionaries the numbers are copied,
    if they are not ``uint32``.

    Parameters
    ----------
    array : pyarrow.Array or pyarrow.ChunkedArray
        Text; slices are fine.

    Returns
    -------
    list of TextColumn
        One for each chunk.

    Raises
    ------
    SchemaError
        If the array does not hold text.
    RowError
        If there is a null; the message names the first.
    """
    import pyarrow as pa

    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    first, columns = 0, []
    for chunk in chunks:
        if chunk.null_count:
            nulls = chunk.is_null().to_numpy(zero_copy_only=False)
            _refuse_null(first + int(np.flatnonzero(nulls)[0]))
        columns.append(_column(chunk, first))
        first += len(chunk)
    if not is_text(array.type):
        raise SchemaError(f"the column is not text but {array.type}", hint="name a column of strings")
    return columns


def is_text(kind: Any) -> bool:
    """Whether a pyarrow type is text: strings, or dictionaries of such."""
    import pyarrow as pa

    types, kind = pa.types, _stored(kind)
    return any(
        is_kind(kind)
        for is_kind in (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    )


def is_bytes(kind: Any) -> bool:
    """Whether a pyarrow type is bytes, or dictionaries of such: text only once they are decoded."""
    import pyarrow as pa

    types, kind = pa.types, _stored(kind)
    return any(
        is_kind(kind)
        for is_kind in (
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
            types.is_fixed_size_binary,
        )
    )


def _stored(kind: Any) -> Any:
    """What stands behind extension types and dictionaries."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _stored(kind.storage_type)
    return _stored(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _column(chunk: Any, first: int) -> TextColumn:
    """The column of a chunk that has no nulls of its own."""
    import pyarrow as pa

    types, kind = pa.types, chunk.type
    if isinstance(chunk, pa.ExtensionArray):
        return _column(chunk.storage, first)
    if types.is_dictionary(kind):
        return _dictionary(chunk, first)
    if types.is_string_view(kind):
        _, views, *buffers = chunk.buffers()
        return TextColumn.of_views(
            _bytes(views, len(chunk) * _VIEW_BYTES, chunk.offset * _VIEW_BYTES),
            [_bytes(buffer) for buffer in buffers],
        )
    if not is_text(kind) or types.is_null(kind) or len(chunk) == 0:
        return TextColumn.with_offsets(_bytes(None), np.zeros(1, np.int64))
    _, offsets, data = chunk.buffers()
    width = np.dtype(np.int64 if types.is_large_string(kind) else np.int32)
    ends = np.frombuffer(offsets, width, len(chunk) + 1, chunk.offset * width.itemsize)
    return TextColumn.with_offsets(_bytes(data), ends)


def _dictionary(chunk: Any, first: int) -> TextColumn:
    values = chunk.dictionary
    rows = chunk.indices.to_numpy(zero_copy_only=False)
    if values.null_count:
        to_null = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)[rows])
        if len(to_null):
            _refuse_null(first + int(to_null[0]))
        values = values.fill_null("")
    return _column(values, first).taken(rows.astype(np.uint32, copy=False))


def _bytes(buffer: Any, count: int = -1, offset: int = 0) -> NDArray[np.uint8]:
    if buffer is None or len(buffer) == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer(buffer, np.uint8, count, offset)


def _refuse_null(position: int) -> None:
    raise RowError(f"document {position} is null", hint="fill or drop the nulls first")
