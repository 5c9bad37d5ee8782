"""What the user asks to be read. Lazy: nothing is opened before a plan is made.

The plan of reading: files, blocks, columns, and what is known of classes and sizes. Kept as JSON.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from manymill.display import public_url
from manymill.errors import SchemaError, SourceError
from manymill.events import Observer
from manymill.storage.records import from_record, value_of

if TYPE_CHECKING:
    from manymill.data.hashed_texts import HashedMemory
    from manymill.data.memory import Memory

FORMATS = ("jsonl", "csv", "tsv", "parquet", "fasttext", "reviews", "folder")


@dataclass(frozen=True, repr=False)
class Dataset:
    """Labelled text, named but not read: made by :func:`scan` and :meth:`from_memory`.

    Parameters
    ----------
    source : tuple of str
        Paths, globs, directories, URLs, or ``-``.
    text, label, weight : str or None
        Columns; None if they are to be guessed (text, label) or not read (weight).
    format : str or None
        One of `FORMATS`; None if it is to be found out.
    encoding : str
        Of text formats.
    classes : tuple of str or None
        The classes to learn, known from the start; rows of any other are left out. None for all there are.
    strict : bool
        Whether the first bad row is an error.
    max_record_bytes : int
        A longer record is a bad row.
    max_decompressed_bytes : int or None
        A compressed file that holds more is an error; None for no limit.
    storage_options : mapping
        For fsspec.
    labelled : bool
        Whether labels are read.

    Examples
    --------
    >>> from manymill import Dataset
    >>> Dataset.from_memory(["good fun", "bad plot"], ["pos", "neg"]).plan().n_rows
    2
    """

    source: tuple[str, ...]
    text: str | None = None
    label: str | None = None
    weight: str | None = None
    format: str | None = None
    encoding: str = "utf-8"
    classes: tuple[str, ...] | None = None
    strict: bool = False
    max_record_bytes: int = 64 << 20
    max_decompressed_bytes: int | None = None
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)
    labelled: bool = True
    memory: Memory | HashedMemory | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        shown = {
            column.name: getattr(self, column.name)
            for column in fields(self)
            if column.repr and getattr(self, column.name) != column.default
        }
        shown["source"] = tuple(public_url(name) for name in self.source)
        return f"Dataset({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def plan(
        self,
        *,
        block_bytes: int = 1 << 20,
        sample_bytes: int = 8 << 20,
        observe: Observer = lambda event: None,
    ) -> Plan:
        """The plan of reading: opens every file, reads heads and footers and a sample of the labels.

        Parameters
        ----------
        block_bytes : int
            Bytes of a block.
        sample_bytes : int
            How much is sampled, spread over the source.
        observe : callable
            Called with a :class:`~manymill.events.Sampled` about every second while the sample is read.

        Raises
        ------
        SourceError
            If a file is missing, empty, unreadable, or nothing that can be read.
        SchemaError
            If a column is missing.
        """
        from manymill.data.planning import make_plan

        return make_plan(self, block_bytes=block_bytes, sample_bytes=sample_bytes, observe=observe)

    @staticmethod
    def from_memory(texts: Any, labels: Any = None, weights: Any = None) -> Dataset:
        """Data in memory as a dataset.

        Parameters
        ----------
        texts : sequence of str
            A list, tuple, NumPy array, Arrow array, or pandas or polars series; or texts that were hashed before.
        labels : sequence, optional
            Strings, integers, booleans or floats.
        weights : sequence of float, optional

        Raises
        ------
        SchemaError
            If the lengths differ or a type is wrong.
        """
        from manymill.data.memory import to_memory

        memory = to_memory(texts, labels, weights)
        return Dataset(source=("memory",), labelled=labels is not None, memory=memory)


def _classes(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if isinstance(classes, str):
        raise SchemaError(f"classes is one string, {classes!r}", "give a list of labels")
    given = tuple(dict.fromkeys(str(name) for name in classes))
    if not given or "" in given:
        what = "classes is an empty list" if not given else "classes holds an empty label"
        raise SchemaError(what, "name the classes to learn, or leave it away for all there are")
    return given


def scan(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    text: str | None = None,
    label: str | None = None,
    weight: str | None = None,
    format: str | None = None,
    encoding: str = "utf-8",
    classes: Sequence[str] | None = None,
    strict: bool = False,
    max_record_bytes: int = 64 << 20,
    max_decompressed_bytes: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
    labelled: bool = True,
) -> Dataset:
    """Labelled text as a dataset; nothing is read yet.

    Parameters
    ----------
    source : path-like or sequence of path-like
        Paths, globs (``**`` for any depth), directories, fsspec URLs, or ``-`` for the standard input.
    text, label, weight : str, optional
        Columns. Text and label are guessed if they are not named. ``"0"``, ``"1"`` … are the columns of a CSV
        file that has no header.
    format : str, optional
        ``jsonl``, ``csv``, ``tsv``, ``parquet``, ``fasttext``, ``reviews`` or ``folder`` (one
        sub-folder per class); found out if not given.
    encoding : str, optional
        Of text formats.
    classes : sequence of str, optional
        The classes to learn, known from the start; rows of any other are left out and counted.
    strict : bool, optional
        Stop at the first bad row, instead of counting it.
    max_record_bytes : int, optional
        A longer record, or value of a Parquet file, is a bad row; bounds the memory that one record can take.
    max_decompressed_bytes : int, optional
        A compressed file that holds more bytes than this is an error: a guard against decompression bombs.
    storage_options : mapping, optional
        For fsspec.
    labelled : bool, optional
        False where labels are not needed and not read.

    Examples
    --------
    >>> from manymill import scan
    >>> scan("reviews/*.jsonl.zst", text="body", label="stars").source
    ('reviews/*.jsonl.zst',)
    """
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not names:
        raise SourceError("the source is an empty list", "name at least one file")
    if format is not None and format not in FORMATS:
        raise SchemaError(f"there is no format {format!r}", f"use one of {', '.join(FORMATS)}")
    if not _is_of_text(encoding):
        raise SchemaError(f"there is no encoding {encoding!r} of text", "for example utf-8, latin-1, cp1252")
    named = [column for column in (text, label if labelled else None, weight) if column is not None]
    if len(set(named)) < len(named):
        raise SchemaError(f"one column is named twice: {', '.join(named)}")
    if max_record_bytes < 1:
        raise SchemaError(f"max_record_bytes is {max_record_bytes}", "it has to be 1 or more")
    if max_decompressed_bytes is not None and max_decompressed_bytes < 1:
        raise SchemaError(
            f"max_decompressed_bytes={max_decompressed_bytes} is invalid: expected None, or 1 or more"
        )
    return Dataset(
        source=tuple(os.fspath(name) for name in names),
        text=text,
        label=label if labelled else None,
        weight=weight,
        format=format,
        encoding=encoding,
        classes=_classes(classes),
        strict=strict,
        max_record_bytes=max_record_bytes,
        max_decompressed_bytes=max_decompressed_bytes,
        storage_options=storage_options,
        labelled=labelled,
    )


def _is_of_text(encoding: str) -> bool:
    """Whether Python has the encoding, and for text: some of its own are of bytes or of the names of hosts."""
    try:
        "".encode(encoding)
        b"a-\xff".decode(encoding, "replace")  # those of other things take no odd bytes
    except (LookupError, ValueError):
        return False
    return codecs.lookup(encoding).name != "punycode"  # takes them since Python 3.13


# Stands for a URL whose credentials were left out.
UNNAMED = "?"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when the plan was made.

    Parameters
    ----------
    path : str
        A path, the public part of a URL, ``"-"`` for the standard input, or ``"memory"``.
    size : int
        Bytes as stored; of all members for a folder tree; 0 for data in memory.
    stamp : str
        Changes when the file does: its modification time, or the ETag of a URL.
    format : str
        ``jsonl``, ``csv``, ``tsv``, ``parquet``, ``fasttext``, ``reviews``, ``folder`` or ``memory``.
    compression : str or None
        ``gzip``, ``zstd``, ``bz2``, ``xz`` or None.
    cuttable : bool
        Whether it can be read from the middle.
    data_start : int
        Byte of the uncompressed file where the records start, behind a byte-order mark and a CSV header.
    column_names : tuple of str
        The header of a CSV file.
    members : tuple of (str, int)
        Relative paths and sizes of the files of a folder tree.
    raw_bytes : int
        Bytes when uncompressed: exact where nothing is compressed, else an estimate.
    url : str
        The whole URL, if it has credentials or a query; never printed and never written. ``"?"`` in a plan that was
        read from a file: the source has to be named again before it can be opened.
    decoder_bytes : int
        What decoding holds at once beside its output: the window of a compressed file, the largest pages of a
        Parquet file.
    """

    path: str
    size: int
    stamp: str
    format: str
    compression: str | None = None
    cuttable: bool = False
    data_start: int = 0
    column_names: tuple[str, ...] = ()
    members: tuple[tuple[str, int], ...] = ()
    raw_bytes: int = 0
    decoder_bytes: int = 0
    url: str = field(default="", repr=False)

    @property
    def location(self) -> str:
        """What is opened: a path or a URL, with its credentials."""
        return self.url or self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """The path and those of all members."""
        return self.path, *(os.path.join(self.path, name) for name, _ in self.members)

    @property
    def version(self) -> dict[str, Any]:
        """What tells this file from another of its name, and from itself after a change, as JSON types.

        The stamp is None where nothing tells: two queries of one server that gives no marks.
        """
        stamp = None if self.url and not self.stamp else self.stamp
        return {"path": self.path, "size": self.size, "stamp": stamp}

    def to_json(self) -> dict[str, Any]:
        """The file as JSON types, without credentials."""
        return {**asdict(self), "url": UNNAMED if self.url else ""}


