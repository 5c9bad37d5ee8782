"""Detect the format and compression of a file from its name and its first bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from manymill.data.chunks import cutter_for, is_utf8
from manymill.data.compression import HEADER_BYTES, compression_of, open_stream, window_bytes
from manymill.data.dataset import SourceFile
from manymill.data.files import COMPRESSED, FORMAT_OF, extensions, open_file
from manymill.errors import SourceError

# Bytes of a head, unless the first records are longer.
HEAD_BYTES = 1 << 18

# Complete records that a head has at least: a table needs a row below its header.
_LEAST_RECORDS = {"csv": 2, "tsv": 2}
# Formats without columns to infer.
_WITHOUT_COLUMNS = ("fasttext", "reviews", "folder")

_BOM = b"\xef\xbb\xbf"

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file.

    Parameters
    ----------
    data : bytes
        The first uncompressed bytes, with at least one complete record. Records that are too long are left out.
    n_bytes : int
        Uncompressed bytes read.
    stored_bytes : int
        Bytes of the stored file read.
    is_complete : bool
        Whether this is the entire file.
    """

    data: bytes
    n_bytes: int
    stored_bytes: int
    is_complete: bool


def read_head(
    file: SourceFile,
    options: Mapping[str, Any] | None,
    *,
    format: str | None = None,
    encoding: str = "utf-8",
    max_record_bytes: int = 64 << 20,
    max_bytes: int | None = None,
    report: Callable[[int], None] = lambda n_stored: None,
) -> Head:
    """Read the beginning of a file: ``HEAD_BYTES``, or more until its first record is complete.

    Parameters
    ----------
    file : SourceFile
    options : mapping, optional
        Options for fsspec.
    format : str, optional
        Format set by the user; by default detected from the file's name and first bytes.
    encoding : str
        Encoding of the text.
    max_record_bytes : int
        A longer record is skipped if the format is known from the name or the user and is JSON lines; otherwise the
        head ends within the record.
    max_bytes : int, optional
        Limit of the uncompressed size of a compressed file; more is an error.
    report : callable
        Called now and then with the number of stored bytes read, since a file without a row is read to its end.
    """
    stream = open_stream(
        open_file(file, options),
        file.path,
        file.compression,
        window_bytes=file.decoder_bytes,
        max_bytes=max_bytes,
    )
    reader = _HeadReader(file.path, format, encoding, max_record_bytes)
    try:
        while not reader.is_enough():
            if not (data := stream.read()):
                return Head(reader.data(), reader.n_bytes, stream.stored_bytes(), True)
            reader.add(data)
            report(stream.stored_bytes())
        return Head(reader.data(), reader.n_bytes, stream.stored_bytes(), False)
    finally:
        stream.close()


