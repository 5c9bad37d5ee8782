"""Which columns of a table become numbers, and how: chosen on its first rows, the same for every table after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.errors import ModelError, RowError, SchemaError

Kind = Literal["number", "category"]

# Words for a value that is missing, in files of text.
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")

# The code of a category that was not there when codes were given out. A missing value is NaN.
UNSEEN = -1.0

# A column of words with more of them than this, and in more than half of its rows another, is no category.
_FEW = 20
_MOST = 1000
# A table with more columns is described by one list of names: a model may have few lists and objects.
_WIDE = 2000


@dataclass(slots=True)
class Column:
    """A column that becomes numbers.

    Attributes
    ----------
    name : str
    kind : {"number", "category"}
    codes : dict of str to int
        Of the categories: in alphabetical order for those of the first rows, the others as they came.
    """

    name: str
    kind: Kind
    codes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class TableSchema:
    """The columns of a matrix, and what was left out.

    Attributes
    ----------
    columns : list of Column
        In the order of the matrix.
    target : str or None
        The column that is learnt.
    left_out : dict of str to str
        The reason for each column that is not in the matrix.
    max_categories : int
        Of a column; those that come later are all encoded as unseen.
    growing : bool
        Whether categories that were not there yet get a code.
    """

    columns: list[Column]
    target: str | None
    left_out: dict[str, str]
    max_categories: int = _MOST
    growing: bool = False

    @property
    def names(self) -> list[str]:
        """The columns of the matrix."""
        return [column.name for column in self.columns]

    def encode(self, batch: pa.RecordBatch, where: str, first_row: int) -> NDArray[np.float32]:
        """The rows of a batch as numbers, float32 of shape (n_rows, n_columns).

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
            If a value of a column of numbers is none, or too large for float32.
        """
        out = np.empty((batch.num_rows, len(self.columns)), np.float32)
        for place, column in enumerate(self.columns):
            index = batch.schema.get_field_index(column.name)
            if index < 0:
                raise SchemaError(
                    f"{where}: there is no column {column.name!r}",
                    f"it has {', '.join(batch.schema.names)[:200]}",
                )
            values = batch.column(index)
            if column.kind == "number":
                out[:, place] = _numbers(values, column.name, where, first_row)
            else:
                out[:, place] = self._categories(values, column)
        return out

    def _categories(self, values: pa.Array, column: Column) -> NDArray[np.float32]:
        encoded = text_of(values).dictionary_encode()
        table = np.full(len(encoded.dictionary) + 1, np.nan, np.float32)
        for place, word in enumerate(encoded.dictionary.to_pylist()):
            code = column.codes.get(word)
            if code is None and self.growing and len(column.codes) < self.max_categories:
                code = column.codes[word] = len(column.codes)
            table[place] = UNSEEN if code is None else code
        places = np.asarray(pc.fill_null(encoded.indices, len(encoded.dictionary)))
        numbers: NDArray[np.float32] = table[places]
        return numbers

    def to_json(self) -> dict[str, Any]:
        """The schema in JSON."""
        columns: Any = [{"name": c.name, "kind": c.kind, "categories": list(c.codes)} for c in self.columns]
        if len(columns) > _WIDE:
            categories = {c.name: list(c.codes) for c in self.columns if c.kind == "category"}
            columns = {"names": self.names, "categories": categories}
        return {"columns": columns, "target": self.target, "left_out": self.left_out}

    @staticmethod
    def from_json(content: Any) -> TableSchema:
        """A schema of JSON that might come from anyone.

        Raises
        ------
        ModelError
            If it is none.
        """
        try:
            target, left_out = content["target"], dict(content["left_out"])
            entries = content["columns"]
            if isinstance(entries, dict):
                entries = _entries(entries)
            columns = [
                Column(entry["name"], entry["kind"], {word: i for i, word in enumerate(entry["categories"])})
                for entry in entries
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError(f"its columns cannot be read: {error!r}") from None
        fine = target is None or isinstance(target, str)
        for column in columns:
            fine = fine and isinstance(column.name, str) and column.kind in ("number", "category")
            fine = fine and all(isinstance(word, str) for word in column.codes)
        if not fine or not columns or len({column.name for column in columns}) < len(columns):
            raise ModelError("its columns cannot be those of a table")
        return TableSchema(columns, target, left_out)


def _entries(wide: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of a wide table, one by one."""
    names, categories = wide["names"], dict(wide["categories"])
    if not isinstance(names, list) or not categories.keys() <= set(names):
        raise TypeError("its categories are of other columns")
    return [
        {
            "name": name,
            "kind": "category" if name in categories else "number",
            "categories": categories.get(name, ()),
        }
        for name in names
    ]


