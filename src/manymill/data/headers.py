"""Whether the first row of a CSV file is the header that it is taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manymill.data.plan import ColumnNames
from manymill.display import quoted
from manymill.errors import SchemaError

# Fewer rows do not show what the values of a column are.
_LEAST_ROWS = 3


def header_doubt(
    path: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], asked: ColumnNames
) -> tuple[str, ...]:
    """A sentence where the header looks like one more row; nothing where a column is named after it.

    It does where it has a number above a column of numbers, or a value that its own column has again.
    """
    # Files that were joined repeat their header: such rows say nothing.
    rows = [row for row in rows if any(row.get(column) != column for column in columns)]
    if asked.text or asked.label or len(rows) < _LEAST_ROWS:
        return ()
    for column in columns:
        values = [row.get(column, "") for row in rows]
        numbers = _is_number(column) and all(_is_number(value) for value in values)
        if numbers or (column and column in values):
            return (
                f"The first row of {path} was taken as the header, but looks like the others: for a file without "
                "a header name the columns by number (--text 0 --label 1).",
            )
    return ()


def check_header_end(path: str, head: bytes, in_quotes: bool, max_record_bytes: int) -> None:
    """Refuse a header that has no end.

    Parameters
    ----------
    path : str
    head : bytes
        The beginning of the file, in which the header does not end.
    in_quotes : bool
        Whether it stands inside quotes at its end.
    max_record_bytes : int
        The length that a record may have.

    Raises
    ------
    SchemaError
        Unless the header is all of the file.
    """
    beginning = quoted(head[:60].decode("utf-8", "replace"))
    if in_quotes:
        raise SchemaError(
            f"{path}: a quote in the header is never closed (the file begins with {beginning} …)",
            "close it, or double a quote that is part of a value",
        )
    if len(head) > max_record_bytes:
        raise SchemaError(
            f"{path}: the header is longer than {max_record_bytes:,} bytes (it begins with {beginning} …)",
            "allow longer records with --max-record (max_record_bytes= in Python), or name the format",
        )


def refuse_other_delimiter(path: str, columns: Sequence[str]) -> None:
    """Refuse a file whose header is one column that holds another delimiter.

    Raises
    ------
    SchemaError
        With the way to a file that can be read.
    """
    for delimiter, name in ((";", "semicolons"), ("|", "bars"), ("\t", "tabs")):
        if len(columns) == 1 and delimiter in columns[0]:
            how = "rewrite it with commas, for example with Python's csv module"
            if name == "tabs":
                how = "name the format tsv"
            raise SchemaError(f"{path}: the fields are separated by {name}, not by commas", how)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
