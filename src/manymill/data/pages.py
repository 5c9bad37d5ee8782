"""The layout of a Parquet file, from its footer and the headers of its pages: how large pages and values are.

The footer knows the encoded size of a column only. A dictionary of one value of 2 MB and a thousand references to it
are 2 MB there and 2 GB once decoded, so the headers of the pages are read before the pages are.

In: a file. Out: its row groups with their column chunks, and the pages of a chunk, from structs in Thrift's compact
protocol; no page is decompressed. Arrow gives the footer too, but ends the whole process where that is broken.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

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
            min(starts, default=0), _size(about[7]), _size(about[6]), _size(about[5]), about[1] == _BYTES
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
