"""Infer the text and label columns from the first rows of a file, and validate CSV headers.

Every inferred choice comes with a note for the user that says what was chosen and how to override it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from manymill.data.dataset import ColumnNames
from manymill.display import listed, quoted
from manymill.errors import SchemaError

_TEXTS = (
    "text", "body", "content", "review", "review_text", "reviewtext", "message", "comment", "document",
    "sentence", "tweet", "post", "description", "title",
)  # fmt: skip
_LABELS = (
    "label", "labels", "class", "category", "target", "stars", "rating", "sentiment", "y", "overall", "score",
    "polarity", "topic", "section", "tag", "subreddit",
)  # fmt: skip
# Names compared with a missing one for a suggestion: comparing all names of a wide table would take minutes.
_MAX_COMPARED = 10_000


def choose_columns(
    path: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    requested: ColumnNames,
    *,
    labelled: bool,
) -> tuple[ColumnNames, tuple[str, ...]]:
    """The columns to read, and a note for each that was inferred.

    Raises
    ------
    SchemaError
        If a named column is missing, or a column cannot be inferred.
    """
    for column in (requested.text, requested.label, requested.weight):
        if column is not None and column not in columns:
            raise missing_column(path, column, columns)
    notes = []
    text, label = requested.text, requested.label
    assigned = {requested.text, requested.label, requested.weight}
    if text is None:
        # A column named like a label is never the text, even if it is the only column of strings.
        labels = {column for column in columns if column.lower() in _LABELS} if labelled else set()
        text = _named(columns, _TEXTS, assigned) or _longest(columns, rows, assigned | labels)
        if text is None:
            raise SchemaError(
                f"{path}: no column looks like text (has: {listed(columns)})", _role_hint("text", requested)
            )
        notes.append(
            f"Using column {quoted(text)} as the text; choose another with --text (text= in Python)."
        )
    if labelled and label is None:
        label = _named(columns, _LABELS, assigned | {text}) or _fewest_values(
            columns, rows, assigned | {text}
        )
        if label is None:
            raise SchemaError(
                f"{path}: no column looks like a label (has: {listed(columns)})",
                _role_hint("label", requested),
            )
        notes.append(
            f"Using column {quoted(label)} as the label; choose another with --label (label= in Python)."
        )
    return ColumnNames(text, label if labelled else None, requested.weight), tuple(notes)


def _role_hint(role: str, requested: ColumnNames) -> str:
    """How to set a column, and which columns already have another role."""
    roles = {"text": requested.text, "label": requested.label, "weight": requested.weight}
    assigned = [
        f"column {quoted(name)} is already the {other}" for other, name in roles.items() if name is not None
    ]
    return "; ".join([f"set it with --{role} ({role}= in Python)", *assigned])


def missing_column(path: str, column: str, columns: Sequence[str]) -> SchemaError:
    """The error for a missing column, with the closest name as a suggestion."""
    close = difflib.get_close_matches(column, columns[:_MAX_COMPARED], n=1, cutoff=0.5)
    same = [name for name in columns if name.lower() == column.lower()] or close
    hint = f"did you mean {quoted(same[0])}?" if same else "names are case-sensitive"
    return SchemaError(f"column {quoted(column)} not found in {path} (has: {listed(columns)})", hint)


def _named(columns: Sequence[str], names: Sequence[str], assigned: set[str | None]) -> str | None:
    # The dictionary holds only candidates: a wide table may have a million columns.
    lower = {
        column.lower(): column
        for column in reversed(columns)
        if column.lower() in names and column not in assigned
    }
    return next((lower[name] for name in names if name in lower), None)


def _longest(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], assigned: set[str | None]
) -> str | None:
    """The column of strings with the longest values."""
    best, most = None, 0
    for column in columns:
        values = [row.get(column) for row in rows]
        total = sum(len(value) for value in values if isinstance(value, str))
        if column not in assigned and total > most:
            best, most = column, total
    return best


def _fewest_values(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], assigned: set[str | None]
) -> str | None:
    """The column with the fewest distinct values, if it has at least two and some repeat."""
    best, fewest = None, max(2, len(rows) // 2) + 1
    for column in columns:
        values = {str(row[column]) for row in rows if isinstance(row.get(column), str | int | float)}
        if column not in assigned and 1 < len(values) < fewest:
            best, fewest = column, len(values)
    return best


# With fewer rows the values of a column are not typical enough to judge the header.
_LEAST_ROWS = 3


def header_doubt(
    path: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], requested: ColumnNames
) -> tuple[str, ...]:
    """A note if the header looks like a data row; empty if the user named columns of that header.

    It looks like a data row if it has a number above a column of numbers, or a value that occurs in its own column.
    """
    # Concatenated files repeat their header: such rows are ignored.
    rows = [row for row in rows if any(row.get(column) != column for column in columns)]
    if requested.text or requested.label or len(rows) < _LEAST_ROWS:
        return ()
    for column in columns:
        values = [row.get(column, "") for row in rows]
        numbers = _is_number(column) and all(_is_number(value) for value in values)
        if numbers or (column and column in values):
            return (
                f"The first row of {path} is used as the header but looks like a data row; for a file without a "
                "header, name the columns by number (--text 0 --label 1).",
            )
    return ()


def check_header_end(path: str, head: bytes, in_quotes: bool, max_record_bytes: int) -> None:
    """Reject a header that does not end.

    Parameters
    ----------
    path : str
    head : bytes
        The beginning of the file, in which the header does not end.
    in_quotes : bool
        Whether a quoted field is still open at the end of ``head``.
    max_record_bytes : int
        The longest record allowed.

    Raises
    ------
    SchemaError
        Unless the file consists of the header only.
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
            "allow longer records with --max-record (max_record_bytes= in Python), or set the format",
        )


def refuse_other_delimiter(path: str, columns: Sequence[str]) -> None:
    """Reject a file whose header is a single column that contains another delimiter.

    Raises
    ------
    SchemaError
        With a hint how to convert or read the file.
    """
    for delimiter, name in ((";", "semicolons"), ("|", "bars"), ("\t", "tabs")):
        if len(columns) == 1 and delimiter in columns[0]:
            how = "rewrite it with commas, for example with Python's csv module"
            if name == "tabs":
                how = "set the format to tsv"
            raise SchemaError(f"{path}: the fields are separated by {name}, not by commas", how)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
