"""Parquet files: opened so that a row group is read bit by bit, and decoded by the bytes that come out of it.

::

    headers of pages ──► how many rows may be decoded at once ──► Arrow ──► pieces ──► record batches

A batch has the rows that were asked for, or fewer where they are large; no more is decoded at once than
``DECODED_BYTES``, a row or a page, whichever is the largest.

The layout of a Parquet file, from its footer and the headers of its pages: how large pages and values are.

The footer knows the encoded size of a column only. A dictionary of one value of 2 MB and a thousand references to it
are 2 MB there and 2 GB once decoded, so the headers of the pages are read before the pages are.

In: a file. Out: its row groups with their column chunks, and the pages of a chunk, from structs in Thrift's compact
protocol; no page is decompressed. Arrow gives the footer too, but ends the whole process where that is broken.
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
# Values are the beginning of the value before and a rest: short pages may hold long values.
_DELTA_ENCODING = 7
# A header with statistics of long texts takes some kilobytes; one that takes more than this is broken.
_HEADER_BYTES = 1 << 13
_MOST_HEADER_BYTES = 1 << 24
_MOST_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group: where it lies, and what the footer says of it."""

    start: int
    stored_bytes: int
    n_bytes: int  # uncompressed, still encoded
    n_values: int
    is_bytes: bool  # whether its values are of any length


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of a file; of its columns those that are not nested, by name."""

    n_rows: int
    n_bytes: int  # uncompressed, still encoded
    chunks: dict[str, Chunk]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a column that is not nested.

    Parameters
    ----------
    n_rows : int
        0 for the page of a dictionary.
    n_bytes : int
        Uncompressed, still encoded.
    is_dictionary : bool
        Whether it holds the values of a dictionary, and no rows.
    values : str
        ``"plain"``: its values are no longer than it; ``"dictionary"``: they are entries of the dictionary;
        ``"delta"``: each may be as long as the page.
    """

    n_rows: int
    n_bytes: int
    is_dictionary: bool
    values: str