def may_be_used(type: pa.DataType) -> bool:
    """Whether a column of this type may become numbers."""
    type = type.value_type if pa.types.is_dictionary(type) else type
    return _is_number(type) or _is_string(type)


def _is_number(type: pa.DataType) -> bool:
    return any(is_kind(type) for is_kind in _NUMBERS)


def _is_string(type: pa.DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def text_of(values: pa.Array) -> pa.Array:
    """A column as strings, nulls where a word says that the value is missing."""
    words = values.cast(pa.string())
    return pc.if_else(pc.is_in(words, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), words)


def choose(head: pa.RecordBatch, target: str | None, max_categories: int = _MOST) -> TableSchema:
    """The schema of a table with these first rows.

    Raises
    ------
    SchemaError
        If the target is no column, or none is left to learn from.
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
            words = text_of(head.column(name)).unique().drop_null().to_pylist()
            columns.append(Column(name, kind, {word: code for code, word in enumerate(sorted(words))}))
    if not columns:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise SchemaError(f"no column can be learnt from: {reasons[:300]}", "give numbers or categories")
    return TableSchema(columns, target, left_out, max_categories, growing=True)


_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)


def _kind_of(values: pa.Array, max_categories: int) -> tuple[Kind | None, str]:
    """What a column becomes, or why it is left out."""
    type = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_temporal(type):
        return None, "dates and times are left out"
    if _is_number(type):
        return "number", ""
    if not _is_string(type):
        return None, f"columns of type {type} are left out"
    words = text_of(values).drop_null()
    if not len(words):
        return None, "its first rows hold no value"
    if _is(words, pa.float64()) or set(words.unique().to_pylist()) <= set(_TRUTH):
        return "number", ""
    if _is(words, pa.timestamp("s")) or _is(words, pa.timestamp("ns")) or _is(words, pa.date32()):
        return None, "dates and times are left out"
    n_words = len(words.unique())
    if n_words > max_categories or (n_words > _FEW and 2 * n_words > len(words)):
        return None, f"it has {n_words} different texts in {len(words)} rows: text, or names of rows"
    return "category", ""


def _is(words: pa.Array, type: pa.DataType) -> bool:
    try:
        words.cast(type)
    except pa.ArrowInvalid:
        return False
    return True


_TRUTH: Mapping[str, float] = {
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
        words = text_of(values)
        try:
            values = words.cast(pa.float64())
        except pa.ArrowInvalid:
            values = pa.array(
                [_number(word, name, where, first_row + i) for i, word in enumerate(words.to_pylist())]
            )
    wide = np.asarray(values.cast(pa.float64(), safe=False).fill_null(np.nan), np.float64)
    with np.errstate(over="ignore"):
        numbers = wide.astype(np.float32)
    wrong = np.isinf(numbers)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise RowError(
            f"{where}: row {first_row + row}: {wide[row]} in the column {name!r} is too large for float32",
            "scale the column, or leave the row out",
        )
    return numbers


def _number(word: str | None, name: str, where: str, row: int) -> float | None:
    """A word as a number, where a whole column could not be cast at once."""
    if word is None or word in _TRUTH:
        return None if word is None else _TRUTH[word]
    try:
        return float(word)
    except ValueError:
        raise RowError(
            f"{where}: row {row}: {word[:40]!r} in the column {name!r} is no number",
            "mend the row; a missing value is an empty field",
        ) from None
