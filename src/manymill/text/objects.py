"""Documents as objects of Python, for settings under which Python has to look at them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from manymill.errors import RowError


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
