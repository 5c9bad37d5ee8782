"""What a file is: its format and compression, told by its first bytes and its name."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from manymill.data.chunks import cutter_for, is_utf8
from manymill.data.compression import compression_of, open_stream, window_bytes
from manymill.data.dataset import SourceFile
from manymill.data.files import COMPRESSED, FORMAT_OF, extensions, open_file
from manymill.errors import SourceError

# What is looked at of a file, if its first records are not longer.
HEAD_BYTES = 1 << 18

# Whole records that a head has at least: a table is not known without a row below its header.
_LEAST_RECORDS = {"csv": 2, "tsv": 2}
# Nothing is looked for in the records of these.
_WITHOUT_COLUMNS = ("fasttext", "reviews", "folder")

_BOM = b"\xef\xbb\xbf"
# Enough for the header of any compression.
_HEADER_BYTES = 1 << 11
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file.

    Parameters
    ----------
    data : bytes
        The first uncompressed bytes, with the first record whole. Records that are too long are left out.
    n_bytes : int
        Uncompressed bytes that were read.
    stored_bytes : int
        Bytes of the file that they took.
    whole : bool
        Whether that is all of the file.
    """

    data: bytes
    n_bytes: int
    stored_bytes: int
    whole: bool


def read_head(
    file: SourceFile,
    options: Mapping[str, Any] | None,
    *,
    format: str | None = None,
    encoding: str = "utf-8",
    max_record_bytes: int = 64 << 20,
    max_bytes: int | None = None,
    tell: Callable[[int], None] = lambda n_stored: None,
) -> Head:
    """The beginning of a file: ``HEAD_BYTES``, or more until its first record is whole.

    Parameters
    ----------
    file : SourceFile
    options : mapping, optional
        For fsspec.
    format : str, optional
        As the user names it; told by the file's name and its first bytes if not given.
    encoding : str
        Of the text.
    max_record_bytes : int
        A longer record is passed over if the format is known by a name and others may follow; else the head ends in it.
    max_bytes : int, optional
        A compressed file that holds more is an error.
    tell : callable
        Called now and then with the bytes, as stored, that have been read: a file without a row is read to its end.
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
            tell(stream.stored_bytes())
        return Head(reader.data(), reader.n_bytes, stream.stored_bytes(), False)
    finally:
        stream.close()


class _HeadReader:
    """Collects the beginning of a file until its first record is there."""

    def __init__(self, path: str, format: str | None, encoding: str, max_record_bytes: int) -> None:
        self._path, self._encoding, self._most = path, encoding, max_record_bytes
        self._format = format or FORMAT_OF.get(extensions(path)[0])
        self._is_named = self._format is not None
        self._held: list[bytes] = []
        self._n_held = self.n_bytes = 0
        self._has_text = False  # blank lines are no beginning
        self._n_records = 0
        self._cutter = None if self._format is None else cutter_for(self._format)
        self._decode = codecs.getincrementaldecoder(encoding)("ignore").decode
        self._skips = False
        self._bom = b""

    def data(self) -> bytes:
        """What is held."""
        return b"".join([self._bom, *self._held])

    def add(self, data: bytes) -> None:
        """Take the next bytes of the file."""
        if not self.n_bytes and data.startswith((_BOM, *_UTF16)):
            self._bom = data[: 3 if data.startswith(_BOM) else 2]
            data, self.n_bytes = data[len(self._bom) :], len(self._bom)
            self._decode(self._bom)
        self._held.append(data)
        self._n_held += len(data)
        self.n_bytes += len(data)
        if self._format == "parquet":
            return
        if self._cutter is None and self._n_held >= HEAD_BYTES:
            self._find_format()
        elif self._cutter is not None:
            self._cut(data)
        if self._n_held > self._most + HEAD_BYTES and not self._n_records:
            self._pass_over()

    def is_enough(self) -> bool:
        """Whether nothing more has to be read."""
        if self._n_held < HEAD_BYTES:
            return False
        if self._n_held > self._most + HEAD_BYTES and not self._may_pass_over():
            return True
        return self._format == "parquet" or self._n_records >= _LEAST_RECORDS.get(self._format or "", 1)

    def _find_format(self) -> None:
        head = self.data()
        try:
            self._format = find_format(self._path, head, self._encoding)
        except SourceError:
            self._format = "lines"  # the first line may tell when it is whole
        self._cutter = cutter_for(self._format)
        if self._format != "parquet":
            self._cut(b"".join(self._held))

    def _cut(self, data: bytes) -> None:
        """Count the records that end in the next bytes."""
        if not is_utf8(self._encoding):
            try:
                data = self._decode(data).encode()
            except UnicodeError:  # it is of another encoding: whoever reads it says so
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
            # The end of what was too long: what follows is looked at.
            self._held, self._skips = [data[ends[0] :]], False
            self._n_held = len(self._held[0])
            ends = None if ends[0] == ends[1] else ends
        if ends is not None and (self._format != "jsonl" or self._has_object(len(data) - ends[1])):
            self._n_records += 1 if ends[0] == ends[1] else 2

    def _has_object(self, n_open: int) -> bool:
        """Whether a whole line begins like an object; the last ``n_open`` bytes are of no whole line."""
        text = b"".join(self._held)
        if not is_utf8(self._encoding):
            return True
        return re.search(rb"(?m)^[ \t]*\{", text[: len(text) - n_open]) is not None

    def _may_pass_over(self) -> bool:
        return self._is_named and self._format == "jsonl" and is_utf8(self._encoding)

    def _pass_over(self) -> None:
        """Let go of a record that is too long, up to its end."""
        if self._may_pass_over():
            self._held, self._n_held, self._skips = [], 0, True


def stored_compression(file: SourceFile, options: Mapping[str, Any] | None) -> tuple[str | None, int]:
    """The compression of a file, by its first bytes, and the window that decompressing it needs.

    Raises
    ------
    SourceError
        If the name promises another one.
    """
    path = file.path
    raw = open_file(file, options, check=False)
    try:
        head = raw.read(_HEADER_BYTES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    finally:
        raw.close()
    found = compression_of(head)
    promised = COMPRESSED.get(extensions(path)[1])
    if promised and found != promised and file.size:
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
    beginning = head[:HEAD_BYTES]  # of a head with a long record a copy would be as long
    text = beginning.removeprefix(_BOM).decode(encoding, "replace").encode().lstrip()
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
        f"{path}: its format cannot be told from its name or its beginning",
        "name it with --format (format= in Python)",
    )


def bom_length(head: bytes) -> int:
    """Bytes of the byte-order mark at the beginning of a UTF-8 file."""
    return len(_BOM) if head.startswith(_BOM) else 0
