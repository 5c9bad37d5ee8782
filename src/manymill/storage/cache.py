"""On-disk cache whose entries any process of a user may create, use and remove.

::

    FOLDER/
    ├── lock                      held while entries are claimed, renamed or removed; not while data is read or written
    ├── 3f0c…-documents/          an entry, named by a digest of its inputs; complete once it has this name
    │   ├── sizes  keys           its files, which never change
    │   ├── about.json            facts; sizes and checksums of the files; its own checksum
    │   └── in-use-5f1e…          locked by a process that uses the entry
    └── 81aa….1c2d….partial/      being written or removed; deleted when no process has locked it

An entry is complete and checked, or it does not exist. The system releases the locks of a process however it ends, so
no rule depends on the age of a file.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import EIO, EMFILE, ENFILE, ENOENT, ENOMEM
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from manymill.log import CACHE
from manymill.storage.cache_entry import ABOUT, DamagedEntryError, Entry, EntryWriter, load, trust
from manymill.storage.cache_folder import make_private
from manymill.storage.durable import sync_folder

# An entry may be removed, or be found damaged, between being written and being used; both are rare.
ATTEMPTS = 3

_IN_USE, _PARTIAL = "in-use-", ".partial"
# Names of our entries, in a folder that may contain other things: they begin with a digest.
_NAME = re.compile(r"[0-9a-f]{32,}(-[a-z0-9-]+)?(\.[0-9a-z_]+\.partial)?")
# A cache takes at most 1 / _DISK_DIVISOR of its own size plus the free space of the disk.
_DISK_DIVISOR = 4
# The lock is held only for moments, unless the process that holds it was stopped.
_LOCK_SECONDS = 60.0
# Errors of a process that lacks resources; they do not show that an entry is damaged.
_SHORTAGES = frozenset({EMFILE, ENFILE, ENOMEM})

_log = logging.getLogger(CACHE)


@dataclass
class Cache:
    """Folder of entries for all processes of a user, with a size limit; entries in use are never removed.

    Parameters
    ----------
    kind : str
        Name of the entries in messages, such as ``"hashed texts"``.
    folder : Path
        Created when needed. Other users must not have write access.
    limit_bytes : int, optional
        Unused entries are removed, least recently used first, when entries exceed this limit, or a quarter of their
        size plus the free space of the disk.
    """

    kind: str
    folder: Path
    limit_bytes: int | None = None
    _claims: dict[Path, FileLock] = field(default_factory=dict, init=False, repr=False)

    def find(self, name: str) -> tuple[Entry, dict[str, Any]] | None:
        """Return the entry of this name and its facts, and mark it as in use; None if it does not exist.

        This process checks all bytes of the entry. A damaged entry is removed, and a warning is logged.

        Raises
        ------
        OSError
            If the folder cannot be used.
        """
        folder = self.folder / name
        if not os.path.lexists(folder):
            return None
        make_private(self.folder)
        with self._locked():
            if not os.path.lexists(folder):
                return None
            identity = _identity(folder)
            if _is_folder(folder):
                self._claim(folder)
        try:
            if not _is_folder(folder):
                raise DamagedEntryError(folder, "it is not a folder")
            return load(folder)
        except OSError as error:
            if error.errno in _SHORTAGES:
                raise
            self._remove_damaged(folder, identity, error)
            return None

    @contextmanager
    def writing(self, name: str, n_bytes: int = 0) -> Iterator[EntryWriter]:
        """Write an entry; it is published, and in use, when the block ends, and discarded if the block raises.

        Parameters
        ----------
        name : str
            At least 32 hexadecimal digits, optionally followed by ``-`` and lower-case letters or digits.
        n_bytes : int
            Space to free before writing.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        partial = self.scratch(name, n_bytes)
        writer = EntryWriter(partial)
        try:
            yield writer
            writer.finish(name)
            self._publish(partial, name)
        finally:
            writer.close()
            self._release(partial)
            shutil.rmtree(partial, ignore_errors=True)

    def scratch(self, name: str | None = None, n_bytes: int = 0) -> Path:
        """Create a folder that is in use until the cache is closed or the process ends, and is then removed.

        Raises
        ------
        OSError
            If it cannot be created.
        """
        for _ in range(ATTEMPTS):
            make_private(self.folder)
            self.trim(n_bytes)
            folder = self.folder / f"{name or uuid4().hex}.{uuid4().hex}{_PARTIAL}"
            # Another process may remove the empty cache at the same time, see `discard`.
            with suppress(FileNotFoundError), self._locked():
                folder.mkdir(mode=0o700)
                self._claim(folder)
                return folder
        raise FileNotFoundError(ENOENT, "another process keeps removing the folder", str(self.folder))

    def trim(self, n_bytes: int = 0, *, blocking: bool = True) -> None:
        """Remove unused entries to satisfy the limit, and leftovers of killed processes.

        Parameters
        ----------
        n_bytes : int
            Additional space to free.
        blocking : bool
            Whether to wait while another process holds the lock; otherwise nothing is done then.

        Raises
        ------
        OSError
            If the folder cannot be used.
        """
        if not self.folder.is_dir():
            return
        with self._locked(blocking=blocking):
            removable = self._removable(n_bytes)
        for folder in removable:
            shutil.rmtree(folder, ignore_errors=True)

    def release(self) -> None:
        """Mark all entries as not in use."""
        for folder in list(self._claims):
            self._release(folder)
            if folder.suffix == _PARTIAL:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Release all entries; they stay for later use, within the limit."""
        self.release()
        with suppress(OSError):
            self.trim(blocking=False)

    def discard(self) -> None:
        """Close a cache without entries, and remove its folder unless another process uses it."""
        self.release()
        aside = self.folder.with_name(f"{self.folder.name}.{uuid4().hex}.removed")
        with suppress(OSError), self._locked(blocking=False):
            if [path.name for path in self.folder.iterdir()] == ["lock"]:
                os.rename(self.folder, aside)
        shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def _locked(self, *, blocking: bool = True) -> Iterator[None]:
        lock = FileLock(self.folder / "lock", thread_local=False)
        with lock.acquire(timeout=_LOCK_SECONDS if blocking else 0):
            yield

    def _claim(self, folder: Path) -> None:
        """Mark an entry as in use. The cache must be locked."""
        if folder in self._claims:
            if os.path.exists(self._claims[folder].lock_file):
                return
            self._release(folder)  # of a removed entry of this name
        # It may be released in another thread.
        lock = FileLock(folder / f"{_IN_USE}{uuid4().hex}", thread_local=False)
        lock.acquire(blocking=False)
        self._claims[folder] = lock

    def _release(self, folder: Path) -> None:
        lock = self._claims.pop(folder, None)
        if lock is not None:
            lock.release()
            with suppress(OSError):
                os.unlink(lock.lock_file)

    def _publish(self, partial: Path, name: str) -> None:
        """Rename a partial entry to its final name, unless another process has created the same entry."""
        target = self.folder / name
        for _ in range(ATTEMPTS):
            with self._locked():
                if not os.path.lexists(target):
                    self._release(partial)
                    self._release(target)
                    os.rename(partial, target)
                    self._claim(target)
                    sync_folder(self.folder)
                    trust(target)
                    return
            if self.find(name) is not None:
                return
        raise OSError(EIO, "another entry keeps blocking the name", str(target))

    def _remove_damaged(self, folder: Path, identity: tuple[int, int], error: OSError) -> None:
        with self._locked():
            self._release(folder)
            aside = None
            # Another process may have removed it and created it again.
            with suppress(FileNotFoundError):
                if _identity(folder) == identity:
                    aside = _set_aside(folder)
            removable = aside is not None and not _is_in_use(aside)
        reason = getattr(
            error, "reason", f"{os.path.basename(error.filename or '')}: {error.strerror or error}"
        )
        _log.warning("%s in %s are damaged (%s): they are removed and made again", self.kind, folder, reason)
        if aside is not None and removable:
            shutil.rmtree(aside, ignore_errors=True)

    def _removable(self, n_bytes: int) -> list[Path]:
        """Return the folders to remove, after renaming entries among them. The cache must be locked."""
        entries, removable, total = [], [], 0
        for folder in _folders(self.folder):
            with suppress(OSError):
                if folder.suffix == _PARTIAL:
                    if not _is_in_use(folder):
                        removable.append(folder)
                    continue
                size = sum(os.lstat(path).st_size for path in folder.iterdir())
                entries.append((folder.stat().st_mtime_ns, size, folder))
                total += size
        limit = (shutil.disk_usage(self.folder).free + total) // _DISK_DIVISOR
        if self.limit_bytes is not None:
            limit = min(limit, self.limit_bytes)
        for _, size, folder in sorted(entries):
            # This also deletes the marks of processes that were killed while they used the entry.
            if not _is_in_use(folder) and total + n_bytes > limit:
                with suppress(OSError):
                    aside = _set_aside(folder)
                    total -= size
                    removable += [] if aside is None else [aside]
        return removable


def _folders(parent: Path) -> Iterator[Path]:
    """Yield the complete and partial entries in a folder; other things in it are not ours."""
    for path in parent.iterdir():
        # Other tools name folders by digests as well.
        is_marked = path.suffix == _PARTIAL or (path / ABOUT).is_file()
        if _NAME.fullmatch(path.name) and _is_folder(path) and is_marked:
            yield path


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _identity(path: Path) -> tuple[int, int]:
    info = os.lstat(path)
    return info.st_dev, info.st_ino


def _set_aside(path: Path) -> Path | None:
    """Rename an entry as partial; return the new path, or None if it was not a folder. The cache must be locked."""
    if not _is_folder(path):
        os.unlink(path)  # not an entry, but has the name of one
        return None
    aside = path.with_name(f"{path.name}.{uuid4().hex}{_PARTIAL}")
    os.rename(path, aside)
    return aside


def _is_in_use(folder: Path) -> bool:
    """Return whether a process uses a folder; delete marks of processes that ended. The cache must be locked."""
    in_use, info = False, folder.stat()
    for path in folder.glob(f"{_IN_USE}*"):
        try:
            with FileLock(path, thread_local=False).acquire(blocking=False):
                path.unlink(missing_ok=True)
        except (Timeout, OSError):
            in_use = True
    if not in_use:
        with suppress(OSError):
            os.utime(folder, ns=(info.st_atime_ns, info.st_mtime_ns))  # this check is not a use of the entry
    return in_use
