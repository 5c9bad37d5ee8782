"""Hash documents of any iterable to the arrays of scikit-learn's matrix, on several threads, if possible in place.

::

    Arrow columns of strings           read in place, from any library
    lists, arrays of objects           ``str`` read in place; other objects are decoded by the caller's function
    NumPy string arrays, iterators,    converted to lists of a few megabytes at a time
    Arrow columns of bytes
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

# Bytes of one element of an Arrow view array.
_VIEW_BYTES = 16


def text_columns(array: pa.Array | pa.ChunkedArray) -> list[TextColumn]:
    """Convert the chunks of a pyarrow column of text to columns of the core.

    ``string``, ``large_string`` and ``string_view`` are read in place; the indices of dictionaries are copied unless
    they are ``uint32``.

    Parameters
    ----------
    array : pyarrow.Array or pyarrow.ChunkedArray
        Text; may be a slice.

    Returns
    -------
    list of TextColumn
        One per chunk.

    Raises
    ------
    SchemaError
        If the array is not text.
    RowError
        If there is a null; the message has the index of the first one.
    """
    import pyarrow as pa

    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    first, columns = 0, []
    for chunk in chunks:
        if chunk.null_count:
            nulls = chunk.is_null().to_numpy(zero_copy_only=False)
            raise _null_error(first + int(np.flatnonzero(nulls)[0]))
        columns.append(_column(chunk, first))
        first += len(chunk)
    if not is_text(array.type):
        raise SchemaError(f"the column has type {array.type}, not string", hint="use a column of strings")
    return columns


def is_text(kind: Any) -> bool:
    """Whether a pyarrow type is text: strings, or dictionaries of strings."""
    import pyarrow as pa

    types, kind = pa.types, _value_type(kind)
    return any(
        is_kind(kind)
        for is_kind in (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    )


def is_bytes(kind: Any) -> bool:
    """Whether a pyarrow type is bytes, or dictionaries of bytes: text that must be decoded first."""
    import pyarrow as pa

    types, kind = pa.types, _value_type(kind)
    return any(
        is_kind(kind)
        for is_kind in (
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
            types.is_fixed_size_binary,
        )
    )


def _value_type(kind: Any) -> Any:
    """The type of the values of extension types and dictionaries."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _value_type(kind.storage_type)
    return _value_type(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _column(chunk: Any, first: int) -> TextColumn:
    """Convert a chunk without nulls, except maybe in its dictionary."""
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
            raise _null_error(first + int(to_null[0]))
        values = values.fill_null("")
    return _column(values, first).taken(rows.astype(np.uint32, copy=False))


def _bytes(buffer: Any, count: int = -1, offset: int = 0) -> NDArray[np.uint8]:
    if buffer is None or len(buffer) == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer(buffer, np.uint8, count, offset)


def _null_error(index: int) -> RowError:
    return RowError(f"document {index} is null", hint="fill or drop the nulls first")


def iterate_documents(X: Any) -> Iterable[Any]:
    """Iterate over documents as Python objects; those of pyarrow arrays as ``str`` or ``bytes``.

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
        raise _null_error(i)
    return document


# Text of an iterator in memory at a time: many blocks for each thread, and still little memory.
_PIECE_BYTES = 4 << 20
# About as much as a number of strings of a NumPy array, if each is as long as a short post.
_PIECE_ITEMS = 1 << 13
# Limit of threads, since each costs memory and time to start.
_MAX_THREADS = 256

# The data, indices and indptr of a CSR matrix.
CsrArrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def matrix_arrays(
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
) -> CsrArrays:
    """Hash documents to the arrays of scikit-learn's sparse matrix.

    Parameters
    ----------
    hasher : Hasher
        Analyzes and hashes the documents.
    X : iterable of str or bytes
        The documents.
    decoded : callable
        Converts a document that is neither a plain ``str`` nor in an Arrow column to a ``str``, or raises. Called
        from several threads if ``n_jobs`` allows several.
    n_features, alternate_sign, binary, norm, dtype
        Parameters of :meth:`manymill._core.HashedBatch.to_csr`.
    n_jobs : int, optional
        Number of threads, with joblib's meaning: None is 1 unless in a ``joblib.parallel_config``, -1 is all
        processors. It never changes the result.

    Returns
    -------
    data : ndarray of dtype, shape (n_values,)
    indices : ndarray of int32 or int64, shape (n_values,)
    indptr : ndarray of the same type, shape (n_documents + 1,)
        Of length 1 if there are no documents.

    Raises
    ------
    Exception
        The error of ``decoded`` for the first document with an error; its index is added as a note.
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
        _build_in_threads(builder, _sources(X, decoded), n_threads)
    return builder.finish()


def _threads(n_jobs: int | None) -> int:
    if n_jobs == 1:
        return 1
    # The function of scikit-learn: it respects joblib's context and nested parallelism.
    from joblib import effective_n_jobs

    return min(int(effective_n_jobs(n_jobs)), _MAX_THREADS)


def _build_in_threads(builder: MatrixBuilder, sources: Iterable[TextSource], n_threads: int) -> None:
    # This thread does not hash: it handles Ctrl-C, and advances iterators that must stay in their thread.
    with ThreadPoolExecutor(n_threads, thread_name_prefix="manymill") as pool:
        try:
            for source in sources:
                futures = [pool.submit(builder.work, source) for _ in range(n_threads)]
                if not all([future.result() for future in futures]):
                    return
        except BaseException:
            builder.stop()
            raise


def _sources(X: Iterable[Any], decoded: Callable[[Any], str]) -> Iterator[TextSource]:
    column = _arrow_column(X)
    if column is not None:
        yield TextSource.of_columns(text_columns(column))
        return
    X = _unwrapped(iterate_documents(X))
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


def _unwrapped(X: Iterable[Any]) -> Iterable[Any]:
    """The array of objects or strings behind ``X``, if its items are those of an iteration over ``X``."""
    dtype = getattr(X, "dtype", None)
    if type(X).__module__.partition(".")[0] == "pandas" and getattr(X, "ndim", 0) == 1:
        is_string = getattr(dtype, "kind", "") == "O"  # also for extension types of strings
        X = X.to_numpy() if is_string else X  # type: ignore[attr-defined]
    # Subclasses may change their items: those of char.array() lose trailing spaces.
    if isinstance(X, np.ndarray) and not (type(X) is np.ndarray and X.ndim == 1 and X.dtype.kind in "OUST"):
        return iter(X)
    return X


def _arrow_column(X: Any) -> Any:
    """The pyarrow column of strings behind ``X``; None if there is none, or it has nulls.

    Imports no library except pyarrow, and that only if ``X`` has an Arrow interface.
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
    """Whether a pandas series stores its strings in an Arrow column, so that no copy is needed."""
    dtype = getattr(series, "dtype", None)
    return getattr(dtype, "storage", None) == "pyarrow" or hasattr(dtype, "pyarrow_dtype")
