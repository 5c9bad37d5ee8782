"""Columns of numbers on disk, named by what they were made of: written once, mapped by everyone, the oldest go first.

::

    folder/
    ├── 3f0c…-documents/     sizes  keys  about.json          whole, since a folder gets its name when it is
    ├── 3f0c…-words-1-2/     hashes  ends  about.json
    └── 81aa…-documents.5xk2.partial/                         being written; swept when its writer is gone
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self
from uuid import uuid4

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from manymill.errors import ManymillError, SourceError

_ABOUT = "about.json"
_IN_USE = "in-use-"
# Of what is free on the disk and what a store has, it takes one part in so many unless it is told how much.
_SHARE_OF_DISK = 4
# Between being written and being in use, columns may be removed by a process that makes room.
ATTEMPTS = 3
# A folder that was just made may not be locked yet.
_FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class MappedColumns:
    """Columns of numbers, a file each; they are mapped when they are first asked for.

    Parameters
    ----------
    folder : Path
    dtypes : mapping of str to dtype
        By the name of the column, which is that of its file.
    """

    folder: Path
    dtypes: Mapping[str, np.dtype[Any]]
    _mapped: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, read-only.

        Raises
        ------
        SourceError
            If its file is not there any more.
        """
        if name not in self._mapped:
            path, dtype = self.folder / name, self.dtypes[name]
            try:
                # An empty file cannot be mapped.
                column = np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
            except OSError as error:
                raise SourceError(
                    f"{path} cannot be read any more: {error.strerror or error}",
                    "start again: it is made anew",
                ) from error
            self._mapped[name] = column
        return self._mapped[name]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as names: whoever unpickles it maps the files anew."""
        return MappedColumns, (self.folder, self.dtypes)


class ColumnWriter:
    """Columns that grow at their ends, in a folder that is not whole yet."""

    def __init__(self, folder: Path, dtypes: Mapping[str, np.dtype[Any]]) -> None:
        self._dtypes = dtypes
        self.about: dict[str, Any] = {}
        self.n_bytes = 0
        with ExitStack() as files:
            self._files: dict[str, IO[bytes]] = {
                name: files.enter_context(open(folder / name, "wb")) for name in dtypes
            }
            self._open = files.pop_all()

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Write numbers behind those of a column."""
        data = np.ascontiguousarray(values, self._dtypes[name])
        self.n_bytes += data.nbytes
        self._files[name].write(data.data)

    def close(self) -> None:
        """No more is written."""
        self._open.close()


class ColumnStore:
    """A folder of columns that stay for who needs them next, up to a size; what is in use stays in any case.

    Parameters
    ----------
    kind : str
        What the columns are, for messages and for the folder: ``"hashed texts"``.
    folder : path, optional
        Made if it is not there; ``manymill/<kind>`` in the user's folder of caches if not given.
    limit_bytes : int, optional
        When more is kept, what was used longest ago is removed. A quarter of what the disk has for it if not given.
    """

    def __init__(
        self, kind: str, folder: str | os.PathLike[str] | None = None, limit_bytes: int | None = None
    ) -> None:
        self._kind, self._limit_bytes = kind, limit_bytes
        self._folder = _cache_folder(kind) if folder is None else Path(folder)
        self._locks: dict[Path, FileLock] = {}

    def find(
        self, name: str, dtypes: Mapping[str, np.dtype[Any]]
    ) -> tuple[MappedColumns, dict[str, Any]] | None:
        """The columns of this name and what was told about them, in use from now on; None if there are none."""
        folder = self._folder / name
        with suppress(OSError):
            about: dict[str, Any] = json.loads((folder / _ABOUT).read_bytes())
            self._use(folder)
            # Another process may have removed it before it was in use here.
            return (MappedColumns(folder, dict(dtypes)), about) if (folder / _ABOUT).exists() else None
        return None

    @contextmanager
    def writing(self, name: str, dtypes: Mapping[str, np.dtype[Any]]) -> Iterator[ColumnWriter]:
        """A writer of columns that get their name when the block is left, and are dropped if it fails.

        Raises
        ------
        SourceError
            If they cannot be written.
        """
        partial = None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(".partial", f"{name}.", self._folder))
            lock = FileLock(partial / f"{_IN_USE}writer")
            with lock:
                writer = ColumnWriter(partial, dtypes)
                try:
                    yield writer
                finally:
                    writer.close()
                (partial / _ABOUT).write_text(json.dumps(writer.about))
            (partial / f"{_IN_USE}writer").unlink(missing_ok=True)
            # Another process may have been sooner with the same columns: then these are dropped.
            with suppress(OSError):
                partial.rename(self._folder / name)
            if not (self._folder / name / _ABOUT).exists():
                raise OSError("the folder cannot be named")
        except OSError as error:
            if isinstance(error, ManymillError):
                raise
            raise SourceError(
                f"{self._kind} cannot be written to {self._folder}: {error.strerror or error}",
                "free some room there, or name another folder",
            ) from error
        finally:
            if partial is not None:
                shutil.rmtree(partial, ignore_errors=True)

    def trim(self) -> None:
        """Remove what was used longest ago, and what a killed search left, until the rest is within the limit."""
        entries = []
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            with suppress(OSError):
                used = folder.stat().st_mtime
                entries.append((used, sum(file.stat().st_size for file in folder.iterdir()), folder))
        total = sum(n_bytes for _, n_bytes, _ in entries)
        limit = self._limit_bytes
        if limit is None and entries:
            limit = (shutil.disk_usage(self._folder).free + total) // _SHARE_OF_DISK
        for used, n_bytes, folder in sorted(entries):
            is_partial = folder.suffix == ".partial"
            wanted = time.time() - used < _FRESH_SECONDS if is_partial else total <= (limit or 0)
            if not wanted and not _is_in_use(folder):
                shutil.rmtree(folder, ignore_errors=True)
                total -= n_bytes

    def close(self) -> None:
        """Nothing is in use any more; it stays for who needs it next, within the limit."""
        while self._locks:
            _, lock = self._locks.popitem()
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
        self.trim()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _use(self, folder: Path) -> None:
        if folder not in self._locks:
            # Whoever has it last lets it go, in whatever thread.
            self._locks[folder] = FileLock(folder / f"{_IN_USE}{uuid4().hex}", thread_local=False)
            self._locks[folder].acquire()
            os.utime(folder)


def _cache_folder(kind: str) -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(caches, "manymill", kind.replace(" ", "-"))


def _is_in_use(folder: Path) -> bool:
    """Whether someone holds a lock in a folder; locks of those who were killed are free."""
    for path in folder.glob(f"{_IN_USE}*"):
        try:
            with FileLock(path).acquire(blocking=False):
                pass
        except (Timeout, OSError):
            return True
    return False
