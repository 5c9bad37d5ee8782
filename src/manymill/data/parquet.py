"""Read Parquet files in bounded memory.

::

    page headers ──► number of rows to decode at once ──► Arrow ──► pieces ──► record batches

A batch has the requested number of rows, or fewer if they are large. Arrow decodes at most ``DECODED_BYTES`` at once,
or one row or page if that is larger.

The footer has encoded sizes only: a dictionary with one value of 2 MB and a thousand references to it takes 2 MB in
the file and 2 GB decoded. Therefore page headers are read before the pages. Footer and page headers are structs in
Thrift's compact protocol, parsed here: Arrow does not expose page headers, and aborts the process on a corrupt footer.
"""

from __future__ import annotations

import io
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np

from manymill.data.dataset import SourceFile
from manymill.data.files import is_url, open_file
from manymill.errors import SourceError

_BYTES = 6  # the physical type BYTE_ARRAY
_DICTIONARY_PAGE = 2
# Kinds of data pages, and the field of the header that describes each.
_DATA_PAGES = {0: 5, 3: 8}
_DICTIONARY_ENCODINGS = (2, 8)
# Values are stored as a prefix of the previous value and a suffix: short pages may have long values.
_DELTA_ENCODING = 7
# A header with statistics of long texts takes some kilobytes; one of more than the maximum is corrupt.
_HEADER_BYTES = 1 << 13
_MAX_HEADER_BYTES = 1 << 24
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """A column chunk of a row group: its position and sizes, from the footer."""

    start: int
    stored_bytes: int
    n_bytes: int  # uncompressed, still encoded
    n_values: int
    is_bytes: bool  # whether its values have variable length


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group, with its column chunks by name except nested columns."""

    n_rows: int
    n_bytes: int  # uncompressed, still encoded
    chunks: dict[str, ColumnChunk]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a column that is not nested.

    Parameters
    ----------
    n_rows : int
        0 for a dictionary page.
    n_bytes : int
        Uncompressed, still encoded.
    is_dictionary : bool
        Whether it has the values of a dictionary, and no rows.
    values : str
        ``"plain"``: all values together are at most as long as the page; ``"dictionary"``: references to the
        dictionary; ``"delta"``: each value may be as long as the page.
    """

    n_rows: int
    n_bytes: int
    is_dictionary: bool
    values: str


def read_row_groups(raw: BinaryIO) -> list[RowGroup]:
    """Read the row groups of a file from its footer.

    Raises
    ------
    ValueError
        If the footer is corrupt.
    """
    size = raw.seek(0, io.SEEK_END)
    raw.seek(max(0, size - 8))
    end = raw.read(8)
    n_bytes = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or n_bytes > size - 8:
        raise ValueError("it has no footer")
    raw.seek(size - 8 - n_bytes)
    try:
        footer, _ = _struct(raw.read(n_bytes), 0, 0)
        return [_row_group(group) for group in footer[4]]
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"its footer cannot be read ({error!r})") from None


def _row_group(group: dict[int, Any]) -> RowGroup:
    chunks: dict[str, ColumnChunk] = {}
    for column in group[1]:
        about = column[3]
        if len(about[3]) > 1:
            continue
        starts = [at for at in (about[9], about.get(11)) if at]
        chunks[about[3][0].decode()] = ColumnChunk(
            _size(min(starts, default=0)),
            _size(about[7]),
            _size(about[6]),
            _size(about[5]),
            about[1] == _BYTES,
        )
    return RowGroup(_size(group[3]), _size(group[2]), chunks)


def _size(number: Any) -> int:
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"its footer cannot be read ({number!r} is not a size)")
    return number


def read_pages(raw: BinaryIO, chunk: ColumnChunk) -> Iterator[Page]:
    """Read the page headers of a column chunk.

    Raises
    ------
    ValueError
        If a header is corrupt.
    """
    start, end = chunk.start, chunk.start + chunk.stored_bytes
    n_values = 0
    while start < end and n_values < chunk.n_values:
        header, n_bytes = _header(raw, start, end)
        page = _page(header)
        stored = header.get(3)
        if not isinstance(stored, int) or stored < 0:
            raise ValueError(f"the page at byte {start:,} has no size")
        start += n_bytes + stored
        if page is not None:
            n_values += page.n_rows
            yield page


