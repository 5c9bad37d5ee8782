"""Streaming decompression of all members of a file, in bounded memory whatever the compression ratio.

Truncated or corrupt data is an error, never a silent end of the stream.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from manymill.errors import SourceError

if sys.version_info >= (3, 14):
    from compression import zstd as _zstd
else:
    from backports import zstd as _zstd

MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
_STORED_BYTES = 1 << 16
_PIECE_BYTES = 1 << 18
# Bytes of a member's header at most; that of an xz block is the longest.
HEADER_BYTES = 1 << 11
# Every zstd decoder must support a window of this size; the usual levels of zstd and xz need no more.
_LEAST_WINDOW = 8 << 20


def compression_of(head: bytes) -> str | None:
    """Detect the compression from the first bytes of a file; None if it is not compressed."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    # A zstd file may begin with a skippable frame.
    return "zstd" if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5 else None


class ByteStream(Protocol):
    """A stream of uncompressed bytes."""

    def read(self) -> bytes:
        """The next bytes, a few hundred thousand at most; empty at the end."""

    def stored_bytes(self) -> int:
        """Number of bytes of the stored (maybe compressed) file read so far."""

    def close(self) -> None:
        """Close the file."""


class Plain:
    """An uncompressed file."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def read(self) -> bytes:
        """The next bytes."""
        return self._raw.read(_PIECE_BYTES)

    def stored_bytes(self) -> int:
        """Bytes read so far."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


