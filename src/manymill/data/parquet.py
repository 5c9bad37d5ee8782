"""Parquet files: opened so that a row group is read bit by bit, however large it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manymill.data.files import open_file
from manymill.data.plan import SourceFile
from manymill.errors import SourceError

_BUFFER_BYTES = 1 << 20
_HEAD_ROWS = 200
_HEAD_BYTES = 1 << 20


def open_parquet(file: SourceFile, options: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """A Parquet file and the stream that it reads, which the caller closes.

    Without a buffer Arrow reads whole columns of a row group at once.

    Raises
    ------
    SourceError
        If it cannot be opened, or is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = open_file(file, options)
    try:
        return pq.ParquetFile(raw, buffer_size=_BUFFER_BYTES, pre_buffer=False), raw
    except (pa.ArrowException, OSError) as error:
        raw.close()
        raise SourceError(
            f"{file.path} is no Parquet file, or a broken one: {error}", "get it again"
        ) from error


def head_rows(parquet: Any) -> list[Mapping[str, Any]]:
    """The first rows: 200, or fewer where rows are large."""
    groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
    first = next((group for group in groups if group.num_rows), None)
    if first is None:
        return []
    fitting = first.num_rows * _HEAD_BYTES // max(1, first.total_byte_size)
    head = next(parquet.iter_batches(max(1, min(_HEAD_ROWS, fitting))), None)
    return [] if head is None else list(head.to_pylist())
