"""Which column is the text and which the label, where the user does not say.

In: a few rows of the head. Out: names, and sentences that say what was guessed and how to say it otherwise.

Whether the first row of a CSV file is the header that it is taken for.
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
# Names that are compared with one that is not there: of a wide table all would take minutes.
_COMPARED = 10_000


def choose_columns(
    path: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    asked: ColumnNames,
    *,
    labelled: bool,
) -> tuple[ColumnNames, tuple[str, ...]]:
    """The columns to read, and what was guessed.

    Raises
    ------
    SchemaError
        If a named column is missing, or none can be guessed.
    """
    for column in (asked.text, asked.label, asked.weight):
        if column is not None and column not in columns:
            raise missing_column(path, column, columns)
    notes = []
    text, label = asked.text, asked.label
    taken = {asked.text, asked.label, asked.weight}
    if text is None:
        # A label is no text, however alone it stands.
        labels = {column for column in columns if column.lower() in _LABELS} if labelled else set()
        text = _named(columns, _TEXTS, taken) or _longest(columns, rows, taken | labels)
        if text is None:
            raise SchemaError(
                f"{path}: no column looks like text (has: {listed(columns)})", _missing("text", asked)
            )
        notes.append(f"The text is the column {quoted(text)}; name another with --text (text= in Python).")
    if labelled and label is None:
        label = _named(columns, _LABELS, taken | {text}) or _fewest_values(columns, rows, taken | {text})
        if label is None:
            raise SchemaError(
                f"{path}: no column looks like a label (has: {listed(columns)})", _missing("label", asked)
            )
        notes.append(
            f"The label is the column {quoted(label)}; name another with --label (label= in Python)."
        )
    return ColumnNames(text, label if labelled else None, asked.weight), tuple(notes)


def _missing(role: str, asked: ColumnNames) -> str:
    """How to name a column; one that has another role already is none."""
    roles = {"text": asked.text, "label": asked.label, "weight": asked.weight}
    taken = [f"{quoted(name)} is named as the {other}" for other, name in roles.items() if name is not None]
    return "; ".join([f"name it with {role}=", *taken])


def missing_column(path: str, column: str, columns: Sequence[str]) -> SchemaError:
    """The error of a column that is not there."""
    close = difflib.get_close_matches(column, columns[:_COMPARED], n=1, cutoff=0.5)
    same = [name for name in columns if name.lower() == column.lower()] or close
    hint = f"did you mean {quoted(same[0])}?" if same else "names are case-sensitive"
    return SchemaError(f"column {quoted(column)} not found in {path} (has: {listed(columns)})", hint)


def _named(columns: Sequence[str], names: Sequence[str], taken: set[str | None]) -> str | None:
    # Only those of these names are held: a wide table has a million.
    lower = {
        column.lower(): column
        for column in reversed(columns)
        if column.lower() in names and column not in taken
    }
    return next((lower[name] for name in names if name in lower), None)


def _longest(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], taken: set[str | None]) -> str | None:
    """The column of strings with the longest values."""
    best, most = None, 0
    for column in columns:
        values = [row.get(column) for row in rows]
        total = sum(len(value) for value in values if isinstance(value, str))
        if column not in taken and total > most:
            best, most = column, total
    return best


def _fewest_values(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], taken: set[str | None]
) -> str | None:
    """The column with the fewest distinct values, if they repeat and are more than one."""
    best, fewest = None, max(2, len(rows) // 2) + 1
    for column in columns:
        values = {str(row[column]) for row in rows if isinstance(row.get(column), str | int | float)}
        if column not in taken and 1 < len(values) < fewest:
            best, fewest = column, len(values)
    return best


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
