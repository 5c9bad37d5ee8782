"""Encode a table in files as a cached, memory-mapped matrix, in bounded memory.

::

    files ──► first rows ──► schema ──► batches ──► numbers ──► cached columns X and y, named by the files' stamps

A second call for the same files neither reads nor writes the data.
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
from manymill.data.table.blocks import table_batches, table_files
from manymill.data.table.schema import TableSchema, as_strings, choose_schema, column_of
from manymill.errors import RowError, SchemaError, SourceError

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset

TargetKind = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as numbers.

    Attributes
    ----------
    X : ndarray of float32, shape (n_rows, n_columns)
        Mapped from a file, read-only; NaN where a value is missing.
    y : ndarray of shape (n_rows,) or None
        Label codes (int64, indices into `classes`), or float64 values.
    classes : ndarray of str or None
    schema : TableSchema
    n_bad : int
        Rows left out because the target is missing.
    bytes_written : int
        0 if the table was cached.
    """

    X: NDArray[np.float32]
    y: NDArray[Any] | None
    classes: NDArray[Any] | None
    schema: TableSchema
    n_bad: int
    bytes_written: int

    @property
    def labels(self) -> NDArray[Any] | None:
        """The target of each row: labels, or values."""
        return self.y if self.classes is None or self.y is None else self.classes[self.y]


def encode_table(
    dataset: Dataset,
    *,
    task: TargetKind | None = "classification",
    schema: TableSchema | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Table:
    """Encode the rows of Parquet or CSV files as numbers.

    Numbers are unchanged; true and false become 1 and 0; strings with few distinct values become category codes;
    missing values become NaN. Dates, texts and row names are left out; the schema has the reasons.

    Parameters
    ----------
    dataset : Dataset
        Its ``label`` is the target column; ``classes`` is ignored.
    task : {"classification", "regression"} or None
        Kind of the target column; None if the target is not read.
    schema : TableSchema, optional
        Schema of a model; by default inferred from the first rows.
    folder : path, optional
        Cache folder; by default ``manymill/tables`` in the user's cache folder.

    Raises
    ------
    SchemaError
        If a column is missing, or no column can be encoded.
    SourceError, RowError
        If a file cannot be read, or a row is bad.
    """
    if task is not None and dataset.label is None:
        raise SchemaError("the target column is not set", "set it with --label (label= in Python)")
    files = table_files(dataset)
    name = _key(files, dataset, task, schema)
    columns = {"X": np.dtype("<f4"), "y": np.dtype("<f8" if task == "regression" else "<i8")}
    store = ColumnStore("tables", folder)
    written = 0
    for _ in range(ATTEMPTS):
        found = store.find(name, columns)
        if found is not None:
            # The entry stays in use as long as this process has a view of the rows.
            weakref.finalize(found[0]["X"], store.close)
            return _read(*found, written)
        with store.writing(name, columns) as rows:
            writer = _TableWriter(rows, dataset, task, schema)
            for file in files:
                writer.add(file)
            writer.finish()
        written = rows.n_bytes
    raise SourceError(
        "another process removes the cached table as soon as it is written",
        "free some disk space, or choose another cache folder",
    )


def _key(
    files: list[SourceFile], dataset: Dataset, task: TargetKind | None, schema: TableSchema | None
) -> str:
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


class _TableWriter:
    """Encoder that appends the rows of files to the cached columns, batch by batch."""

    def __init__(
        self, columns: ColumnWriter, dataset: Dataset, task: TargetKind | None, schema: TableSchema | None
    ) -> None:
        self._columns = columns
        self._dataset, self._task, self._schema = dataset, task, schema
        self._codes: dict[str, int] = {}
        self._n_rows = self._n_bad = 0

    def add(self, file: SourceFile) -> None:
        """Encode all rows of a file."""
        row = 1
        for batch in table_batches(file, self._dataset):
            if self._schema is None:
                self._schema = choose_schema(batch, self._dataset.label if self._task else None)
            has_target = None if self._task is None else self._write_targets(batch, file.path, row)
            numbers = self._schema.encode(batch, file.path, row)
            if has_target is not None and not has_target.all():
                self._n_bad += int((~has_target).sum())
                numbers = numbers[has_target]
            self._columns.append("X", numbers)
            self._n_rows += len(numbers)
            row += batch.num_rows

    def _write_targets(self, batch: pa.RecordBatch, path: str, row: int) -> NDArray[np.bool_]:
        """Append the targets of the rows; gives the mask of rows that have one."""
        name = self._dataset.label
        assert name is not None
        strings = as_strings(column_of(batch, name, path))
        valid = np.asarray(pc.is_valid(strings))
        if self._dataset.strict and not valid.all():
            raise RowError(f"{path}: row {row + int(np.argmin(valid))}: {name!r} is missing", "fix the row")
        strings = strings.drop_null()
        if self._task == "classification":
            encoded = strings.dictionary_encode()
            codes = [
                self._codes.setdefault(label, len(self._codes)) for label in encoded.dictionary.to_pylist()
            ]
            values: NDArray[Any] = np.array(codes, "<i8")[np.asarray(encoded.indices)]
        else:
            values = self._parse_values(strings, path, row + np.flatnonzero(valid))
        self._columns.append("y", values)
        return valid

    def _parse_values(self, strings: pa.Array, path: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.empty(len(strings), "<f8")
        for i, string in enumerate(strings.to_pylist()):
            try:
                out[i] = float(string)
            except ValueError:
                out[i] = np.nan
            if not np.isfinite(out[i]):
                raise RowError(
                    f"{path}: row {rows[i]}: {string[:40]!r} in the column {self._dataset.label!r} is not a finite "
                    "number",
                    "fix the row, or use a classifier",
                )
        return out

    def finish(self) -> None:
        """Write the metadata of the columns."""
        if self._schema is None or not self._n_rows:
            raise SourceError("the table has no rows with a target", "name other files")
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
        # Codes were assigned in row order; `classes` is sorted.
        rank = np.empty(len(facts["order"]), np.int64)
        rank[facts["order"]] = np.arange(len(rank))
        y, classes = rank[columns["y"]], np.array(facts["classes"])
    return Table(X, y, classes, schema, facts["n_bad"], written)
