"""Documents as users hold them, brought to the core with the errors that scikit-learn's users know.

In: any iterable of ``str`` and ``bytes``. Out: one hashed batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from manymill._core import HashedBatch, Hasher
from manymill.text.documents import arrow_documents


def hashed(
    hasher: Hasher, X: Iterable[Any], decoded: Callable[[Any], str], *, n_jobs: int = 1
) -> HashedBatch:
    """The hashed batch of the documents.

    Parameters
    ----------
    hasher : Hasher
        What is done with them.
    X : iterable of str or bytes
        The documents; pyarrow's strings, and those of a series that holds such, are read in place.
    decoded : callable
        Makes a document that is not in an Arrow column a ``str``, or raises.
    n_jobs : int
        Threads; the batch is the same for any number of them.

    Raises
    ------
    ValueError
        If there is no document.
    """
    column = _arrow_column(X)
    if column is None:
        documents = [decoded(document) for document in X]
        if not documents:
            raise ValueError("Cannot vectorize empty sequence.")
        return hasher.hash_strings(documents)
    chunks = arrow_documents(column)
    lengths = [len(offsets) - 1 for _, offsets in chunks]
    chunk_of = np.repeat(np.arange(len(chunks), dtype=np.uint32), lengths)
    row_of = np.concatenate([np.arange(length, dtype=np.uint32) for length in lengths])
    return hasher.hash_utf8(chunks, chunk_of, row_of)


def _arrow_column(X: Any) -> Any:
    """The pyarrow column behind ``X``; None if there is none, or none without nulls.

    No library is imported for this: who has a series has imported its library.
    """
    library = type(X).__module__.partition(".")[0]
    if library == "pyarrow" and hasattr(X, "null_count"):
        return X
    if library == "pandas" and str(getattr(X.dtype, "storage", "")) == "pyarrow" and not X.hasnans:
        return X.array.__arrow_array__()
    if library == "polars" and str(getattr(X, "dtype", "")) == "String" and X.null_count() == 0:
        return X.to_arrow()
    return None
