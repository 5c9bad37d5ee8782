"""Schema of a table: which columns become numbers and how, inferred from the first rows and reused by the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.data.memory import is_text
from manymill.errors import ModelError, RowError, SchemaError

ColumnKind = Literal["number", "category"]

# Strings that mark a missing value in text files.
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")

# The code of an unknown category. A missing value is NaN.
UNSEEN = -1.0

# A column of strings with more distinct values than this is a category only if each has two rows on average.
_FEW_CATEGORIES = 20
_MAX_CATEGORIES = 1000
# The columns of a wider table are saved as one list of names, since model files limit the number of objects.
_WIDE = 2000


@dataclass(slots=True)
class Column:
    """A column of the matrix.

    Attributes
    ----------
    name : str
    kind : {"number", "category"}
    codes : dict of str to int
        Codes of the categories: those of the first rows in sorted order, then the others in order of occurrence.
    """

    name: str
    kind: ColumnKind
    codes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class TableSchema:
    """The columns of a matrix, and the columns left out.

    Attributes
    ----------
    columns : list of Column
        In the order of the matrix.
    target : str or None
        The target column.
    left_out : dict of str to str
        The reason for each column that is not in the matrix.
    max_categories : int
        Limit per column; further categories are encoded as unseen.
    growing : bool
        Whether new categories get a code.
    """

    columns: list[Column]
    target: str | None
    left_out: dict[str, str]
    max_categories: int = _MAX_CATEGORIES
    growing: bool = False

    @property
    def names(self) -> list[str]:
        """The columns of the matrix."""
        return [column.name for column in self.columns]

    def encode(self, batch: pa.RecordBatch, where: str, first_row: int) -> NDArray[np.float32]:
        """Encode the rows of a batch as float32 numbers of shape (n_rows, n_columns).

        Parameters
        ----------
        batch : RecordBatch
        where : str
            The file, for errors.
        first_row : int
            The number in the file of the batch's first row, from 1.

        Raises
        ------
        SchemaError
            If a column is missing.
        RowError
            If a value of a numeric column is not a number, or too large for float32.
        """
        out = np.empty((batch.num_rows, len(self.columns)), np.float32)
        for j, column in enumerate(self.columns):
            values = column_of(batch, column.name, where)
            if column.kind == "number":
                out[:, j] = _numbers(values, column.name, where, first_row)
            else:
                out[:, j] = self._encode_categories(values, column)
        return out

    def _encode_categories(self, values: pa.Array, column: Column) -> NDArray[np.float32]:
        encoded = as_strings(values).dictionary_encode()
        code_of = np.full(
            len(encoded.dictionary) + 1, np.nan, np.float32
        )  # the last one is for missing values
        for i, category in enumerate(encoded.dictionary.to_pylist()):
            code = column.codes.get(category)
            if code is None and self.growing and len(column.codes) < self.max_categories:
                code = column.codes[category] = len(column.codes)
            code_of[i] = UNSEEN if code is None else code
        indices = np.asarray(pc.fill_null(encoded.indices, len(encoded.dictionary)))
        numbers: NDArray[np.float32] = code_of[indices]
        return numbers

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON types."""
        columns: Any = [{"name": c.name, "kind": c.kind, "categories": list(c.codes)} for c in self.columns]
        if len(columns) > _WIDE:
            categories = {c.name: list(c.codes) for c in self.columns if c.kind == "category"}
            columns = {"names": self.names, "categories": categories}
        return {"columns": columns, "target": self.target, "left_out": self.left_out}

    @staticmethod
    def from_json(content: Any) -> TableSchema:
        """Restore a schema from untrusted JSON.

        Raises
        ------
        ModelError
            If it is not a valid schema.
        """
        try:
            target, left_out = content["target"], dict(content["left_out"])
            entries = content["columns"]
            if isinstance(entries, dict):
                entries = _entries(entries)
            columns = [
                Column(entry["name"], entry["kind"], {name: i for i, name in enumerate(entry["categories"])})
                for entry in entries
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError(f"its columns cannot be read: {error!r}") from None
        valid = target is None or isinstance(target, str)
        for column in columns:
            valid = valid and isinstance(column.name, str) and column.kind in ("number", "category")
            valid = valid and all(isinstance(name, str) for name in column.codes)
        if not valid or not columns or len({column.name for column in columns}) < len(columns):
            raise ModelError("its columns are not valid columns of a table")
        return TableSchema(columns, target, left_out)


def column_of(batch: pa.RecordBatch, name: str, path: str) -> pa.Array:
    """A column of a batch.

    Raises
    ------
    SchemaError
        If it is missing.
    """
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise SchemaError(
            f"{path}: there is no column {name!r}", f"it has {', '.join(batch.schema.names)[:200]}"
        )
    return batch.column(index)


def _entries(wide: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Expand the column list of a wide table to one entry per column."""
    names, categories = wide["names"], dict(wide["categories"])
    if not isinstance(names, list) or not categories.keys() <= set(names):
        raise TypeError("it has categories of unknown columns")
    return [
        {
            "name": name,
            "kind": "category" if name in categories else "number",
            "categories": categories.get(name, ()),
        }
        for name in names
    ]


def is_usable(type: pa.DataType) -> bool:
    """Whether a column of this type can be encoded."""
    type = type.value_type if pa.types.is_dictionary(type) else type
    return _is_number(type) or is_text(type)


def _is_number(type: pa.DataType) -> bool:
    return any(is_kind(type) for is_kind in _NUMBERS)


def as_strings(values: pa.Array) -> pa.Array:
    """Convert a column to strings, with nulls for the strings that mark a missing value."""
    strings = values.cast(pa.string())
    return pc.if_else(pc.is_in(strings, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), strings)


def choose_schema(
    head: pa.RecordBatch, target: str | None, max_categories: int = _MAX_CATEGORIES
) -> TableSchema:
    """Infer the schema of a table from its first rows.

    Raises
    ------
    SchemaError
        If the target column is missing, or no column can be encoded.
    """
    names = head.schema.names
    if target is not None and target not in names:
        raise SchemaError(f"there is no column {target!r}", f"the table has {', '.join(names)[:200]}")
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for name in names:
        if name == target:
            continue
        kind, reason = _kind_of(head.column(name), max_categories)
        if kind is None:
            left_out[name] = reason
        elif kind == "number":
            columns.append(Column(name, kind))
        else:
            categories = as_strings(head.column(name)).unique().drop_null().to_pylist()
            columns.append(Column(name, kind, {word: code for code, word in enumerate(sorted(categories))}))
    if not columns:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise SchemaError(f"no column is usable as a feature: {reasons[:300]}", "add numbers or categories")
    return TableSchema(columns, target, left_out, max_categories, growing=True)


_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)


def _kind_of(values: pa.Array, max_categories: int) -> tuple[ColumnKind | None, str]:
    """The kind of a column, or None and the reason why it is left out."""
    type = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_temporal(type):
        return None, "dates and times are left out"
    if _is_number(type):
        return "number", ""
    if not is_text(type):
        return None, f"columns of type {type} are left out"
    strings = as_strings(values).drop_null()
    if not len(strings):
        return None, "its first rows hold no value"
    if _can_cast(strings, pa.float64()) or set(strings.unique().to_pylist()) <= set(_BOOLEANS):
        return "number", ""
    if any(_can_cast(strings, type) for type in (pa.timestamp("s"), pa.timestamp("ns"), pa.date32())):
        return None, "dates and times are left out"
    n_distinct = len(strings.unique())
    if n_distinct > max_categories or (n_distinct > _FEW_CATEGORIES and 2 * n_distinct > len(strings)):
        return None, f"it has {n_distinct} different texts in {len(strings)} rows: text, or names of rows"
    return "category", ""


def _can_cast(strings: pa.Array, type: pa.DataType) -> bool:
    try:
        strings.cast(type)
    except pa.ArrowInvalid:
        return False
    return True


_BOOLEANS: Mapping[str, float] = {
    "true": 1.0,
    "false": 0.0,
    "True": 1.0,
    "False": 0.0,
    "TRUE": 1.0,
    "FALSE": 0.0,
}


def _numbers(values: pa.Array, name: str, where: str, first_row: int) -> NDArray[np.float32]:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        strings = as_strings(values)
        try:
            values = strings.cast(pa.float64())
        except pa.ArrowInvalid:
            values = pa.array(
                [_number(value, name, where, first_row + i) for i, value in enumerate(strings.to_pylist())]
            )
    wide = np.asarray(values.cast(pa.float64(), safe=False).fill_null(np.nan), np.float64)
    with np.errstate(over="ignore"):
        numbers = wide.astype(np.float32)
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise RowError(
            f"{where}: row {first_row + row}: {wide[row]} in the column {name!r} is too large for float32",
            "scale the column, or remove the row",
        )
    return numbers


def _number(value: str | None, name: str, where: str, row: int) -> float | None:
    """Parse a single value of a column that Arrow cannot cast."""
    if value is None or value in _BOOLEANS:
        return None if value is None else _BOOLEANS[value]
    try:
        return float(value)
    except ValueError:
        raise RowError(
            f"{where}: row {row}: {value[:40]!r} in the column {name!r} is not a number",
            "fix the row; leave the field empty for a missing value",
        ) from None
