"""Documents that are in memory, and streams of documents cut into lists: what is worked on at once is bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from manymill.errors import RowError

_LIBRARIES = ("numpy", "pandas", "polars", "pyarrow")

# Of a list this long, fixed costs are less than 1 %, and all threads have something to do.
_CHARACTERS = 1 << 22
_DOCUMENTS = 1 << 14


def held(X: Any) -> bool:
    """Whether these documents lie in memory already, so that nothing is won by taking them in turns."""
    column = _library(X) in _LIBRARIES and hasattr(X, "__len__") and getattr(X, "ndim", 1) == 1
    return column or isinstance(X, list | tuple)


def stream(X: Any) -> Iterable[Any]:
    """The documents as Python objects.

    Raises
    ------
    RowError
        If there is a null in a pyarrow array.
    """
    if _library(X) == "pyarrow" and hasattr(X, "null_count"):
        return (_not_null(i, scalar.as_py()) for i, scalar in enumerate(X))
    documents: Iterable[Any] = X
    return documents


def blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of the texts, in order; what comes before an error is given before the error is raised."""
    block: list[str] = []
    characters = 0
    failure: Exception | None = None
    try:
        for text in texts:
            block.append(text)
            characters += len(text)
            if characters >= _CHARACTERS or len(block) >= _DOCUMENTS:
                yield block
                block, characters = [], 0
    except Exception as error:
        failure = error
    if block:
        yield block
    if failure is not None:
        raise failure


def _library(X: Any) -> str:
    return type(X).__module__.partition(".")[0]


def _not_null(i: int, document: Any) -> Any:
    if document is None:
        raise RowError(f"document {i} is null", hint="fill or drop the nulls first")
    return document
