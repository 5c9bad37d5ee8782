"""`Dataset`, a lazy description of labelled text, and `Plan`, the files, blocks, columns and statistics to read it."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from manymill.display import public_url
from manymill.errors import SchemaError, SourceError
from manymill.events import Observer
from manymill.storage.records import from_record, value_of
from manymill.validation import check, check_bool, check_choice, check_integer

if TYPE_CHECKING:
    from manymill.data.hashed_texts import HashedColumns
    from manymill.data.memory import ArrowColumns

FORMATS = ("jsonl", "csv", "tsv", "parquet", "fasttext", "reviews", "folder")


@dataclass(frozen=True, repr=False)
class Dataset:
    """Lazy labelled text, created by :func:`scan` and :meth:`from_memory`. Nothing is opened until it is planned.

    Parameters
    ----------
    source : tuple of str
        Paths, globs, directories, URLs, or ``-``.
    text, label, weight : str or None
        Column names. If None, text and label are inferred, and no weight is read.
    format : str or None
        One of `FORMATS`; inferred if None.
    encoding : str
        Encoding of text formats.
    classes : tuple of str or None
        The classes to learn; rows of other classes are rejected. None for all classes of the data.
    strict : bool
        Whether the first bad row is an error.
    max_record_bytes : int
        A longer record is a bad row.
    max_decompressed_bytes : int or None
        A compressed file with more uncompressed bytes is an error; None for no limit.
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
    memory: ArrowColumns | HashedColumns | None = field(default=None, repr=False, compare=False)

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
        """Plan the reading: open every file, and read headers, footers and a sample of the labels.

        Parameters
        ----------
        block_bytes : int
            Size of a block in bytes.
        sample_bytes : int
            Size of the sample in bytes, spread over the source.
        observe : callable
            Called with a :class:`~manymill.events.Sampled` about every second while the sample is read.

        Raises
        ------
        SourceError
            If a file is missing, empty, unreadable, or not in a supported format.
        SchemaError
            If a column is missing.
        """
        from manymill.data.planning import make_plan

        return make_plan(self, block_bytes=block_bytes, sample_bytes=sample_bytes, observe=observe)

    @staticmethod
    def from_memory(texts: Any, labels: Any = None, weights: Any = None) -> Dataset:
        """Wrap data in memory as a dataset.

        Parameters
        ----------
        texts : sequence of str
            A list, tuple, NumPy array, Arrow array, or pandas or polars series; or texts that are already hashed.
        labels : sequence, optional
            Strings, integers, booleans or floats.
        weights : sequence of float, optional

        Raises
        ------
        SchemaError
            If the lengths differ or a type is wrong.
        """
        from manymill.data.memory import columns_in_memory

        memory = columns_in_memory(texts, labels, weights)
        return Dataset(source=("memory",), labelled=labels is not None, memory=memory)


