"""A table in files as a matrix in a file: read once, in bounded memory, and found again the next time.

::

    files ──► first rows ──► schema ──► blocks ──► numbers ──► columns X and y in a store, named by the files' stamps

A second call for the same files reads nothing and writes nothing.
"""

from __future__ import annotations

import json
import os
import weakref
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.data.column_store import ATTEMPTS, ColumnStore, ColumnWriter, MappedColumns
from manymill.data.dataset import SourceFile
from manymill.data.table.blocks import blocks_of, files_of
from manymill.data.table.schema import TableSchema, choose, text_of
from manymill.errors import RowError, SchemaError, SourceError

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as numbers.

    Attributes
    ----------
    X : ndarray of float32, shape (n_rows, n_columns)
        Mapped from a file, read-only; NaN where a value is missing.
    y : ndarray of shape (n_rows,) or None
        Labels as strings' codes (int64, into `classes`), or float64 values.
    classes : ndarray of str or None
    schema : TableSchema
    n_bad : int
        Rows that were left out, since what is to be learnt was missing.
    bytes_written : int
        0 if the table was there already.
    """

    X: NDArray[np.float32]
    y: NDArray[Any] | None
    classes: NDArray[Any] | None
    schema: TableSchema
    n_bad: int
    bytes_written: int

    @property
    def labels(self) -> NDArray[Any] | None:
        """What is learnt, row by row: labels, or values."""
        return self.y if self.classes is None or self.y is None else self.classes[self.y]


def encode_table(
    dataset: Dataset,
    *,
    task: Task | None = "classification",
    schema: TableSchema | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Table:
    """The rows of a dataset of Parquet or CSV files as numbers.

    Numbers stay as they are; true and false are 1 and 0; words of few kinds become codes; missing values are NaN.
    Dates, texts and names of rows are left out, and the schema says why.

    Parameters
    ----------
    dataset : Dataset
        Its ``label`` is the column to learn, ``classes`` are not heeded.
    task : {"classification", "regression"} or None
        What the column to learn holds; None reads the other columns alone.
    schema : TableSchema, optional
        Of a model, whose columns are to be found again; chosen on the first rows if not given.
    folder : path, optional
        Where tables are kept; ``manymill/tables`` in the user's folder of caches if not given.

    Raises
    ------
    SchemaError
        If there is no such column, or none that can be learnt from.
    SourceError, RowError
        If a file cannot be read, or a row is bad.
    """
    if task is not None and dataset.label is None:
        raise SchemaError("no column to learn is named", "scan(..., label='the column')")
    files = files_of(dataset)
    name = _key(files, dataset, task, schema)
    columns = {"X": np.dtype("<f4"), "y": np.dtype("<f8" if task == "regression" else "<i8")}
    store = ColumnStore("tables", folder)
    written = 0
    for _ in range(ATTEMPTS):
        found = store.find(name, columns)
        if found is not None:
            # The files are in use as long as there is a view of the rows, in this process.
            weakref.finalize(found[0]["X"], store.close)
            return _read(*found, written)
        with store.writing(name, columns) as rows:
            writer = _Writer(rows, dataset, task, schema)
            for file in files:
                writer.add(file)
            writer.end()
        written = rows.n_bytes
    raise SourceError(
        "another process removes the table as soon as it is written",
        "free some room for it, or name another folder",
    )


def _key(files: list[SourceFile], dataset: Dataset, task: Task | None, schema: TableSchema | None) -> str:
    facts = [
        [[os.path.abspath(file.path), file.size, file.stamp, file.url] for file in files],
        dataset.label,
        dataset.format,
        dataset.encoding,
        dataset.strict,
        task,
        None if schema is None else schema.to_json(),
    ]
    return blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


class _Writer:
    """Rows on their way into two columns, block by block."""

    def __init__(
        self, columns: ColumnWriter, dataset: Dataset, task: Task | None, schema: TableSchema | None
    ) -> None:
        self._columns = columns
        self._dataset, self._task, self._schema = dataset, task, schema
        self._codes: dict[str, int] = {}
        self._n_rows = self._n_bad = 0

    def add(self, file: SourceFile) -> None:
        """All rows of a file."""
        row = 1
        for batch in blocks_of(file, self._dataset):
            if self._schema is None:
                self._schema = choose(batch, self._dataset.label if self._task else None)
            if self._task is not None:
                kept = self._targets(batch, file.path, row)
                if not kept.all():
                    self._n_bad += int((~kept).sum())
                    numbers = self._schema.encode(batch, file.path, row)[kept]
                else:
                    numbers = self._schema.encode(batch, file.path, row)
            else:
                numbers = self._schema.encode(batch, file.path, row)
            self._columns.append("X", numbers)
            self._n_rows += len(numbers)
            row += batch.num_rows

    def _targets(self, batch: pa.RecordBatch, path: str, row: int) -> NDArray[np.bool_]:
        """Write what is learnt from the rows; gives those that have it."""
        name = self._dataset.label
        place = batch.schema.get_field_index(name)
        if place < 0:
            raise SchemaError(
                f"{path}: there is no column {name!r}", f"it has {', '.join(batch.schema.names)[:200]}"
            )
        words = text_of(batch.column(place))
        kept = np.asarray(pc.is_valid(words))
        if self._dataset.strict and not kept.all():
            raise RowError(f"{path}: row {row + int(np.argmin(kept))}: {name!r} is missing", "mend the row")
        words = words.drop_null()
        if self._task == "classification":
            found = words.dictionary_encode()
            codes = [self._codes.setdefault(word, len(self._codes)) for word in found.dictionary.to_pylist()]
            values: NDArray[Any] = np.array(codes, "<i8")[np.asarray(found.indices)]
        else:
            values = self._values(words, path, row + np.flatnonzero(kept))
        self._columns.append("y", values)
        return kept

    def _values(self, words: pa.Array, path: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.empty(len(words), "<f8")
        for place, word in enumerate(words.to_pylist()):
            try:
                out[place] = float(word)
            except ValueError:
                out[place] = np.nan
            if not np.isfinite(out[place]):
                raise RowError(
                    f"{path}: row {rows[place]}: {word[:40]!r} in the column {self._dataset.label!r} is no number",
                    "mend the row, or learn classes",
                )
        return out

    def end(self) -> None:
        """Tell what is to be known of the columns."""
        if self._schema is None or not self._n_rows:
            raise SourceError("the table has no rows to learn from", "name other files")
        names = sorted(self._codes)
        self._columns.about.update(
            schema=self._schema.to_json(),
            n_rows=self._n_rows,
            classes=names,
            order=[self._codes[name] for name in names],
            n_bad=self._n_bad,
            task=self._task,
        )


def _read(columns: MappedColumns, facts: dict[str, Any], written: int) -> Table:
    schema = TableSchema.from_json(facts["schema"])
    X = columns["X"].reshape(facts["n_rows"], len(schema.columns))
    y = None if facts["task"] is None else columns["y"]
    classes = None
    if facts["task"] == "classification":
        # Codes were given out in the order of rows; labels stand in alphabetical order.
        rank = np.empty(len(facts["order"]), np.int64)
        rank[facts["order"]] = np.arange(len(rank))
        y, classes = rank[columns["y"]], np.array(facts["classes"])
    return Table(X, y, classes, schema, facts["n_bad"], written)
