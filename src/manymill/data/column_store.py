"""Cache of numeric columns: written once under a name derived from their inputs, memory-mapped by every process.

An entry of :class:`manymill.storage.cache.Cache` has one file per column.
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
    """Numeric columns, one file each, mapped on first access.

    Parameters
    ----------
    entry : Entry
    dtypes : mapping of str to dtype
        By column name, which is also the file name.
    """

    entry: Entry
    dtypes: Mapping[str, np.dtype[Any]]
    _mapped: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return self.entry.folder

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, read-only.

        Raises
        ------
        SourceError
            If its file was removed or is damaged.
        """
        if name not in self._mapped:
            dtype = self.dtypes[name]
            try:
                path = self.entry.path(name)
                # An empty file cannot be mapped.
                column = np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
            except OSError as error:
                raise SourceError(
                    f"{self.folder / name} can no longer be read: {error.strerror or error}",
                    "run again: the cache entry is rebuilt",
                ) from error
            self._mapped[name] = column
        return self._mapped[name]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the names only; the files are mapped again after unpickling."""
        return MappedColumns, (self.entry, self.dtypes)


class ColumnWriter:
    """Append-only writer of the columns of an unfinished entry.

    Attributes
    ----------
    about : dict
        Metadata of the columns, of JSON types.
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
        """Append values to a column."""
        data = np.ascontiguousarray(values, self._dtypes[name])
        self._writer.append(name, data.reshape(-1).view(np.uint8).data)


class ColumnStore:
    """A size-limited cache of columns; entries in use are never removed.

    Parameters
    ----------
    kind : str
        Content of the columns, for messages and for the folder's name: ``"hashed texts"``.
    folder : path, optional
        Created if missing; by default the result of :func:`manymill.storage.cache_folder.cache_folder`.
    limit_bytes : int, optional
        Above this size, the least recently used entries are removed; at most a quarter of the free disk space.
    run : path, optional
        The run folder, used for the cache if the user's cache folder is not usable.

    Raises
    ------
    SourceError
        If no folder is usable.
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
        self._hint = f"free some disk space, or set {VARIABLE} to another folder"
        if folder is not None:
            self._hint = "free some disk space, or choose another folder"
        self._cache = Cache(kind, where, limit_bytes)

    def find(
        self, name: str, dtypes: Mapping[str, np.dtype[Any]]
    ) -> tuple[MappedColumns, dict[str, Any]] | None:
        """Look up columns and their metadata, and mark them as in use; None if there are none.

        Damaged entries are removed.

        Raises
        ------
        SourceError
            If the folder cannot be used.
        """
        with self._source_errors("used"):
            found = self._cache.find(name)
        return None if found is None else (MappedColumns(found[0], dict(dtypes)), found[1])

    @contextmanager
    def writing(self, name: str, dtypes: Mapping[str, np.dtype[Any]]) -> Iterator[ColumnWriter]:
        """Open a writer; the entry is published and in use when the ``with`` block ends, and discarded on an error.

        Raises
        ------
        SourceError
            If they cannot be written.
        """
        with self._source_errors("written"), self._cache.writing(name) as writer:
            yield ColumnWriter(writer, dtypes)

    def trim(self) -> None:
        """Remove leftovers of killed processes, and the least recently used entries above the limit.

        Raises
        ------
        SourceError
            If the folder cannot be used.
        """
        with self._source_errors("used"):
            self._cache.trim()

    def close(self) -> None:
        """Mark all entries as unused; they stay cached within the limit."""
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _source_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, ManymillError):
                raise
            raise SourceError(
                f"{self._cache.kind} cannot be {verb} in {self._cache.folder}: {error.strerror or error}",
                self._hint,
            ) from error
