"""Columns and file formats of predictions: rows are encoded on many threads and written by one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manymill.model import LinearModel, choose_classes
from manymill.validation import check_choice

# Size of row groups that is efficient to read, in values.
_ROW_GROUP_VALUES = 2**20


class PredictionWriter(Protocol):
    """Writer of encoded batches to a file, in order."""

    def write(self, encoded: Any) -> None:
        """Write the result of the format's ``encode``."""

    def close(self) -> None:
        """Write the rest; the file itself stays open."""


class PredictionFormat(Protocol):
    """A file format of predictions."""

    name: str

    def encode(self, batch: pa.RecordBatch) -> Any:
        """Encode a batch for the writer; called on any thread."""

    def writer(self, file: BinaryIO, schema: pa.Schema) -> PredictionWriter:
        """Create a writer to an open file."""


class JsonLines:
    """One JSON object per row; numbers that are not finite become null."""

    name = "jsonl"

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The rows as lines."""
        pieces: list[Any] = []
        for i, field in enumerate(batch.schema):
            pieces.append(("{" if i == 0 else ", ") + json.dumps(field.name, ensure_ascii=False) + ": ")
            pieces.append(_json_values(batch.column(i)))
        return _join([*pieces, "}\n"])

    def writer(self, file: BinaryIO, schema: pa.Schema) -> PredictionWriter:
        """Create a writer of lines."""
        return _BytesWriter(file)


class Csv:
    """Comma-separated values with a header; text is quoted."""

    name = "csv"

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The rows as lines."""
        return _csv(batch, header=False)

    def writer(self, file: BinaryIO, schema: pa.Schema) -> PredictionWriter:
        """Write the header, and create a writer of lines."""
        file.write(_csv(pa.RecordBatch.from_pylist([], schema=schema), header=True))
        return _BytesWriter(file)


class Parquet:
    """Parquet, in row groups of about a million values."""

    name = "parquet"

    def encode(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch itself."""
        return batch

    def writer(self, file: BinaryIO, schema: pa.Schema) -> PredictionWriter:
        """Create a writer of row groups."""
        return _ParquetWriter(file, schema)


_FORMATS: dict[str, PredictionFormat] = {"jsonl": JsonLines(), "csv": Csv(), "parquet": Parquet()}
FORMATS = tuple(_FORMATS)


def format_named(name: str) -> PredictionFormat:
    """The format of this name.

    Raises
    ------
    SettingsError
        If the name is unknown.
    """
    check_choice(name, "format", FORMATS)
    return _FORMATS[name]


class _BytesWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, encoded: bytes) -> None:
        self._file.write(encoded)

    def close(self) -> None:
        pass


class _ParquetWriter:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(file, schema, compression="zstd")
        self._schema = schema
        self._group_rows = max(1, _ROW_GROUP_VALUES // len(schema))
        self._pending: list[pa.RecordBatch] = []
        self._n_rows = 0

    def write(self, encoded: pa.RecordBatch) -> None:
        self._pending.append(encoded)
        self._n_rows += len(encoded)
        if self._n_rows >= self._group_rows:
            self._write_group()

    def close(self) -> None:
        if self._n_rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._pending, self._schema)
        self._writer.write_table(table, row_group_size=len(table))
        self._pending, self._n_rows = [], 0


def _csv(batch: pa.RecordBatch, *, header: bool) -> bytes:
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(batch, sink, csv.WriteOptions(include_header=header))
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _json_values(column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), pc.cast(column, pa.large_string()), "null")
    if pa.types.is_integer(column.type):
        return pc.cast(column, pa.large_string())
    # There are few distinct strings, whatever the number of rows.
    texts = column.dictionary_encode()
    quoted = [json.dumps(text, ensure_ascii=False) for text in texts.dictionary.to_pylist()]
    return pa.array(quoted, pa.large_string()).take(texts.indices)


def _join(pieces: list[Any]) -> bytes:
    import pyarrow.compute as pc

    pieces = [pa.scalar(piece, pa.large_string()) if isinstance(piece, str) else piece for piece in pieces]
    lines = pc.binary_join_element_wise(*pieces, pa.scalar("", pa.large_string()))
    if len(lines) == 0:
        return b""
    _, offsets, data = lines.buffers()
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[lines.offset] : ends[lines.offset + len(lines)]].tobytes()


@dataclass(frozen=True)
class Columns:
    """Optional columns of a prediction, in addition to position, label and score.

    Parameters
    ----------
    scores : bool
        Whether to add a column ``score_<class>`` for each class.
    probabilities : bool
        Whether to add a column ``probability_<class>`` for each class.
    file : bool
        Whether to add a first column with the input's name.
    """

    scores: bool = False
    probabilities: bool = False
    file: bool = False

    def schema(self, model: LinearModel) -> pa.Schema:
        """Names and types of all columns."""
        kind = pa.int64() if isinstance(model.classes[0], int) else pa.string()
        fields = [("file", pa.string())] if self.file else []
        fields += [("position", pa.int64()), ("label", kind), ("score", pa.float32())]
        if self.scores:
            fields += [(f"score_{name}", pa.float32()) for name in model.classes]
        if self.probabilities:
            fields += [(f"probability_{name}", pa.float32()) for name in model.classes]
        return pa.schema(fields)

    def table(
        self, model: LinearModel, position: NDArray[np.int64], scores: NDArray[np.float32], file: str
    ) -> pa.RecordBatch:
        """The columns of some rows.

        Parameters
        ----------
        model : LinearModel
        position : ndarray of int64, shape (n_rows,)
            Position of each row in its file.
        scores : ndarray of float32, shape (n_rows, n_outputs)
        file : str
            The input's name.

        Raises
        ------
        PlanError
            If ``probabilities`` is true and the model's loss is not probabilistic.
        """
        chosen = choose_classes(scores)
        schema = self.schema(model)
        arrays: list[Any] = [pa.repeat(file, len(position))] if self.file else []
        by_class = np.hstack([-scores, scores]) if model.n_outputs == 1 else scores
        names = pa.array(model.classes, schema.field("label").type)
        arrays += [pa.array(position), names.take(pa.array(chosen))]
        arrays.append(pa.array(by_class[np.arange(len(chosen)), chosen]))
        if self.scores:
            arrays += _by_column(by_class)
        if self.probabilities:
            shares = model.probabilities(scores)
            arrays += _by_column(shares.astype(np.float32))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _by_column(values: NDArray[np.float32]) -> list[pa.Array]:
    return [pa.array(column) for column in np.ascontiguousarray(values.T)]
