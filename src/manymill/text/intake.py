"""Documents as users hold them, brought to the core without a copy, on as many threads as are asked for.

In: any iterable of ``str`` and ``bytes``. Out: the arrays of scikit-learn's matrix.

::

    Arrow columns of strings           read where they lie, from any library
    list, array of objects             ``str`` read where they lie; others by way of the caller
    NumPy's own strings, iterators     made a list of a few megabytes at a time; so are Arrow columns of bytes,
                                       since only the caller knows their encoding
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manymill._core import Hasher, MatrixBuilder, TextSource, take_items
from manymill.text.documents import is_bytes, is_text, text_columns
from manymill.text.objects import objects

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