class _HeadReader:
    """Collector of the beginning of a file until its first record is complete."""

    def __init__(self, path: str, format: str | None, encoding: str, max_record_bytes: int) -> None:
        self._path, self._encoding, self._max_record_bytes = path, encoding, max_record_bytes
        self._format = format or FORMAT_OF.get(extensions(path)[0])
        self._is_named = self._format is not None
        self._pieces: list[bytes] = []
        self._n_held = self.n_bytes = 0
        self._has_text = False  # leading blank lines do not count
        self._n_records = 0
        self._cutter = None if self._format is None else cutter_for(self._format)
        self._decode = codecs.getincrementaldecoder(encoding)("ignore").decode
        self._skips = False
        self._bom = b""

    def data(self) -> bytes:
        """The bytes collected so far."""
        return b"".join([self._bom, *self._pieces])

    def add(self, data: bytes) -> None:
        """Add the next bytes of the file."""
        if not self.n_bytes and data.startswith((_BOM, *_UTF16)):
            self._bom = data[: 3 if data.startswith(_BOM) else 2]
            data, self.n_bytes = data[len(self._bom) :], len(self._bom)
            self._decode(self._bom)
        self._pieces.append(data)
        self._n_held += len(data)
        self.n_bytes += len(data)
        if self._format == "parquet":
            return
        if self._cutter is None and self._n_held >= HEAD_BYTES:
            self._find_format()
        elif self._cutter is not None:
            self._count_records(data)
        if self._n_held > self._max_record_bytes + HEAD_BYTES and not self._n_records and self._may_skip():
            self._pieces, self._n_held, self._skips = [], 0, True

    def is_enough(self) -> bool:
        """Whether the head is complete."""
        if self._n_held < HEAD_BYTES:
            return False
        if self._n_held > self._max_record_bytes + HEAD_BYTES and not self._may_skip():
            return True
        return self._format == "parquet" or self._n_records >= _LEAST_RECORDS.get(self._format or "", 1)

    def _find_format(self) -> None:
        head = self.data()
        try:
            self._format = find_format(self._path, head, self._encoding)
        except SourceError:
            self._format = "lines"  # the complete first line may show the format
        self._cutter = cutter_for(self._format)
        if self._format != "parquet":
            self._count_records(b"".join(self._pieces))

    def _count_records(self, data: bytes) -> None:
        """Count the records that end in the next bytes."""
        if not is_utf8(self._encoding):
            try:
                data = self._decode(data).encode()
            except UnicodeError:  # wrong encoding: reading the file reports it
                self._n_records = _LEAST_RECORDS.get("csv", 1)
                return
        if not self._has_text:
            data = data.lstrip()
            self._has_text = bool(data)
        if not data:
            return
        if self._format in _WITHOUT_COLUMNS:
            self._n_records = 1
            return
        assert self._cutter is not None
        ends = self._cutter.feed(data)
        if ends is None:
            return
        if self._skips:
            # The record that was too long ends here.
            self._pieces, self._skips = [data[ends[0] :]], False
            self._n_held = len(self._pieces[0])
            ends = None if ends[0] == ends[1] else ends
        if ends is not None and (self._format != "jsonl" or self._has_object(len(data) - ends[1])):
            self._n_records += 1 if ends[0] == ends[1] else 2

    def _has_object(self, n_open: int) -> bool:
        """Whether a complete line starts like a JSON object; the last ``n_open`` bytes are an incomplete line."""
        text = b"".join(self._pieces)
        if not is_utf8(self._encoding):
            return True
        return re.search(rb"(?m)^[ \t]*\{", text[: len(text) - n_open]) is not None

    def _may_skip(self) -> bool:
        """Whether records that are too long are skipped."""
        return self._is_named and self._format == "jsonl" and is_utf8(self._encoding)


def stored_compression(file: SourceFile, options: Mapping[str, Any] | None) -> tuple[str | None, int]:
    """The compression of a file, from its first bytes, and the window that the decompressor needs.

    Raises
    ------
    SourceError
        If the file's extension is that of another compression.
    """
    path = file.path
    raw = open_file(file, options, check=False)
    try:
        head = raw.read(HEADER_BYTES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    finally:
        raw.close()
    found = compression_of(head)
    expected = COMPRESSED.get(extensions(path)[1])
    if expected and found != expected and file.size:
        raise SourceError(
            f"{path} is not a {expected} file: it starts with {head[:6]!r}",
            "give it the extension of its actual format",
        )
    return found, window_bytes(head, found)


def find_format(path: str, head: bytes, encoding: str) -> str:
    """Detect the format of a file from its extension, or else from its first uncompressed bytes.

    Raises
    ------
    SourceError
        If the format is unknown.
    """
    if is_utf8(encoding) and head.startswith(_UTF16):
        raise SourceError(f"{path} is UTF-16", "set --encoding utf-16 (encoding= in Python)")
    beginning = head[:HEAD_BYTES]  # avoids copies of a long first record
    text = beginning.removeprefix(_BOM).decode(encoding, "replace").encode().lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    named = FORMAT_OF.get(extensions(path)[0])
    if text.startswith(b"[") and named in (None, "jsonl"):
        raise SourceError(
            f"{path} contains one JSON array", "convert it to JSON lines, for example with jq -c '.[]'"
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
        f"{path}: its format is not recognised from its name or its content",
        "set it with --format (format= in Python)",
    )


def bom_length(head: bytes) -> int:
    """Length in bytes of the byte-order mark at the beginning of a UTF-8 file."""
    return len(_BOM) if head.startswith(_BOM) else 0
