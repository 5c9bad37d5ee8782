"""Read tables from files as record batches, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from manymill.data.chunks import DELIMITER
from manymill.data.compression import ByteStream, open_stream
from manymill.data.dataset import SourceFile
from manymill.data.files import find_files, open_file
from manymill.data.parquet import broken_parquet, open_parquet, record_batches, row_groups
from manymill.data.planning import inspect_files
from manymill.data.table.schema import is_usable
from manymill.display import shortened
from manymill.errors import RowError, SchemaError, SourceError

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset

# Arrow rejects records longer than a block: a block of a wide table has several rows at this size of a value.
_BLOCK_BYTES = 1 << 20
_VALUE_BYTES = 64
# A table with more columns, or with a longer header in bytes, is read in complete blocks.
_WIDE, _LONG = 5000, 1 << 17
# Arrow and scikit-learn need some kilobytes and about 100 µs for each column of each batch.
MAX_COLUMNS = 250_000
_BLOCK_ROWS = 1 << 14
# Limit of a block of a table with many columns, or with long texts.
_WIDE_BYTES = 64 << 20


_FORMATS = ("csv", "tsv", "parquet")


def table_files(dataset: Dataset) -> list[SourceFile]:
    """The files of a dataset of tables.

    Raises
    ------
    SourceError
        If one cannot be read, or is not a table.
    """
    paths, trees = find_files(dataset.source, dataset.storage_options, format=dataset.format)
    if trees:
        raise SourceError(f"{trees[0]} is a folder tree, not a table", "name Parquet or CSV files")
    files, _, _ = inspect_files(dataset, paths)
    if files[0].format not in _FORMATS:
        raise SourceError(f"{files[0].path} is {files[0].format}, not a table", "name Parquet or CSV files")
    return files


def table_batches(file: SourceFile, dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """Read a file as record batches; every column of a CSV file is text.

    Raises
    ------
    SourceError
        If the file cannot be read, is truncated, or has changed.
    RowError
        If a row of a CSV file has more or fewer fields than the header.
    SchemaError
        If the table has more than ``MAX_COLUMNS`` columns.
    """
    if file.format == "parquet":
        yield from _parquet_batches(file, dataset)
    else:
        yield from _csv_batches(file, dataset)


def _parquet_batches(file: SourceFile, dataset: Dataset) -> Iterator[pa.RecordBatch]:
    parquet, stream = open_parquet(file, dataset.storage_options)
    with stream:
        _check_width(file, len(parquet.schema_arrow.names))
        try:
            schema = parquet.schema_arrow
            used = [field.name for field in schema if is_usable(field.type)]
            n_rows = min(_BLOCK_ROWS, max(1, _WIDE_BYTES // (8 * max(1, len(used)))))
            groups = range(len(row_groups(stream, file)))
            if not used:
                yield pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
                return
            for batch in record_batches(
                parquet, stream, file, groups, used, n_rows=n_rows, n_bytes=_WIDE_BYTES
            ):
                yield _with_nulls(batch, schema)
        except (pa.ArrowException, OSError) as error:
            raise broken_parquet(file, error) from error


def _with_nulls(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Add the columns of the file that cannot become numbers, as nulls: they are never decoded."""
    columns = [
        batch.column(field.name) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


def _csv_batches(file: SourceFile, dataset: Dataset) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    columns = list(file.column_names)
    _check_width(file, len(columns))
    block_bytes = max(_BLOCK_BYTES, 2 * file.data_start, _VALUE_BYTES * len(columns))
    # Without a header, columns are named by number, and at most a byte-order mark precedes the first row.
    headless = columns == [str(i) for i in range(len(columns))] and file.data_start in (0, 3)
    raw = open_file(file, dataset.storage_options)
    stream = open_stream(
        raw,
        file.path,
        file.compression,
        window_bytes=file.decoder_bytes,
        max_bytes=dataset.max_decompressed_bytes,
    )
    try:
        reader = csv.open_csv(
            pa.PythonFile(_StreamFile(stream, fills=len(columns) > _WIDE or file.data_start > _LONG), "r"),
            # Arrow's errors have row numbers only with a single thread.
            read_options=csv.ReadOptions(
                use_threads=False, block_size=block_bytes, encoding=dataset.encoding, column_names=columns,
                skip_rows=0 if headless else 1,
            ),
            parse_options=csv.ParseOptions(delimiter=chr(DELIMITER[file.format]), newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
            ),
        )  # fmt: skip
        yield from reader
    except pa.ArrowInvalid as error:
        if "straddling object" in str(error):
            what = f"{file.path}: a row of {len(columns):,} columns is longer than {block_bytes:,} bytes"
            raise RowError(what, "convert the file to Parquet, or remove the row") from error
        raise RowError(f"{file.path}: {shortened(error, 400)}", "fix or remove the row") from error
    finally:
        stream.close()


def _check_width(file: SourceFile, n_columns: int) -> None:
    if n_columns > MAX_COLUMNS:
        raise SchemaError(
            f"{file.path} has {n_columns:,} columns; a table may have up to {MAX_COLUMNS:,}",
            "remove columns; sparse data may be better given as text, for a linear model",
        )


class _StreamFile(io.RawIOBase):
    """A byte stream as a file object for Arrow."""

    def __init__(self, stream: ByteStream, *, fills: bool) -> None:
        self._stream = stream
        # Arrow expects the complete header in its first read. Other tables read as before: the first batch decides
        # the codes of categories, so its size must not change.
        self._fills = fills
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n_bytes = 0
        while n_bytes < len(buffer) and (self._fills or not n_bytes):
            self._rest = self._rest or self._stream.read()
            if not self._rest:
                break
            part = self._rest[: len(buffer) - n_bytes]
            buffer[n_bytes : n_bytes + len(part)] = part
            self._rest = self._rest[len(part) :]
            n_bytes += len(part)
        return n_bytes
