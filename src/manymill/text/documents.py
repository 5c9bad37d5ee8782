"""Documents as users hold them, brought to the core without a copy, on as many threads as are asked for.

In: any iterable of ``str`` and ``bytes``. Out: the arrays of scikit-learn's matrix.

::

    Arrow columns of strings           read where they lie, from any library
    list, array of objects             ``str`` read where they lie; others by way of the caller
    NumPy's own strings, iterators     made a list of a few megabytes at a time; so are Arrow columns of bytes,
                                       since only the caller knows their encoding

Arrow columns of text as the core reads them: where they lie.

In: any pyarrow array of text. Out: the columns of :mod:`manymill._core`, one a chunk.

Documents as objects of Python, for settings under which Python has to look at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from manymill._core import Hasher, MatrixBuilder, TextColumn, TextSource, take_items
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


def objects(X: Any) -> Iterable[Any]:
    """The documents one after the other; those of pyarrow arrays as ``str`` or ``bytes``.

    Raises
    ------
    RowError
        If there is a null in a pyarrow array.
    """
    if type(X).__module__.partition(".")[0] == "pyarrow" and hasattr(X, "null_count"):
        return (_not_null(i, scalar.as_py()) for i, scalar in enumerate(X))
    documents: Iterable[Any] = X
    return documents


def _not_null(i: int, document: Any) -> Any:
    if document is None:
        raise RowError(f"document {i} is null", hint="fill or drop the nulls first")
    return document


# Text of an iterator that is held at a time: many blocks for each thread, and still little memory.
_PIECE_BYTES = 4 << 20
# As many of NumPy's strings, if each is as long as a short post.
_PIECE_ITEMS = 1 << 13
# Threads, of which each costs memory and time to start: no machine has work for a million.
_MOST_THREADS = 256

Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def matrix(
    hasher: Hasher,
    X: Iterable[Any],
    decoded: Callable[[Any], str],
    *,
    n_features: int,
    alternate_sign: bool,
    binary: bool,
    norm: Literal["l1", "l2"] | None,
    dtype: Literal["float64", "float32"],
    n_jobs: int | None = None,
) -> Arrays:
    """The arrays of scikit-learn's matrix of the documents.

    Parameters
    ----------
    hasher : Hasher
        What is done with them.
    X : iterable of str or bytes
        The documents.
    decoded : callable
        Makes a document that is neither a plain ``str`` nor in an Arrow column a ``str``, or raises. Called from
        several threads if ``n_jobs`` says so.
    n_features, alternate_sign, binary, norm, dtype
        As :meth:`manymill._core.HashedBatch.to_csr` takes them.
    n_jobs : int, optional
        Threads, as joblib counts them: None is one unless its context says otherwise, -1 all processors. It never
        changes a bit of the result.

    Returns
    -------
    data : ndarray of dtype, shape (n_values,)
    indices : ndarray of int32 or int64, shape (n_values,)
    indptr : ndarray of the same type, shape (n_documents + 1,)
        Of length 1 if there is no document.

    Raises
    ------
    Exception
        What ``decoded`` raises for the first document that has an error; its number is a note.
    """
    n_threads = _threads(n_jobs)
    builder = MatrixBuilder(
        hasher,
        n_features,
        alternate_sign=alternate_sign,
        binary=binary,
        norm=norm,
        dtype=dtype,
        n_threads=n_threads,
        n_documents=len(X) if isinstance(X, Sized) else None,
    )
    if n_threads == 1:
        all(map(builder.work, _sources(X, decoded)))
    else:
        _work_side_by_side(builder, _sources(X, decoded), n_threads)
    return builder.finish()


def _threads(n_jobs: int | None) -> int:
    if n_jobs == 1:
        return 1
    # The one that scikit-learn asks: it knows the context, and how many of us stand side by side in it.
    from joblib import effective_n_jobs

    return min(int(effective_n_jobs(n_jobs)), _MOST_THREADS)


def _work_side_by_side(builder: MatrixBuilder, sources: Iterable[TextSource], n_threads: int) -> None:
    # All the work is done by others: this thread must be there for Ctrl-C, and for iterators that know their thread.
    with ThreadPoolExecutor(n_threads, thread_name_prefix="manymill") as crew:
        try:
            for source in sources:
                at_work = [crew.submit(builder.work, source) for _ in range(n_threads)]
                if not all([member.result() for member in at_work]):
                    return
        except BaseException:
            builder.stop()
            raise


def _sources(X: Iterable[Any], decoded: Callable[[Any], str]) -> Iterator[TextSource]:
    column = _arrow_column(X)
    if column is not None:
        yield TextSource.of_columns(text_columns(column))
        return
    X = _of_objects(objects(X))
    if isinstance(X, np.ndarray):
        for start in range(0, len(X), _PIECE_ITEMS):
            yield TextSource.of_items(X[start : start + _PIECE_ITEMS].tolist(), decoded)
    elif type(X) is list:
        yield TextSource.of_items(X, decoded)
    else:
        yield from _pieces(iter(X), decoded)


def _pieces(iterator: Iterator[Any], decoded: Callable[[Any], str]) -> Iterator[TextSource]:
    while True:
        items, error = take_items(iterator, _PIECE_BYTES)
        if items:
            yield TextSource.of_items(items, decoded)
        if error is not None:
            raise error
        if not items:
            return


def _of_objects(X: Iterable[Any]) -> Iterable[Any]:
    """The array of objects or strings behind ``X``, if its items are those that an iteration would give."""
    dtype = getattr(X, "dtype", None)
    if type(X).__module__.partition(".")[0] == "pandas" and getattr(X, "ndim", 0) == 1:
        is_string = getattr(dtype, "kind", "") == "O"  # that of the extension types of strings, too
        X = X.to_numpy() if is_string else X  # type: ignore[attr-defined]
    # Arrays of other classes have items of their own: those of char.array() have no spaces at their end.
    if isinstance(X, np.ndarray) and not (type(X) is np.ndarray and X.ndim == 1 and X.dtype.kind in "OUST"):
        return iter(X)
    return X


def _arrow_column(X: Any) -> Any:
    """The pyarrow column of strings behind ``X``; None if there is none, or none without nulls.

    No library is imported for this but pyarrow, and that only where ``X`` says that it has such a column.
    """
    library = type(X).__module__.partition(".")[0]
    if library == "pyarrow":
        return X if hasattr(X, "null_count") and not is_bytes(X.type) else None
    if not hasattr(X, "__arrow_c_stream__") and not hasattr(X, "__arrow_c_array__"):
        return None
    if library == "pandas" and not _holds_arrow(X):
        return None
    import pyarrow as pa

    try:
        column = pa.chunked_array(X) if hasattr(X, "__arrow_c_stream__") else pa.array(X)
    except (pa.ArrowException, TypeError, ValueError):
        return None
    return column if is_text(column.type) and column.null_count == 0 else None


def _holds_arrow(series: Any) -> bool:
    """Whether a series of pandas has its strings in an Arrow column, rather than to be copied to one."""
    dtype = getattr(series, "dtype", None)
    return getattr(dtype, "storage", None) == "pyarrow" or hasattr(dtype, "pyarrow_dtype")