def _classes(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    valid = isinstance(classes, Iterable) and not isinstance(classes, str | bytes)
    check(valid, "classes", classes, "a list of labels, or None")
    names = tuple(dict.fromkeys(str(name) for name in classes))
    expected = "one or more labels, none of them empty, or None for all classes of the data"
    check(bool(names) and "" not in names, "classes", list(names), expected)
    return names


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
    """Describe labelled text as a dataset; nothing is read yet.

    Parameters
    ----------
    source : path-like or sequence of path-like
        Paths, globs (``**`` for any depth), directories, fsspec URLs, or ``-`` for the standard input.
    text, label, weight : str, optional
        Column names. Text and label are inferred by default. ``"0"``, ``"1"`` … are the columns of a CSV file
        without a header.
    format : str, optional
        ``jsonl``, ``csv``, ``tsv``, ``parquet``, ``fasttext``, ``reviews`` or ``folder`` (one
        sub-folder per class); inferred by default.
    encoding : str, optional
        Encoding of text formats.
    classes : sequence of str, optional
        The classes to learn; rows of other classes are rejected and counted. By default, all classes of the data.
    strict : bool, optional
        Raise an error at the first bad row instead of counting it.
    max_record_bytes : int, optional
        A longer record, or value of a Parquet file, is a bad row; bounds the memory of a single record.
    max_decompressed_bytes : int, optional
        A compressed file with more uncompressed bytes than this is an error: a guard against decompression bombs.
    storage_options : mapping, optional
        Options for fsspec.
    labelled : bool, optional
        Whether to read labels.

    Raises
    ------
    SourceError
        If the source is empty.
    SettingsError
        If a parameter is invalid.

    Examples
    --------
    >>> from manymill import scan
    >>> scan("reviews/*.jsonl.zst", text="body", label="stars").source
    ('reviews/*.jsonl.zst',)
    """
    check(isinstance(source, Iterable | os.PathLike), "source", source, "a path, or a list of paths")
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    valid = all(isinstance(name, str | os.PathLike) for name in names)
    check(valid, "source", names, "a path, or a list of paths")
    if not names:
        raise SourceError("the source is an empty list", "name at least one file")
    check_choice(format, "format", FORMATS, optional=True)
    check(_is_text_encoding(encoding), "encoding", encoding, "a text encoding, for example utf-8 or latin-1")
    for role, column in (("text", text), ("label", label), ("weight", weight)):
        check(column is None or isinstance(column, str), role, column, "the name of a column, or None")
    check_bool(strict, "strict")
    check_bool(labelled, "labelled")
    named = [column for column in (text, label if labelled else None, weight) if column is not None]
    if len(set(named)) < len(named):
        raise SchemaError(f"the same column is used for more than one role: {', '.join(named)}")
    check_integer(max_record_bytes, "max_record_bytes", 1, 2**63 - 1)
    if max_decompressed_bytes is not None:
        check_integer(max_decompressed_bytes, "max_decompressed_bytes", 1, 2**63 - 1, also=", or None")
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


def _is_text_encoding(encoding: str) -> bool:
    """Whether Python knows the encoding and it is for text, unlike its codecs for bytes and host names."""
    if not isinstance(encoding, str):
        return False
    try:
        "".encode(encoding)
        b"a-\xff".decode(encoding, "replace")  # the codecs for other data raise on such bytes
    except (LookupError, ValueError):
        return False
    return codecs.lookup(encoding).name != "punycode"  # accepts them since Python 3.13


# Placeholder for a URL with credentials, which are never written.
HIDDEN_URL = "?"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and its state when the plan was made.

    Parameters
    ----------
    path : str
        A path, the public part of a URL, ``"-"`` for the standard input, or ``"memory"``.
    size : int
        Bytes as stored; the sum over all members for a folder tree; 0 for data in memory.
    stamp : str
        Identifies the version of the file: its modification time, or the ETag of a URL.
    format : str
        ``jsonl``, ``csv``, ``tsv``, ``parquet``, ``fasttext``, ``reviews``, ``folder`` or ``memory``.
    compression : str or None
        ``gzip``, ``zstd``, ``bz2``, ``xz`` or None.
    cuttable : bool
        Whether reading can start in the middle.
    data_start : int
        Byte of the uncompressed file where the records start, after a byte-order mark and a CSV header.
    column_names : tuple of str
        The header of a CSV file.
    members : tuple of (str, int)
        Relative paths and sizes of the files of a folder tree.
    raw_bytes : int
        Uncompressed bytes: exact if the file is not compressed, else an estimate.
    url : str
        The complete URL, if it has credentials or a query; never printed and never written. ``"?"`` in a plan read
        from a file: the source must be given again before the file can be opened.
    end : int or None
        Where the positions of its records end: the bytes of the uncompressed text in UTF-8, or the number of rows. None
        if it is not known yet.
    decoder_bytes : int
        Memory of the decoder in addition to its output: the window of a compressed file, the largest pages of a
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
    end: int | None = None
    decoder_bytes: int = 0
    url: str = field(default="", repr=False)

    @property
    def location(self) -> str:
        """The path or URL to open, with credentials."""
        return self.url or self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """The path, followed by the paths of all members."""
        return self.path, *(os.path.join(self.path, name) for name, _ in self.members)

    @property
    def version(self) -> dict[str, Any]:
        """Identity of this version of the file, as JSON types.

        The stamp is None if versions cannot be told apart: a URL with a query, on a server without ETags or dates.
        """
        stamp = None if self.url and not self.stamp else self.stamp
        return {"path": self.path, "size": self.size, "stamp": stamp}

    def to_json(self) -> dict[str, Any]:
        """The file as JSON types, without credentials."""
        return {**asdict(self), "url": HIDDEN_URL if self.url else ""}


def source_file(location: str, size: int, stamp: str) -> SourceFile:
    """A file whose format is not known yet."""
    path = public_url(location)
    return SourceFile(path, size, stamp, "", url=location if path != location else "")


@dataclass(frozen=True, slots=True)
class Block:
    """A range of a file, the unit of reading.

    Parameters
    ----------
    file : int
        Number of the file in the plan.
    start, stop : int
        Bytes of a text file (the block has the lines that start there), row groups of a Parquet file, rows of data
        in memory, members of a folder tree. An unsplittable stream is one block from 0 to its size.
    raw_bytes : int
        Estimate of its uncompressed bytes.
    """

    file: int
    start: int
    stop: int
    raw_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns to read; None if the format has no column names or the column is not read."""

    text: str | None = None
    label: str | None = None
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to read a dataset: files, blocks, columns, and statistics of a sample.

    Parameters
    ----------
    dataset : Dataset
        The dataset to read.
    files, blocks : tuple
        In the order of the source.
    columns : ColumnNames
        The columns to read.
    notes : tuple of str
        Inferred choices, and how to override them.
    warnings : tuple of str
        Likely problems.
    class_counts : dict
        Rows of each class in the sample; 0 for a class of ``dataset.classes`` without sampled rows.
    n_rows, text_bytes : int
        Estimates from the sample, exact if `exact`.
    source_bytes : int
        Bytes of all files as stored.
    exact : bool
        Whether the sample was the whole source.
    labels_are_integers : bool
        Whether each label of the sample is an integer in the source.
    longest_record : int
        Upper bound of the longest record in the sample, in bytes.
    unspaced_share : float
        Share of the letters in the sample that are of scripts without spaces between words; 0 if labels are not read,
        or the texts are already hashed.
    head_bytes : int
        Memory used to infer the columns, if there are very many.
    record_room : int
        Longest record in bytes that fits into the memory limit of the run; 0 without a limit.
    record_memory : int
        Memory limit in bytes that would fit every record allowed by `max_record_bytes`.
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
    unspaced_share: float = 0.0
    head_bytes: int = 0
    record_room: int = 0
    record_memory: int = 0

    @property
    def max_record_bytes(self) -> int:
        """Longest record allowed, in bytes; a longer one is a bad row."""
        limit = self.dataset.max_record_bytes
        return min(limit, self.record_room) if self.record_room else limit

    @property
    def is_hashed(self) -> bool:
        """Whether the texts are already hashed, so that prefetching on other threads gains little."""
        return self.dataset.memory is not None and self.dataset.memory.is_hashed

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights."""
        memory = self.dataset.memory
        return self.columns.weight is not None if memory is None else memory.is_weighted

    @property
    def script_note(self) -> str:
        """How much of the text has no spaces between words, and what its features are; empty if hardly any."""
        if self.unspaced_share <= _SHOWN_UNSPACED:
            return ""
        return (
            f"{100 * self.unspaced_share:.0f} % of the letters are of scripts without spaces between words: "
            "features of 1 to 3 characters"
        )

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON types, with only the public part of URLs, and without storage options and data in memory."""
        options = {
            name: value
            for name in self.dataset.__dataclass_fields__
            if name not in ("memory", "storage_options")
            and (value := getattr(self.dataset, name)) is not None
        }
        options["source"] = [public_url(name) for name in self.dataset.source]
        statistics = {name: getattr(self, name) for name in _PLAN_FIELDS}
        return {
            "dataset": options,
            "files": [file.to_json() for file in self.files],
            "blocks": [[block.file, block.start, block.stop, block.raw_bytes] for block in self.blocks],
            "columns": asdict(self.columns),
            **statistics,
        }

    @staticmethod
    def from_json(plan: Mapping[str, Any]) -> Plan:
        """Restore the output of :meth:`to_json`; :meth:`with_source` and :meth:`with_urls` restore the URLs.

        Raises
        ------
        ValueError
            If it is not a valid plan; a `SchemaError` is a ValueError, too.
        KeyError
            If an entry is missing.
        """
        record = plan["dataset"]
        options = {
            name: value_of(hint, record[name], name)
            for name, hint in _DATASET_FIELDS.items()
            if name in record
        }
        files = tuple(from_record(SourceFile, file) for file in plan["files"])
        for file in files:
            _check_file(file)
        statistics = {
            name: value_of(hint, plan[name], name)
            for name, hint in _PLAN_FIELDS.items()
            if name in plan or name != "unspaced_share"  # which plans of earlier versions lack
        }
        columns = from_record(ColumnNames, plan["columns"])
        for file in files:
            _check_columns(file, columns, labelled=options.get("labelled", True))
        return Plan(
            dataset=scan(**options),
            files=files,
            blocks=tuple(_read_block(block, files) for block in plan["blocks"]),
            columns=columns,
            **statistics,
        )

    @property
    def urls(self) -> tuple[str, ...]:
        """The complete URLs of the files with credentials or queries, in file order."""
        return tuple(file.url for file in self.files if file.url)

    def with_source(self, locations: Mapping[str, str]) -> Plan:
        """Fill in the URLs that a plan read from a file lacks; ``locations`` maps public parts to complete URLs."""
        files = [
            replace(file, url=locations.get(file.path, HIDDEN_URL)) if file.url == HIDDEN_URL else file
            for file in self.files
        ]
        return replace(self, files=tuple(files))

    def with_urls(self, urls: Sequence[str]) -> Plan:
        """Replace :attr:`urls`.

        Raises
        ------
        ValueError
            If they are not the URLs of these files.
        """
        remaining = list(urls)
        files = [
            replace(file, url=remaining.pop(0)) if file.url and remaining else file for file in self.files
        ]
        if remaining or any(file.url and public_url(file.url) != file.path for file in files):
            raise ValueError("these are not the files of the plan")
        return replace(self, files=tuple(files))


# A smaller share of unspaced letters is not worth a note.
_SHOWN_UNSPACED = 0.01
_PLAN_FIELDS: dict[str, Any] = {
    "notes": tuple[str, ...],
    "warnings": tuple[str, ...],
    "class_counts": dict[str, int],
    "n_rows": int,
    "text_bytes": int,
    "source_bytes": int,
    "exact": bool,
    "labels_are_integers": bool,
    "longest_record": int,
    "unspaced_share": float,
    "head_bytes": int,
    "record_room": int,
    "record_memory": int,
}
_DATASET_FIELDS: dict[str, Any] = {
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
        raise ValueError(f"{file.path} has an unknown format")
    if (
        min(
            file.size,
            file.data_start,
            file.raw_bytes,
            file.end or 0,
            file.decoder_bytes,
            *(size for _, size in file.members),
        )
        < 0
    ):
        raise ValueError(f"{file.path} has a negative size")
    if file.url not in ("", HIDDEN_URL):
        raise ValueError(f"{file.path} has a URL")


def _check_columns(file: SourceFile, columns: ColumnNames, *, labelled: bool) -> None:
    """Reject column roles that do not match the file's format or header."""
    named = file.format in ("jsonl", "csv", "tsv", "parquet")
    if (columns.text is not None) != named or (columns.label is not None) != (named and labelled):
        raise ValueError(f"the columns of {file.path} do not match the format {file.format}")
    header = {columns.text, columns.label, columns.weight} - {None}
    if file.format in ("csv", "tsv") and not header <= set(file.column_names):
        raise ValueError(f"{file.path} does not have the columns of the plan")


def _read_block(numbers: Any, files: tuple[SourceFile, ...]) -> Block:
    if not isinstance(numbers, list) or len(numbers) != 4 or {type(number) for number in numbers} != {int}:
        raise ValueError(f"{str(numbers)[:40]} is not a block")
    block = Block(*numbers)
    if (
        block.file not in range(len(files))
        or not 0 <= block.start <= block.stop < 2**63
        or block.raw_bytes < 0
    ):
        raise ValueError(f"{numbers} is not a block of the plan's files")
    return block
