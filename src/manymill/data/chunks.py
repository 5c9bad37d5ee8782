"""Text cut into pieces of whole records, from a stream or from a range of a file.

A piece is about a block long. The memory held is a piece and one unfinished record, and that is no longer
than the longest record allowed: what goes on beyond is skipped and told.
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
# Read beyond the end of a block for its last line; few lines are longer.
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
        Bytes of the source they stand for, as stored.
    bad : tuple of BadRow
        What was skipped before them.
    """

    data: NDArray[np.uint8]
    position: int
    n_bytes: int
    bad: tuple[BadRow, ...] = ()


class Cutter(Protocol):
    """Finds record ends in a stream that arrives in pieces."""

    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Just behind the first and the last record end in the next piece; None if there is none."""


class LineCutter:
    """A record is a line."""

    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Where the first and the last line end."""
        last = piece.rfind(b"\n") + 1
        return (piece.find(b"\n") + 1, last) if last else None


class ReviewCutter:
    """A record ends with its closing tag, which may be torn between two pieces."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Where the first and the last review end."""
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
    """Pieces of whole records of a stream, the first ``data_start`` bytes of which are skipped.

    A record that is too long is passed over in empty pieces, so that the caller can see how far the reading is.

    Raises
    ------
    SourceError
        If the stream is cut off or corrupt.
    """
    # What was read and not given out: grown in place, as a second copy of a long record would double what it takes.
    held = bytearray()
    n_whole = 0  # how many of its bytes are whole records
    position = data_start  # where it starts
    skipping = False
    n_skipped = 0  # since the last piece
    bad: list[BadRow] = []
    given = 0

    def piece(n_bytes: int) -> Piece:
        nonlocal held, n_whole, position, bad, given
        rest = held[n_bytes:]
        stored = stream.stored_bytes()
        out = Piece(np.frombuffer(held, np.uint8)[:n_bytes], position, stored - given, tuple(bad))
        held, n_whole, position = rest, 0, position + n_bytes
        bad, given = [], stored
        return out

    for data in _after(data_start, _decoded(stream, encoding, path)):
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
            n_whole = len(held) + ends[1]
        held += data
        if n_whole >= piece_bytes:
            yield piece(n_whole)
        if len(held) - n_whole > max_record_bytes + _LINE_END:
            if n_whole:
                yield piece(n_whole)
            bad.append(BadRow(path, f"byte {position}", TOO_LONG, f"more than {max_record_bytes} bytes"))
            position += len(held)
            held, n_skipped, skipping = bytearray(), 0, True
    yield piece(len(held))


def _after(n_bytes: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for data in pieces:
        skipped = min(n_bytes, len(data))
        n_bytes -= skipped
        if skipped < len(data):
            yield data[skipped:]


def _decoded(stream: ByteStream, encoding: str, path: str) -> Iterator[bytes]:
    """The stream as UTF-8; bytes that the encoding does not know become the replacement character."""
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
        raise SourceError(f"{path} is not {encoding}: {error}", "name another encoding=") from error


def is_utf8(encoding: str) -> bool:
    """Whether an encoding needs no decoding."""
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
    """The lines of a file that start in ``start <= byte < stop``, of which the last may go on beyond.

    None if it goes on for more than ``patience`` bytes.
    """
    # The byte before tells whether a line starts at `start`.
    base = start - (1 if start > data_start else 0)
    file.seek(base)
    n_bytes = stop - base
    # Most last lines end within the margin: one read, and nothing is copied after it.
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
    held, end = _whole_line(file, data, last, n_bytes - 1, most)
    if most < max_record_bytes and end - last > most:
        return None
    return Piece(np.frombuffer(held, np.uint8)[first:end], base + first, stop - start)


def _whole_line(
    file: BinaryIO, data: bytes, line: int, seen: int, max_record_bytes: int
) -> tuple[bytes | bytearray, int]:
    """The data, with more of the file behind it if need be, and where the line ends that starts at ``line``.

    The line does not end before ``seen``. One that is too long may be left unfinished.
    """
    end = data.find(b"\n", seen) + 1
    if end:
        return data, end
    held = bytearray(data)
    step = 1 << 16
    while not end and len(held) - line <= max_record_bytes + _LINE_END:
        more = file.read(step)
        if not more:
            break
        end = more.find(b"\n") + 1
        end += len(held) if end else 0
        held += more
        step = min(2 * step, 1 << 20)
    return held, end or len(held)
