"""What the user asks to be read. Lazy: nothing is opened before a plan is made."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from manymill.display import public_url
from manymill.errors import SchemaError, SourceError
from manymill.events import Observer

if TYPE_CHECKING:
    from manymill.data.hashed import HashedMemory
    from manymill.data.memory import Memory
    from manymill.data.plan import Plan

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
