"""Decompressing streams: all members of a file or an error, never a silent stop.

In: a binary stream. Out: its uncompressed bytes in pieces; memory is bounded whatever the ratio.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from manymill.errors import SourceError

MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
_STORED_BYTES = 1 << 16
_PIECE_BYTES = 1 << 18


def compression_of(head: bytes) -> str | None:
    """The compression that the first bytes of a file tell, None if they tell none."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    # A zstd file may begin with a skippable frame.
    return "zstd" if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5 else None


class ByteStream(Protocol):
    """What a format reads from."""

    def read(self) -> bytes:
        """The next bytes, a few hundred thousand at most; none at the end."""

    def stored_bytes(self) -> int:
        """How many bytes of the file were read so far, as stored."""

    def close(self) -> None:
        """Close the file."""


class TruncatedError(SourceError):
    """A compressed file is cut off or corrupt; what came before was read."""


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
    """A compressed file: all its members."""

    def __init__(self, raw: BinaryIO, name: str, compression: str) -> None:
        self._raw = raw
        self._name = name
        self._compression = compression
        self._kept: list[Any] = []
        self._pieces = self._zstd() if compression == "zstd" else self._members()

    def read(self) -> bytes:
        """The next uncompressed bytes."""
        return next(self._pieces, b"")

    def stored_bytes(self) -> int:
        """Compressed bytes read so far."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def _members(self) -> Iterator[bytes]:
        pending = self._raw.read(_STORED_BYTES)
        while pending:
            member = _NEW_MEMBER[self._compression]()
            while not member.eof:
                if member.needs_input and not pending:
                    pending = self._raw.read(_STORED_BYTES)
                    if not pending:
                        raise self._broken("is cut off")
                try:
                    piece = member.decompress(pending, _PIECE_BYTES)
                except (zlib.error, OSError, lzma.LZMAError) as error:
                    raise self._broken(f"is corrupt, or followed by something else ({error})") from error
                pending = b""
                if piece:
                    yield piece
            # Tools pad members with zeros.
            pending = member.unused_data.lstrip(b"\0")
            while not pending and (pending := self._raw.read(_STORED_BYTES)):
                pending = pending.lstrip(b"\0")

    def _zstd(self) -> Iterator[bytes]:
        """Arrow goes on behind the end of a frame, but a read that meets a break gives nothing.

        So what stands before a break is read again, in smaller and smaller steps.
        """
        import pyarrow as pa

        n_good = 0
        for step in (_PIECE_BYTES, 4096, 1):
            self._raw.seek(0)
            # Kept, because it closes the file when it goes.
            stream = pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), "zstd")
            self._kept.append(stream)
            for start in range(0, n_good, _PIECE_BYTES):
                stream.read(min(_PIECE_BYTES, n_good - start))
            try:
                while piece := stream.read(step):
                    n_good += len(piece)
                    yield piece
                return
            except OSError as error:
                broken = error
        message = str(broken)
        raise self._broken("is cut off" if "runcated" in message else f"is corrupt ({message})") from broken

    def _broken(self, how: str) -> TruncatedError:
        at = self.stored_bytes()
        return TruncatedError(
            f"{self._name} {how}: its {self._compression} data breaks before byte {at:,}",
            "get the file again",
        )


class _Gzip:
    """A gzip member with the interface of the other decompressors."""

    def __init__(self) -> None:
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


_NEW_MEMBER: dict[str, Callable[[], Any]] = {
    "gzip": _Gzip,
    "bz2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}


def open_stream(raw: BinaryIO, name: str, compression: str | None) -> ByteStream:
    """The uncompressed bytes of a file."""
    return Plain(raw) if compression is None else Compressed(raw, name, compression)