def source_file(location: str, size: int, stamp: str) -> SourceFile:
    """A file whose format is not known yet."""
    path = public_url(location)
    return SourceFile(path, size, stamp, "", url=location if path != location else "")


@dataclass(frozen=True, slots=True)
class Block:
    """What is read at once: a range of a file.

    Parameters
    ----------
    file : int
        Number of the file in the plan.
    start, stop : int
        Bytes of a text file (it holds the lines that start there), row groups of a Parquet file, rows of data
        in memory, members of a folder tree. A stream that cannot be cut is one block from 0 to its size.
    raw_bytes : int
        About how many bytes it is uncompressed.
    """

    file: int
    start: int
    stop: int
    raw_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns that are read; None where the format has no names or the column is not read."""

    text: str | None = None
    label: str | None = None
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be read.

    Parameters
    ----------
    dataset : Dataset
        What was asked for.
    files, blocks : tuple
        In the order of the source.
    columns : ColumnNames
        The columns that are read.
    notes : tuple of str
        What was guessed, and how to say it otherwise.
    warnings : tuple of str
        What may go wrong.
    class_counts : dict
        Rows of each class in the sample; 0 for a class that was named and is not in it.
    n_rows, text_bytes : int
        Estimates from the sample, exact if `exact`.
    source_bytes : int
        Bytes of all files as stored.
    exact : bool
        Whether the sample was the whole source.
    labels_are_integers : bool
        Whether each label of the sample is an integer in the source.
    longest_record : int
        Bytes of the longest record in the sample, at most.
    head_bytes : int
        Memory that was needed to find the columns, where there are very many.
    record_room : int
        Bytes of the longest record that the promised memory has room for; 0 if no memory was promised.
    record_memory : int
        Bytes of memory that have room for every record.
    """

    dataset: Dataset
    files: tuple[SourceFile, ...]
    blocks: tuple[Block, ...]
    columns: ColumnNames
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    class_counts: dict[str, int] = field(default_factory=dict)
    n_rows: int = 0
    text_bytes: int = 0
    source_bytes: int = 0
    exact: bool = False
    labels_are_integers: bool = False
    longest_record: int = 0
    head_bytes: int = 0
    record_room: int = 0
    record_memory: int = 0

    @property
    def max_record_bytes(self) -> int:
        """Bytes that a record may have; a longer one is a bad row."""
        most = self.dataset.max_record_bytes
        return min(most, self.record_room) if self.record_room else most

    @property
    def is_hashed(self) -> bool:
        """Whether the texts were hashed before: there is little then that could be done ahead on other threads."""
        return self.dataset.memory is not None and self.dataset.memory.is_hashed

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON types: the public part of URLs, no storage options, no data in memory."""
        asked = {
            name: value
            for name in self.dataset.__dataclass_fields__
            if name not in ("memory", "storage_options")
            and (value := getattr(self.dataset, name)) is not None
        }
        asked["source"] = [public_url(name) for name in self.dataset.source]
        own = {name: getattr(self, name) for name in _PLAIN}
        return {
            "dataset": asked,
            "files": [file.to_json() for file in self.files],
            "blocks": [[block.file, block.start, block.stop, block.raw_bytes] for block in self.blocks],
            "columns": asdict(self.columns),
            **own,
        }

    @staticmethod
    def from_json(plan: Mapping[str, Any]) -> Plan:
        """The plan that :meth:`to_json` gave; see :meth:`with_source` and :meth:`with_urls` for what it leaves out.

        Raises
        ------
        ValueError
            If it is not such a plan, by whatever value; a `SchemaError` is one too.
        KeyError
            If an entry is missing.
        """
        told = plan["dataset"]
        asked = {name: value_of(hint, told[name], name) for name, hint in _DATASET.items() if name in told}
        files = tuple(from_record(SourceFile, file) for file in plan["files"])
        for file in files:
            _check_file(file)
        own = {name: value_of(hint, plan[name], name) for name, hint in _PLAIN.items()}
        columns = from_record(ColumnNames, plan["columns"])
        for file in files:
            _check_columns(file, columns, labelled=asked.get("labelled", True))
        return Plan(
            dataset=scan(**asked),
            files=files,
            blocks=tuple(_block_of(block, files) for block in plan["blocks"]),
            columns=columns,
            **own,
        )

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the files whose public part does not say all, in the order of the files."""
        return tuple(file.url for file in self.files if file.url)

    def with_source(self, locations: Mapping[str, str]) -> Plan:
        """The plan, with the URLs that a plan from a file lacks; ``locations`` gives them by their public parts."""
        files = [
            replace(file, url=locations.get(file.path, UNNAMED)) if file.url == UNNAMED else file
            for file in self.files
        ]
        return replace(self, files=tuple(files))

    def with_urls(self, urls: Sequence[str]) -> Plan:
        """The plan with :attr:`urls` as given.

        Raises
        ------
        ValueError
            If they are not the URLs of these files.
        """
        left = list(urls)
        files = [replace(file, url=left.pop(0)) if file.url and left else file for file in self.files]
        if left or any(file.url and public_url(file.url) != file.path for file in files):
            raise ValueError("these are not the files of the plan")
        return replace(self, files=tuple(files))