def row_groups_of(raw: BinaryIO) -> list[RowGroup]:
    """The row groups of a file, from its footer.

    Raises
    ------
    ValueError
        If the footer cannot be read.
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
    chunks: dict[str, Chunk] = {}
    for column in group[1]:
        about = column[3]
        if len(about[3]) > 1:
            continue
        starts = [at for at in (about[9], about.get(11)) if at]
        chunks[about[3][0].decode()] = Chunk(
            _size(min(starts, default=0)),
            _size(about[7]),
            _size(about[6]),
            _size(about[5]),
            about[1] == _BYTES,
        )
    return RowGroup(_size(group[3]), _size(group[2]), chunks)


def _size(number: Any) -> int:
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"its footer cannot be read ({number!r} is no size)")
    return number


def pages_of(raw: BinaryIO, chunk: Chunk) -> Iterator[Page]:
    """The pages of a column chunk, read from the headers one behind the other.

    Raises
    ------
    ValueError
        If a header cannot be read.
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
    """The fields of the header at ``start`` by number, and its length."""
    size = _HEADER_BYTES
    while True:
        raw.seek(start)
        data = raw.read(min(size, end - start))
        try:
            return _struct(data, 0, 0)
        except IndexError:
            if len(data) < size or size >= _MOST_HEADER_BYTES:
                raise ValueError(f"the header of the page at byte {start:,} is cut off") from None
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
        raise ValueError("a page does not say how many values it has")
    encoding = data.get(2 if kind == 0 else 4)
    values = "dictionary" if encoding in _DICTIONARY_ENCODINGS else "plain"
    return Page(data[1], n_bytes, False, "delta" if encoding == _DELTA_ENCODING else values)


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol, by number of field; what no page needs is passed over."""
    if depth > _MOST_DEPTH:
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
    raise ValueError(f"there is a field of the unknown type {kind}")


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
            raise ValueError("there is a number of more than 64 bits")


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


_BUFFER_BYTES = 1 << 20
_HEAD_ROWS = 200
_HEAD_BYTES = 1 << 20

# Decoded at once, unless one row or page is larger.
DECODED_BYTES = 16 << 20
# Pages up to this size are part of what Arrow takes anyhow; the usual size is 1 MB.
_USUAL_PAGE_BYTES = 2 << 20
# Larger pages than the plan knows of are refused; up to this size they never are.
_LEAST_PAGE_BYTES = 8 << 20
# Row groups whose pages are looked at for the plan.
_PLANNED_GROUPS = 64


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


# Footers of the files that were opened last: each block of a file is opened by itself.
_footers: OrderedDict[tuple[str, int, str], list[RowGroup]] = OrderedDict()
_FOOTERS = 16


def row_groups(raw: BinaryIO, file: SourceFile) -> list[RowGroup]:
    """The row groups of an open file.

    Raises
    ------
    SourceError
        If the footer is broken.
    """
    key = (file.path, file.size, file.stamp)
    if (known := _footers.get(key)) is not None:
        return known
    try:
        groups = row_groups_of(raw)
    except ValueError as error:
        raise SourceError(f"{file.path} is a broken Parquet file: {error}", "get it again") from error
    _footers[key] = groups
    while len(_footers) > _FOOTERS:
        _footers.popitem(last=False)
    return groups


def flat_columns(parquet: Any) -> list[str]:
    """The columns with one value a row."""
    import pyarrow as pa

    return [field.name for field in parquet.schema_arrow if not pa.types.is_nested(field.type)]


def head_rows(parquet: Any, raw: BinaryIO, file: SourceFile) -> list[Mapping[str, Any]]:
    """The first rows without nested columns: 200, or fewer where rows are large."""
    groups = row_groups(raw, file)
    first = next((i for i, group in enumerate(groups) if group.n_rows), None)
    columns = flat_columns(parquet)
    if first is None or not columns:
        return []
    fitting = groups[first].n_rows * _HEAD_BYTES // max(1, groups[first].n_bytes)
    n_rows = max(1, min(_HEAD_ROWS, fitting))
    head = next(
        batches_of(
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
    """Bytes of the largest page of some columns, of up to 64 row groups; 0 for a file elsewhere.

    Raises
    ------
    SourceError
        If the header of a page is broken.
    """
    if is_url(file.path):
        return 0
    groups = row_groups(raw, file)
    wanted = set(columns)
    n_groups = len(groups)
    chosen = np.unique(np.linspace(0, n_groups - 1, min(n_groups, _PLANNED_GROUPS)).astype(int)).tolist()
    return max(
        (
            page.n_bytes
            for number in chosen
            for name, chunk in groups[number].chunks.items()
            if name in wanted
            for page in _pages(raw, chunk, file)
        ),
        default=0,
    )


def decoder_bytes(page_bytes: int) -> int:
    """What decoding pages of this size takes, beyond what Arrow takes anyhow: the page, and its values."""
    return max(0, 2 * (page_bytes - _USUAL_PAGE_BYTES))


def batches_of(
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
    """Record batches of some row groups: of ``n_rows``, or fewer where that would be more than ``n_bytes``.

    Parameters
    ----------
    parquet, raw
        What :func:`open_parquet` gave.
    file : SourceFile
    groups : sequence of int
    columns : sequence of str
        Columns that are not nested.
    n_rows, n_bytes : int
        Of a batch at most; a row is given however large it is.
    decoded_bytes : int
        Decoded at once, unless a row or a page is larger.

    Raises
    ------
    SourceError
        If a page is broken, or larger than the plan knows.
    """
    for number in groups:
        yield from _of_group(parquet, raw, file, number, columns, n_rows, n_bytes, decoded_bytes)


def _of_group(
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
    left, row = group.n_rows, 0
    held: list[Any] = []
    n_held = held_bytes = 0
    reader: Iterator[Any] | None = None
    while left:
        step = min(n_rows - n_held, *(layout.fitting(row, decoded_bytes) for layout in layouts), left)
        if reader is None:
            reader = parquet.iter_batches(step, row_groups=[number], columns=columns)
        else:
            parquet.reader.set_batch_size(step)
        piece = next(reader, None)
        if piece is None or not piece.num_rows:
            raise SourceError(f"{file.path}: row group {number} has fewer rows than it says", "get it again")
        row, left = row + piece.num_rows, left - piece.num_rows
        held.append(piece)
        n_held += piece.num_rows
        held_bytes += sum(_decoded_bytes(column) for column in piece.columns)
        if n_held >= n_rows or held_bytes >= n_bytes or not left:
            yield _joined(held)
            held, n_held, held_bytes = [], 0, 0


def _joined(pieces: list[Any]) -> Any:
    import pyarrow as pa

    if len(pieces) == 1:
        return pieces[0]
    (batch,) = pa.Table.from_batches(pieces).combine_chunks().to_batches()
    return batch


def _decoded_bytes(array: Any) -> int:
    """Bytes of an array once its dictionary is resolved."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(array.type):
        return int(array.nbytes)
    values = array.dictionary
    try:
        sizes = pc.binary_length(values)
    except pa.ArrowException:  # of a fixed width
        return int(array.nbytes) + 8 * len(array)
    return int(array.indices.nbytes) + int(pc.sum(sizes.take(array.indices).cast(pa.int64())).as_py() or 0)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How many bytes the rows of a column chunk may have once they are decoded."""

    ends: list[int]  # of each page, in rows
    row_bytes: list[float]  # of a row of each page, at most or on the average of the page

    def fitting(self, row: int, n_bytes: int) -> int:
        """How many rows from ``row`` on are no more than ``n_bytes``; 1 at least."""
        place = int(np.searchsorted(self.ends, row, side="right"))
        n_rows, room = 0, float(n_bytes)
        for end, size in zip(self.ends[place:], self.row_bytes[place:], strict=True):
            fitting = min(end - row - n_rows, int(room / size))
            n_rows += fitting
            room -= fitting * size
            if row + n_rows < end:
                break
        return max(1, n_rows)


def _layout(
    raw: BinaryIO, file: SourceFile, number: int, name: str, chunk: Chunk, decoded_bytes: int
) -> _Layout:
    # Looking at all pages of a file elsewhere would transfer it twice: there the first pages have to do.
    pages = _first_pages(raw, chunk, file) if is_url(file.path) else list(_pages(raw, chunk, file))
    most = max((page.n_bytes for page in pages), default=0)
    known = max(_LEAST_PAGE_BYTES, file.decoder_bytes // 2 + _USUAL_PAGE_BYTES)
    if most > known:
        raise SourceError(
            f"{file.path}: row group {number} has a page of {most / 1e6:,.0f} MB, which is decoded at once and takes "
            f"{2 * most / 1e6:,.0f} MB of memory; the plan knows of pages up to {known / 1e6:,.0f} MB",
            "write the file with smaller pages",
        )
    entries = sum(page.n_bytes for page in pages if page.is_dictionary)
    rows = [page for page in pages if page.n_rows]
    coded = sum(page.n_rows for page in rows if page.values == "dictionary")
    if coded * entries > decoded_bytes:
        entries = min(entries, _largest_entry(raw, number, name))
    row_bytes = [max(1.0, _row_bytes(page, entries)) for page in rows]
    return _Layout(list(accumulate(page.n_rows for page in rows)), row_bytes)


def _row_bytes(page: Page, entries: int) -> float:
    if page.values == "plain":
        return page.n_bytes / page.n_rows
    return entries if page.values == "dictionary" else page.n_bytes


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


def _first_pages(raw: BinaryIO, chunk: Chunk, file: SourceFile) -> list[Page]:
    """Pages up to the first without a dictionary, which stands for all that follow it."""
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


def _pages(raw: BinaryIO, chunk: Chunk, file: SourceFile) -> Iterator[Page]:
    try:
        yield from pages_of(raw, chunk)
    except ValueError as error:
        raise SourceError(f"{file.path} is a broken Parquet file: {error}", "get it again") from error
