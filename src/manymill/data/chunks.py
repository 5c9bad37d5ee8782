"""Cut text into pieces of whole records, from a stream or from a byte range of a file.

A piece is about as long as a block. Memory is bounded by a piece and one unfinished record of at most the longest
length allowed: longer records are skipped and reported as bad rows.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import TOO_LONG, BadRow
from manymill.data.compression import ByteStream
from manymill.errors import SourceError

# A line end is not counted as part of a record.
_LINE_END = 2
# Bytes read beyond the end of a block for its last line; few lines are longer.
_MARGIN = 1 << 13
_REVIEW_END = b"</review>"


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole records of a file.

    Parameters
    ----------
    data : ndarray
        uint8.
    position : int
        Byte of the uncompressed file where they start.
    n_bytes : int
        Bytes of the source that they cover, as stored.
    bad : tuple of BadRow
        Records skipped before them.
    """

    data: NDArray[np.uint8]
    position: int
    n_bytes: int
    bad: tuple[BadRow, ...] = ()


class Cutter(Protocol):
    """Finds record ends in a stream that arrives in pieces."""

    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Offsets just after the first and the last record end in the next piece; None if no record ends in it."""


class LineCutter:
    """A record is a line."""

    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Offsets just after the first and the last line end."""
        last = piece.rfind(b"\n") + 1
        return (piece.find(b"\n") + 1, last) if last else None


class ReviewCutter:
    """A record ends with its closing tag, which may be split between two pieces."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Offsets just after the first and the last review end."""
        seen = self._tail + piece
        before = len(self._tail)
        first, last = seen.find(_REVIEW_END), seen.rfind(_REVIEW_END)
        self._tail = seen[-len(_REVIEW_END) + 1 :]
        if last < 0:
            return None
        if last + len(_REVIEW_END) <= before:
            return None
        return first + len(_REVIEW_END) - before, last + len(_REVIEW_END) - before


def cutter_for(format: str) -> Cutter:
    """The cutter of a text format."""
    if format in ("csv", "tsv"):
        return _core.CsvCutter(delimiter=DELIMITER[format])
    return ReviewCutter() if format == "reviews" else LineCutter()


DELIMITER = {"csv": ord(","), "tsv": ord("\t")}


def cut_stream(
    stream: ByteStream,
    cutter: Cutter,
    *,
    path: str,
    data_start: int,
    encoding: str,
    piece_bytes: int,
    max_record_bytes: int,
) -> Iterator[Piece]:
    """Cut a stream into pieces of whole records, after skipping its first ``data_start`` bytes.

    A record that is too long is skipped in empty pieces, so that the caller sees the progress of reading.

    Raises
    ------
    SourceError
        If the stream is cut off or corrupt.
    """
    # Bytes read and not yet returned; extended in place, since a copy of a long record would double the memory.
    buffer = bytearray()
    n_complete = 0  # bytes of the buffer that are whole records
    position = data_start  # of the buffer's first byte
    skipping = False
    n_skipped = 0  # since the last piece
    bad: list[BadRow] = []
    n_reported = 0

    def piece(n_bytes: int) -> Piece:
        nonlocal buffer, n_complete, position, bad, n_reported
        rest = buffer[n_bytes:]
        stored = stream.stored_bytes()
        out = Piece(np.frombuffer(buffer, np.uint8)[:n_bytes], position, stored - n_reported, tuple(bad))
        buffer, n_complete, position = rest, 0, position + n_bytes
        bad, n_reported = [], stored
        return out

    for data in _skip(data_start, decoded(stream, encoding, path)):
        ends = cutter.feed(data)
        if skipping:
            if ends is None:
                position += len(data)
                n_skipped += len(data)
                if n_skipped >= piece_bytes:
                    yield piece(0)
                    n_skipped = 0
                continue
            position += ends[0]
            ends, data, skipping = (0, ends[1] - ends[0]), data[ends[0] :], False
        if ends is not None:
            n_complete = len(buffer) + ends[1]
        buffer += data
        if n_complete >= piece_bytes:
            yield piece(n_complete)
        if len(buffer) - n_complete > max_record_bytes + _LINE_END:
            if n_complete:
                yield piece(n_complete)
            bad.append(BadRow(path, f"byte {position}", TOO_LONG, f"more than {max_record_bytes} bytes"))
            position += len(buffer)
            buffer, n_skipped, skipping = bytearray(), 0, True
    yield piece(len(buffer))


def _skip(n_bytes: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for data in pieces:
        skipped = min(n_bytes, len(data))
        n_bytes -= skipped
        if skipped < len(data):
            yield data[skipped:]


def decoded(stream: ByteStream, encoding: str, path: str) -> Iterator[bytes]:
    """The stream as UTF-8; bytes that are invalid in the encoding become the replacement character."""
    if is_utf8(encoding):
        while data := stream.read():
            yield data
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    try:
        while data := stream.read():
            yield decoder.decode(data).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise SourceError(
            f"{path} is not {encoding}: {error}",
            "set the encoding of the file with --encoding (encoding= in Python)",
        ) from error


def is_utf8(encoding: str) -> bool:
    """Whether text in this encoding is UTF-8 already."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def cut_range(
    file: BinaryIO,
    start: int,
    stop: int,
    *,
    path: str,
    data_start: int,
    max_record_bytes: int,
    patience: int | None = None,
) -> Piece | None:
    """The lines of a file that start in ``start <= byte < stop``; the last one may end beyond ``stop``.

    None if the last line is longer than ``patience`` bytes.
    """
    # The byte before `start` shows whether a line starts there.
    base = start - (1 if start > data_start else 0)
    file.seek(base)
    n_bytes = stop - base
    # Most last lines end within the margin: then one read suffices, without a copy.
    data = file.read(n_bytes + _MARGIN)
    if len(data) < n_bytes:
        raise SourceError(
            f"{path} shrank while being read: it ended at byte {base + len(data):,}, not {stop:,}",
            "do not write to a source while it is being read",
        )
    first = 0
    if base < start:
        first = data.find(b"\n", 0, n_bytes) + 1
        if not first or first == n_bytes:
            return Piece(np.zeros(0, np.uint8), start, stop - start)
    last = max(first, data.rfind(b"\n", first, n_bytes - 1) + 1)
    most = max_record_bytes if patience is None else min(patience, max_record_bytes)
    buffer, end = _read_line(file, data, last, n_bytes - 1, most)
    if most < max_record_bytes and end - last > most:
        return None
    return Piece(np.frombuffer(buffer, np.uint8)[first:end], base + first, stop - start)


def _read_line(
    file: BinaryIO, data: bytes, line: int, searched: int, max_record_bytes: int
) -> tuple[bytes | bytearray, int]:
    """Read on until the line that starts at ``line`` ends; gives all data and the end of that line.

    The line does not end before ``searched``. Reading stops early in a line that is too long.
    """
    end = data.find(b"\n", searched) + 1
    if end:
        return data, end
    buffer = bytearray(data)
    step = 1 << 16
    while not end and len(buffer) - line <= max_record_bytes + _LINE_END:
        more = file.read(step)
        if not more:
            break
        end = more.find(b"\n") + 1
        end += len(buffer) if end else 0
        buffer += more
        step = min(2 * step, 1 << 20)
    return buffer, end or len(buffer)