_PLAIN: dict[str, Any] = {
    "notes": tuple[str, ...],
    "warnings": tuple[str, ...],
    "class_counts": dict[str, int],
    "n_rows": int,
    "text_bytes": int,
    "source_bytes": int,
    "exact": bool,
    "labels_are_integers": bool,
    "longest_record": int,
    "head_bytes": int,
    "record_room": int,
    "record_memory": int,
}
_DATASET: dict[str, Any] = {
    "source": tuple[str, ...],
    "text": str,
    "label": str,
    "weight": str,
    "format": str,
    "encoding": str,
    "classes": tuple[str, ...],
    "strict": bool,
    "max_record_bytes": int,
    "max_decompressed_bytes": int | None,
    "labelled": bool,
}


def _check_file(file: SourceFile) -> None:
    from manymill.data.compression import MAGIC

    if file.format not in (*FORMATS, "memory") or file.compression not in (None, *MAGIC.values()):
        raise ValueError(f"{file.path} is of an unknown format")
    if (
        min(
            file.size,
            file.data_start,
            file.raw_bytes,
            file.decoder_bytes,
            *(size for _, size in file.members),
        )
        < 0
    ):
        raise ValueError(f"{file.path} has a negative size")
    if file.url not in ("", UNNAMED):
        raise ValueError(f"{file.path} has a URL")


def _check_columns(file: SourceFile, columns: ColumnNames, *, labelled: bool) -> None:
    """Refuse columns that a file of its format does not need, lacks, or has to have."""
    named = file.format in ("jsonl", "csv", "tsv", "parquet")
    if (columns.text is not None) != named or (columns.label is not None) != (named and labelled):
        raise ValueError(f"the columns of {file.path} are not those of a {file.format} file")
    header = {columns.text, columns.label, columns.weight} - {None}
    if file.format in ("csv", "tsv") and not header <= set(file.column_names):
        raise ValueError(f"{file.path} has other columns")


def _block_of(numbers: Any, files: tuple[SourceFile, ...]) -> Block:
    if not isinstance(numbers, list) or len(numbers) != 4 or {type(number) for number in numbers} != {int}:
        raise ValueError(f"{str(numbers)[:40]} is not a block")
    block = Block(*numbers)
    if (
        block.file not in range(len(files))
        or not 0 <= block.start <= block.stop < 2**63
        or block.raw_bytes < 0
    ):
        raise ValueError(f"{numbers} is not a block of its files")
    return block