class Compressed:
    """The uncompressed bytes of all members of a compressed file.

    Parameters
    ----------
    raw : binary stream
    name : str
        For errors.
    compression : str
    window_bytes : int
        The largest window or dictionary that a member may need; 8 MiB are always allowed.
    max_bytes : int or None
        Limit of the uncompressed size; more is an error.
    """

    def __init__(
        self, raw: BinaryIO, name: str, compression: str, window_bytes: int = 0, max_bytes: int | None = None
    ) -> None:
        self._raw = raw
        self._name = name
        self._compression = compression
        self._window_bytes = max(_LEAST_WINDOW, window_bytes)
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._pieces = self._members()

    def read(self) -> bytes:
        """The next uncompressed bytes."""
        piece = next(self._pieces, b"")
        self._n_bytes += len(piece)
        if self._max_bytes is not None and self._n_bytes > self._max_bytes:
            raise SourceError(
                f"{self._name} decompresses to more than {self._max_bytes:,} bytes "
                f"(from the first {self.stored_bytes():,} bytes of the file)",
                "raise --max-decompressed (max_decompressed_bytes= in Python) if the file is trusted",
            )
        return piece

    def stored_bytes(self) -> int:
        """Compressed bytes read so far."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def _members(self) -> Iterator[bytes]:
        pending, n_members = self._next_member(b""), 0
        while pending:
            start = self.stored_bytes() - len(pending)
            window = window_bytes(pending, self._compression)
            if window > self._window_bytes:
                raise self._too_large(start, window)
            member = _NEW_MEMBER[self._compression](self._window_bytes)
            n_output = 0
            while not member.eof:
                if member.needs_input and not pending:
                    pending = self._raw.read(_STORED_BYTES)
                    if not pending:
                        raise self._corrupt(f"is truncated: its {self._compression} data ends too early, at")
                try:
                    piece = member.decompress(pending, _PIECE_BYTES)
                except MemoryError as error:
                    raise self._too_large(start, None) from error
                except _decoding_errors() as error:
                    if n_members and not n_output:
                        what = f"has other bytes after its {self._compression} data ({error}), from"
                        raise self._corrupt(what, start) from error
                    what = f"is corrupt ({error}): its {self._compression} data is invalid before"
                    raise self._corrupt(what) from error
                pending = b""
                if piece:
                    n_output += len(piece)
                    yield piece
            n_members += 1
            pending = self._next_member(member.unused_data)

    def _next_member(self, pending: bytes) -> bytes:
        """Skip padding (zeros that some tools write), and read at least the header of the next member."""
        pending = pending.lstrip(b"\0")
        while len(pending) < HEADER_BYTES and (more := self._raw.read(_STORED_BYTES)):
            pending = (pending + more).lstrip(b"\0")
        return pending

    def _corrupt(self, what: str, at: int | None = None) -> SourceError:
        at = self.stored_bytes() if at is None else at
        return SourceError(f"{self._name} {what} byte {at:,}", "download or write the file again")

    def _too_large(self, at: int, window: int | None) -> SourceError:
        needed = "a larger one" if window is None else f"{window / 1e6:,.0f} MB"
        return SourceError(
            f"{self._name}: the {self._compression} data at byte {at:,} needs a window of {needed}, more than the "
            f"{self._window_bytes / 1e6:,.0f} MB planned from the beginning of the file; the file itself is not "
            "corrupt",
            "compress it again as one stream, or with a smaller window (zstd without --long or --ultra, xz -6)",
        )


class _Gzip:
    """A gzip member with the interface of the other decompressors."""

    def __init__(self, window_bytes: int) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = len(piece) < max_length and not self._zlib.unconsumed_tail
        return piece

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


def _xz_member(window_bytes: int) -> Any:
    # The decoder takes about 100 kB in addition to its dictionary.
    return lzma.LZMADecompressor(memlimit=window_bytes + (1 << 20))


def _zstd_member(window_bytes: int) -> Any:
    log = min(31, max(10, (window_bytes - 1).bit_length()))
    return _zstd.ZstdDecompressor(options={_zstd.DecompressionParameter.window_log_max: log})


def _decoding_errors() -> tuple[type[Exception], ...]:
    return (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, _zstd.ZstdError)


_NEW_MEMBER: dict[str, Callable[[int], Any]] = {
    "gzip": _Gzip,
    "bz2": lambda window_bytes: bz2.BZ2Decompressor(),
    "xz": _xz_member,
    "zstd": _zstd_member,
}


def window_bytes(head: bytes, compression: str | None) -> int:
    """Bytes of earlier output that the decompressor holds, from the header at the beginning of a member.

    0 if ``head`` has no complete, valid header.
    """
    if compression == "zstd":
        return _zstd_window(head)
    if compression == "xz":
        return _xz_dictionary(head)
    return {"gzip": 1 << 15, "bz2": 4 << 20}.get(compression or "", 0)


def _zstd_window(head: bytes) -> int:
    """The window of the first frame that is not skippable: RFC 8878, section 3.1.1.1."""
    at = 0
    while head[at + 1 : at + 4] == b"\x2a\x4d\x18" and head[at] >> 4 == 5:
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
    frame = head[at : at + 18]
    if len(frame) < 6 or frame[:4] != b"\x28\xb5\x2f\xfd":
        return 0
    flags = frame[4]
    if not flags & 0x20:
        exponent, mantissa = frame[5] >> 3, frame[5] & 7
        base = 1 << (10 + exponent)
        return base + (base >> 3) * mantissa
    # A single-segment frame holds all of its content.
    start = 5 + (0, 1, 2, 4)[flags & 3]
    size = (1, 2, 4, 8)[flags >> 6]
    content = int.from_bytes(frame[start : start + size], "little")
    return content + 256 if size == 2 else content


def _xz_dictionary(head: bytes) -> int:
    """The dictionary of the first block: section 3.1 of the format of .xz files."""
    block = head[12:]
    if not block or not block[0]:  # a stream without a block
        return 0
    at = 2

    def number() -> int:
        nonlocal at
        value = shift = 0
        while at < len(block):
            byte = block[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        return value

    for flag in (0x40, 0x80):  # optional sizes of the block
        if block[1:2] and block[1] & flag:
            number()
    for _ in range((block[1] & 3) + 1 if len(block) > 1 else 0):
        kind, n_bytes = number(), number()
        if kind == 0x21 and at < len(block):
            bits = block[at] & 0x3F
            return (1 << 32) - 1 if bits >= 40 else (2 | bits & 1) << (bits // 2 + 11)
        at += n_bytes
    return 0


def open_stream(
    raw: BinaryIO,
    name: str,
    compression: str | None,
    *,
    window_bytes: int = 0,
    max_bytes: int | None = None,
) -> ByteStream:
    """The uncompressed bytes of a file; :class:`Compressed` documents the limits."""
    return Plain(raw) if compression is None else Compressed(raw, name, compression, window_bytes, max_bytes)
