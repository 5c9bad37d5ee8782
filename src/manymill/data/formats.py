"""What a file is: its format and compression, told by its first bytes and its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manymill.data.compression import compression_of, open_stream, window_bytes
from manymill.data.cutting import is_utf8
from manymill.data.files import open_file
from manymill.data.names import COMPRESSED, FORMAT_OF, extensions
from manymill.data.plan import SourceFile
from manymill.errors import SourceError

_BOM = b"\xef\xbb\xbf"
# Enough for the header of any compression.
_HEADER_BYTES = 1 << 11
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_head(
    file: SourceFile, options: Mapping[str, Any] | None, n_bytes: int, max_bytes: int | None = None
) -> tuple[bytes, int, bool]:
    """The first uncompressed bytes of a file, how many stored bytes they took, and whether that was all."""
    stream = open_stream(
        open_file(file, options),
        file.path,
        file.compression,
        window_bytes=file.decoder_bytes,
        max_bytes=max_bytes,
    )
    try:
        held: list[bytes] = []
        n_held = 0
        while n_held < n_bytes:
            if not (data := stream.read()):
                return b"".join(held), stream.stored_bytes(), True
            held.append(data)
            n_held += len(data)
        return b"".join(held), stream.stored_bytes(), False
    finally:
        stream.close()


def stored_compression(
    path: str, size: int, stamp: str, options: Mapping[str, Any] | None
) -> tuple[str | None, int]:
    """The compression of a file, by its first bytes, and the window that decompressing it needs.

    Raises
    ------
    SourceError
        If the name promises another one.
    """
    raw = open_file(SourceFile(path, size, stamp, ""), options, check=False)
    try:
        head = raw.read(_HEADER_BYTES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    finally:
        raw.close()
    found = compression_of(head)
    promised = COMPRESSED.get(extensions(path)[1])
    if promised and found != promised and size:
        raise SourceError(
            f"{path} is no {promised} file: it starts with {head[:6]!r}",
            "give it the extension of what it is",
        )
    return found, window_bytes(head, found)


def find_format(path: str, head: bytes, encoding: str) -> str:
    """The format of a file by its extension, or by its first uncompressed bytes where that does not tell.

    Raises
    ------
    SourceError
        If it is none that is known.
    """
    if is_utf8(encoding) and head.startswith(_UTF16):
        raise SourceError(f"{path} is UTF-16", "say so with encoding='utf-16'")
    text = head.removeprefix(_BOM).decode(encoding, "replace").encode().lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    named = FORMAT_OF.get(extensions(path)[0])
    if text.startswith(b"[") and named in (None, "jsonl"):
        raise SourceError(
            f"{path} holds one JSON array", "turn it into JSON lines, for example with jq -c '.[]'"
        )
    if named:
        return named
    line = text.split(b"\n", 1)[0]
    if text.startswith(b"{"):
        return "jsonl"
    if text.startswith(b"__label__"):
        return "fasttext"
    if b"<review>" in text:
        return "reviews"
    if b"\t" in line:
        return "tsv"
    if b"," in line:
        return "csv"
    raise SourceError(
        f"{path}: its format cannot be told from its name or its beginning", "name it with format="
    )


def bom_length(head: bytes) -> int:
    """Bytes of the byte-order mark at the beginning of a UTF-8 file."""
    return len(_BOM) if head.startswith(_BOM) else 0
