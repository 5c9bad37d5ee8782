"""Columns of numbers in a cache: named by what they were made of, written once, mapped by every process.

An entry of :class:`manymill.storage.cache.Cache` has a file for each column.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from manymill.errors import ManymillError, SourceError
from manymill.storage.cache import ATTEMPTS, Cache
from manymill.storage.cache_entry import Entry, EntryWriter
from manymill.storage.cache_folder import VARIABLE, cache_folder

__all__ = ["ATTEMPTS", "ColumnStore", "ColumnWriter", "MappedColumns"]


@dataclass(frozen=True, slots=True)
class MappedColumns:
    """Columns of numbers, a file each; they are mapped when they are first asked for.

    Parameters
    ----------
    entry : Entry
    dtypes : mapping of str to dtype
        By the name of the column, which is that of its file.
    """

    entry: Entry
    dtypes: Mapping[str, np.dtype[Any]]
    _mapped: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.entry.folder

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, read-only.

        Raises
        ------
        SourceError
            If its file is not there any more, or is damaged.
        """
        if name not in self._mapped:
            dtype = self.dtypes[name]
            try:
                path = self.entry.path(name)
                # An empty file cannot be mapped.
                column = np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
            except OSError as error:
                raise SourceError(
                    f"{self.folder / name} cannot be read any more: {error.strerror or error}",
                    "start again: it is made anew",
                ) from error
            self._mapped[name] = column
        return self._mapped[name]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as names: whoever unpickles it maps the files again."""
        return MappedColumns, (self.entry, self.dtypes)


class ColumnWriter:
    """Columns that grow at their ends, in an entry that is not whole yet.

    Attributes
    ----------
    about : dict
        What is to be known of the columns; goes to JSON.
    """

    def __init__(self, writer: EntryWriter, dtypes: Mapping[str, np.dtype[Any]]) -> None:
        self._writer, self._dtypes = writer, dtypes
        self.about = writer.facts
        for name in dtypes:
            writer.append(name, memoryview(b""))

    @property
    def n_bytes(self) -> int:
        """Bytes of all columns so far."""
        return self._writer.n_bytes

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Write numbers behind those of a column."""
        data = np.ascontiguousarray(values, self._dtypes[name])
        self._writer.append(name, data.reshape(-1).view(np.uint8).data)


class ColumnStore:
    """A cache of columns, up to a size; what is in use stays in any case.

    Parameters
    ----------
    kind : str
        What the columns are, for messages and for the folder: ``"hashed texts"``.
    folder : path, optional
        Made if it is not there; see :func:`manymill.storage.cache_folder.cache_folder` if not given.
    limit_bytes : int, optional
        When more is kept, what was used longest ago is removed; a quarter of what the disk has for it at most.
    run : path, optional
        The run folder, which takes the cache if the user's folder of caches cannot.

    Raises
    ------
    SourceError
        If there is no folder for the cache.
    """

    def __init__(
        self,
        kind: str,
        folder: str | os.PathLike[str] | None = None,
        limit_bytes: int | None = None,
        *,
        run: str | os.PathLike[str] | None = None,
    ) -> None:
        where = cache_folder(kind, run=run) if folder is None else Path(os.path.abspath(folder))
        self._hint = f"free some room there, or set {VARIABLE} to another folder"
        if folder is not None:
            self._hint = "free some room there, or name another folder"
        self._cache = Cache(kind, where, limit_bytes)

    def find(
        self, name: str, dtypes: Mapping[str, np.dtype[Any]]
    ) -> tuple[MappedColumns, dict[str, Any]] | None:
        """The columns of this name and what was told about them, in use from now on; None if there are none.

        Those that are damaged are dropped.

        Raises
        ------
        SourceError
            If the folder cannot be used.
        """
        with self._failing("used"):
            found = self._cache.find(name)
        return None if found is None else (MappedColumns(found[0], dict(dtypes)), found[1])

    @contextmanager
    def writing(self, name: str, dtypes: Mapping[str, np.dtype[Any]]) -> Iterator[ColumnWriter]:
        """A writer of columns that get their name, and are in use, when the block is left; dropped if it fails.

        Raises
        ------
        SourceError
            If they cannot be written.
        """
        with self._failing("written"), self._cache.writing(name) as writer:
            yield ColumnWriter(writer, dtypes)

    def trim(self) -> None:
        """Remove what was used longest ago, and what killed processes left, until the rest is within the limit.

        Raises
        ------
        SourceError
            If the folder cannot be used.
        """
        with self._failing("used"):
            self._cache.trim()

    def close(self) -> None:
        """Nothing is in use any more; it stays for who needs it next, within the limit."""
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, ManymillError):
                raise
            raise SourceError(
                f"{self._cache.kind} cannot be {verb} in {self._cache.folder}: {error.strerror or error}",
                self._hint,
            ) from error