def _header(raw: BinaryIO, start: int, end: int) -> tuple[dict[int, Any], int]:
    """The fields of the page header at ``start`` by number, and its length."""
    size = _HEADER_BYTES
    while True:
        raw.seek(start)
        data = raw.read(min(size, end - start))
        try:
            return _struct(data, 0, 0)
        except IndexError:
            if len(data) < size or size >= _MAX_HEADER_BYTES:
                raise ValueError(f"the header of the page at byte {start:,} is truncated") from None
            size *= 8


def _page(header: dict[int, Any]) -> Page | None:
    kind, n_bytes = header.get(1), header.get(2)
    if not isinstance(n_bytes, int) or n_bytes < 0:
        raise ValueError("a page has no size")
    if kind == _DICTIONARY_PAGE:
        return Page(0, n_bytes, True, "plain")
    if kind not in _DATA_PAGES:
        return None
    data = header.get(_DATA_PAGES[kind])
    if not isinstance(data, dict) or not isinstance(data.get(1), int) or data[1] < 0:
        raise ValueError("a page header lacks the number of values")
    encoding = data.get(2 if kind == 0 else 4)
    values = "dictionary" if encoding in _DICTIONARY_ENCODINGS else "plain"
    return Page(data[1], n_bytes, False, "delta" if encoding == _DELTA_ENCODING else values)


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Parse a struct of Thrift's compact protocol: the fields by number, and the end of the struct."""
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while byte := data[at]:
        at += 1
        if byte >> 4:
            number += byte >> 4
        else:
            number, at = _signed(data, at)
        fields[number], at = _value(data, at, byte & 15, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _signed(data, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        n_bytes, at = _unsigned(data, at)
        if at + n_bytes > len(data):
            raise IndexError
        return data[at : at + n_bytes], at + n_bytes
    if kind in (9, 10):
        byte, at = data[at], at + 1
        n_values, at = _unsigned(data, at) if byte >> 4 == 15 else (byte >> 4, at)
        values = []
        for _ in range(n_values):
            # A boolean in a list is a byte.
            value, at = _value(data, at, 3 if byte & 15 in (1, 2) else byte & 15, depth)
            data[at - 1]
            values.append(value)
        return values, at
    if kind == 12:
        return _struct(data, at, depth + 1)
    raise ValueError(f"a field has the unknown type {kind}")


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 70:
            raise ValueError("a number has more than 64 bits")


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


_BUFFER_BYTES = 1 << 20
_HEAD_ROWS = 200
_HEAD_BYTES = 1 << 20

# Bytes decoded at once, unless one row or page is larger.
DECODED_BYTES = 16 << 20
# Pages up to this size are part of Arrow's base memory; the usual size is 1 MB.
_USUAL_PAGE_BYTES = 2 << 20
# Pages larger than those that the plan knows are rejected, unless they are at most this large.
_LEAST_PAGE_BYTES = 8 << 20
# Row groups whose page headers are read for the plan.
_PLANNED_GROUPS = 64


def broken_parquet(file: SourceFile, error: Exception) -> SourceError:
    """The error for a Parquet file that is corrupt."""
    return SourceError(f"{file.path} is a corrupt Parquet file: {error}", "download or write the file again")


def open_parquet(file: SourceFile, options: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """Open a Parquet file; gives the reader, and the underlying stream, which the caller closes.

    The reader has a buffer: otherwise Arrow reads entire columns of a row group at once.

    Raises
    ------
    SourceError
        If it cannot be opened, or is not a Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = open_file(file, options)
    try:
        return pq.ParquetFile(raw, buffer_size=_BUFFER_BYTES, pre_buffer=False), raw
    except (pa.ArrowException, OSError) as error:
        raw.close()
        raise SourceError(
            f"{file.path} is not a Parquet file, or is corrupt: {error}", "download or write the file again"
        ) from error


# Cache of the footers of the last files, since every block of a file opens the file again.
_footers: OrderedDict[tuple[str, int, str], list[RowGroup]] = OrderedDict()
_FOOTERS = 16


def row_groups(raw: BinaryIO, file: SourceFile) -> list[RowGroup]:
    """The row groups of an open file.

    Raises
    ------
    SourceError
        If the footer is corrupt.
    """
    key = (file.path, file.size, file.stamp)
    if (cached := _footers.get(key)) is not None:
        return cached
    try:
        groups = read_row_groups(raw)
    except ValueError as error:
        raise broken_parquet(file, error) from error
    _footers[key] = groups
    while len(_footers) > _FOOTERS:
        _footers.popitem(last=False)
    return groups


def flat_columns(parquet: Any) -> list[str]:
    """The columns that are not nested."""
    import pyarrow as pa

    return [field.name for field in parquet.schema_arrow if not pa.types.is_nested(field.type)]


def head_rows(parquet: Any, raw: BinaryIO, file: SourceFile) -> list[Mapping[str, Any]]:
    """The first rows, without nested columns: 200, or fewer if rows are large."""
    groups = row_groups(raw, file)
    first = next((i for i, group in enumerate(groups) if group.n_rows), None)
    columns = flat_columns(parquet)
    if first is None or not columns:
        return []
    fitting = groups[first].n_rows * _HEAD_BYTES // max(1, groups[first].n_bytes)
    n_rows = max(1, min(_HEAD_ROWS, fitting))
    head = next(
        record_batches(
            parquet,
            raw,
            file,
            [first],
            columns,
            n_rows=n_rows,
            n_bytes=_HEAD_BYTES,
            decoded_bytes=_HEAD_BYTES,
        )
    )
    return list(head.to_pylist())


def largest_page(raw: BinaryIO, file: SourceFile, columns: Iterable[str]) -> int:
    """Size in bytes of the largest page of some columns, in up to 64 row groups; 0 for remote files.

    Raises
    ------
    SourceError
        If a page header is corrupt.
    """
    if is_url(file.path):
        return 0
    groups = row_groups(raw, file)
    selected = set(columns)
    n_groups = len(groups)
    chosen = np.unique(np.linspace(0, n_groups - 1, min(n_groups, _PLANNED_GROUPS)).astype(int)).tolist()
    return max(
        (
            page.n_bytes
            for number in chosen
            for name, chunk in groups[number].chunks.items()
            if name in selected
            for page in _pages(raw, chunk, file)
        ),
        default=0,
    )


def decoder_bytes(page_bytes: int) -> int:
    """Memory for decoding pages of this size beyond Arrow's base memory: for the page, and for its values."""
    return max(0, 2 * (page_bytes - _USUAL_PAGE_BYTES))


def record_batches(
    parquet: Any,
    raw: BinaryIO,
    file: SourceFile,
    groups: Sequence[int],
    columns: Sequence[str],
    *,
    n_rows: int,
    n_bytes: int,
    decoded_bytes: int = DECODED_BYTES,
) -> Iterator[Any]:
    """Read some row groups as record batches of ``n_rows``, or fewer if these would exceed ``n_bytes``.

    Parameters
    ----------
    parquet, raw
        The result of :func:`open_parquet`.
    file : SourceFile
    groups : sequence of int
    columns : sequence of str
        Columns that are not nested.
    n_rows, n_bytes : int
        Limits of a batch; a single row may exceed the bytes.
    decoded_bytes : int
        Bytes decoded at once, unless a row or a page is larger.

    Raises
    ------
    SourceError
        If a page is corrupt, or larger than the plan knows.
    """
    for number in groups:
        yield from _group_batches(parquet, raw, file, number, columns, n_rows, n_bytes, decoded_bytes)


def _group_batches(
    parquet: Any,
    raw: BinaryIO,
    file: SourceFile,
    number: int,
    columns: Sequence[str],
    n_rows: int,
    n_bytes: int,
    decoded_bytes: int,
) -> Iterator[Any]:
    group = row_groups(raw, file)[number]
    layouts = [
        _layout(raw, file, number, name, group.chunks[name], decoded_bytes)
        for name in columns
        if name in group.chunks and group.chunks[name].is_bytes
    ]
    remaining, row = group.n_rows, 0
    pieces: list[Any] = []
    n_piece_rows = piece_bytes = 0
    reader: Iterator[Any] | None = None
    while remaining:
        step = min(
            n_rows - n_piece_rows, *(layout.rows_within(row, decoded_bytes) for layout in layouts), remaining
        )
        if reader is None:
            reader = parquet.iter_batches(step, row_groups=[number], columns=columns)
        else:
            parquet.reader.set_batch_size(step)
        piece = next(reader, None)
        if piece is None or not piece.num_rows:
            raise broken_parquet(file, ValueError(f"row group {number} has fewer rows than the footer says"))
        row, remaining = row + piece.num_rows, remaining - piece.num_rows
        pieces.append(piece)
        n_piece_rows += piece.num_rows
        piece_bytes += sum(_decoded_bytes(column) for column in piece.columns)
        if n_piece_rows >= n_rows or piece_bytes >= n_bytes or not remaining:
            yield _concatenated(pieces)
            pieces, n_piece_rows, piece_bytes = [], 0, 0


def _concatenated(pieces: list[Any]) -> Any:
    import pyarrow as pa

    if len(pieces) == 1:
        return pieces[0]
    (batch,) = pa.Table.from_batches(pieces).combine_chunks().to_batches()
    return batch


def _decoded_bytes(array: Any) -> int:
    """Bytes of an array after resolving its dictionary."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(array.type):
        return int(array.nbytes)
    values = array.dictionary
    try:
        sizes = pc.binary_length(values)
    except pa.ArrowException:  # values of fixed width
        return int(array.nbytes) + 8 * len(array)
    return int(array.indices.nbytes) + int(pc.sum(sizes.take(array.indices).cast(pa.int64())).as_py() or 0)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Decoded sizes of the rows of a column chunk, page by page."""

    ends: list[int]  # end of each page, in rows
    row_bytes: list[float]  # decoded bytes of a row of each page, at most or on average

    def rows_within(self, row: int, n_bytes: int) -> int:
        """The number of rows, starting at ``row``, that decode to at most ``n_bytes``; at least 1."""
        first = int(np.searchsorted(self.ends, row, side="right"))
        n_rows, remaining = 0, float(n_bytes)
        for end, size in zip(self.ends[first:], self.row_bytes[first:], strict=True):
            fitting = min(end - row - n_rows, int(remaining / size))
            n_rows += fitting
            remaining -= fitting * size
            if row + n_rows < end:
                break
        return max(1, n_rows)


def _layout(
    raw: BinaryIO, file: SourceFile, number: int, name: str, chunk: ColumnChunk, decoded_bytes: int
) -> _Layout:
    # Reading all page headers of a remote file would transfer it twice: the first pages must suffice there.
    pages = _first_pages(raw, chunk, file) if is_url(file.path) else list(_pages(raw, chunk, file))
    largest = max((page.n_bytes for page in pages), default=0)
    limit = max(_LEAST_PAGE_BYTES, file.decoder_bytes // 2 + _USUAL_PAGE_BYTES)
    if largest > limit:
        raise SourceError(
            f"{file.path}: row group {number} has a page of {largest / 1e6:,.0f} MB, which takes "
            f"{2 * largest / 1e6:,.0f} MB of memory to decode; the plan allows pages up to {limit / 1e6:,.0f} MB",
            "write the file with smaller pages",
        )
    entry_bytes = sum(page.n_bytes for page in pages if page.is_dictionary)
    data_pages = [page for page in pages if page.n_rows]
    n_encoded = sum(page.n_rows for page in data_pages if page.values == "dictionary")
    if n_encoded * entry_bytes > decoded_bytes:
        entry_bytes = min(entry_bytes, _largest_entry(raw, number, name))
    row_bytes = [max(1.0, _row_bytes(page, entry_bytes)) for page in data_pages]
    return _Layout(list(accumulate(page.n_rows for page in data_pages)), row_bytes)


def _row_bytes(page: Page, entry_bytes: int) -> float:
    if page.values == "plain":
        return page.n_bytes / page.n_rows
    return entry_bytes if page.values == "dictionary" else page.n_bytes


def _largest_entry(raw: BinaryIO, number: int, name: str) -> int:
    """Bytes of the largest value in the dictionary of a chunk."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(raw, read_dictionary=[name], buffer_size=_BUFFER_BYTES, pre_buffer=False)
    first = next(parquet.iter_batches(1, row_groups=[number], columns=[name], use_threads=False), None)
    if first is None or not first.num_columns or not pa.types.is_dictionary(first.schema.field(0).type):
        return sys.maxsize
    return int(pc.max(pc.binary_length(first.column(0).dictionary)).as_py() or 0)


def _first_pages(raw: BinaryIO, chunk: ColumnChunk, file: SourceFile) -> list[Page]:
    """The pages up to the first without a dictionary, which represents all following pages."""
    pages: list[Page] = []
    n_rows = 0
    for page in _pages(raw, chunk, file):
        if page.n_rows and page.values != "dictionary":
            rest = max(page.n_rows, chunk.n_values - n_rows)
            pages.append(Page(rest, page.n_bytes * rest // page.n_rows, False, "plain"))
            break
        pages.append(page)
        n_rows += page.n_rows
    return pages


def _pages(raw: BinaryIO, chunk: ColumnChunk, file: SourceFile) -> Iterator[Page]:
    try:
        yield from read_pages(raw, chunk)
    except ValueError as error:
        raise broken_parquet(file, error) from error
