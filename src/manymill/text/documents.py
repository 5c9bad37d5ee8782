"""Documents in Arrow layout, the one in which the core reads text without a copy.

In: any pyarrow array of text. Out: pairs ``(data, offsets)`` as :mod:`manymill._core` takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import RowError, SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

ArrowDocuments = tuple[NDArray[np.uint8], NDArray[np.int64]]


def arrow_documents(array: pa.Array | pa.ChunkedArray, *, null: str | None = None) -> list[ArrowDocuments]:
    """The chunks of a pyarrow column of text in Arrow layout.

    ``string`` and ``large_string`` (and ``binary``, whose UTF-8 the core checks) keep their bytes where they
    are; ``string_view`` and dictionaries are copied.

    Parameters
    ----------
    array : pyarrow.Array or pyarrow.ChunkedArray
        Text; slices are fine.
    null : str, optional
        The document that stands for a null. By default a null is an error.

    Returns
    -------
    list of (ndarray, ndarray)
        Per chunk the bytes, uint8, and the offsets, int64, of shape ``(n_documents + 1,)``.

    Raises
    ------
    SchemaError
        If the array does not hold text.
    RowError
        If there is a null and none was given for it; the message names the first.
    """
    import pyarrow as pa

    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    first, documents = 0, []
    for chunk in chunks:
        documents.append(_chunk(_without_nulls(_plain(chunk), null, first)))
        first += len(chunk)
    return documents


def _plain(chunk: Any) -> Any:
    """The chunk as string, large_string, binary or large_binary."""
    import pyarrow as pa

    kind, types = chunk.type, pa.types
    if types.is_dictionary(kind):
        chunk = chunk.dictionary_decode()
        return _plain(chunk)
    if isinstance(chunk, pa.ExtensionArray):
        return _plain(chunk.storage)
    if (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    ):
        return chunk
    if types.is_null(kind):
        return chunk.cast(pa.string())
    if types.is_string_view(kind):
        return chunk.cast(pa.large_string())
    if types.is_binary_view(kind):
        return chunk.cast(pa.large_binary())
    raise SchemaError(f"the column is not text but {kind}", hint="name a column of strings")


def _without_nulls(chunk: Any, null: str | None, first: int) -> Any:
    if chunk.null_count == 0:
        return chunk
    if null is None:
        position = first + int(np.flatnonzero(chunk.is_null().to_numpy(zero_copy_only=False))[0])
        raise RowError(f"document {position} is null", hint="fill or drop the nulls first")
    import pyarrow as pa

    return chunk.fill_null(pa.scalar(null, type=chunk.type))


def _chunk(chunk: Any) -> ArrowDocuments:
    import pyarrow as pa

    large = pa.types.is_large_string(chunk.type) or pa.types.is_large_binary(chunk.type)
    width = np.dtype(np.int64 if large else np.int32)
    _, offsets, data = chunk.buffers()
    if len(chunk) == 0 or offsets is None:
        return np.empty(0, np.uint8), np.zeros(len(chunk) + 1, np.int64)
    ends = np.frombuffer(offsets, width, len(chunk) + 1, chunk.offset * width.itemsize)
    text = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return text, ends.astype(np.int64, copy=False)
