"""Entries on disk that any process may make, use and remove: whole and checked, or not there.

::

    FOLDER/
    ├── lock                      held while entries are claimed, named or removed; never while data is read or written
    ├── 3f0c…-documents/          an entry, named by what it was made of; complete since it has its name
    │   ├── sizes  keys           its files, which never change
    │   ├── about.json            facts; lengths and checksums of the files; a checksum of its own
    │   └── in-use-5f1e…          locked by a process that uses the entry
    └── 81aa….1c2d….partial/      being written, or being removed: swept once nobody has it locked

The system releases the locks of a process that ends, however it ends. No rule here asks how old something is.
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

# An entry may be removed, or found damaged, between being written and being used; each case is rare.
ATTEMPTS = 3

_IN_USE, _PARTIAL = "in-use-", ".partial"
# What is ours in a folder that may hold other things: its name begins with a digest.
_NAME = re.compile(r"[0-9a-f]{32,}(-[a-z0-9-]+)?(\.[0-9a-z_]+\.partial)?")
# Of what is free on the disk and what a cache has, it takes one part in so many at most.
_SHARE_OF_DISK = 4
# The lock is held for moments, unless a process that holds it was stopped.
_LOCK_SECONDS = 60.0
# Errors of a process that has too much of something; they say nothing of an entry.
_SHORTAGES = frozenset({EMFILE, ENFILE, ENOMEM})

_log = logging.getLogger(CACHE)


@dataclass
class Cache:
    """A folder of entries for all processes of a user, with a limit; what is in use stays in any case.

    Parameters
    ----------
    kind : str
        What the entries are, for messages: ``"hashed texts"``.
    folder : Path
        Made when it is needed. Other users must not be able to write to it.
    limit_bytes : int, optional
        What is unused is removed, the longest unused first, where entries take more than this, or more than a quarter
        of what the disk has for them.
    """

    kind: str
    folder: Path
    limit_bytes: int | None = None
    _claims: dict[Path, FileLock] = field(default_factory=dict, init=False, repr=False)

    def find(self, name: str) -> tuple[Entry, dict[str, Any]] | None:
        """The entry of this name and its facts, in use from now on; None if there is none.

        It has been read from end to end by this process. One that is damaged is dropped, and the log says so.

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
            self._drop(folder, identity, error)
            return None

    @contextmanager
    def writing(self, name: str, n_bytes: int = 0) -> Iterator[EntryWriter]:
        """A writer of an entry that gets its name, and is in use, when the block is left; dropped if it fails.

        Parameters
        ----------
        name : str
            At least 32 hexadecimal digits, and letters after a ``-``.
        n_bytes : int
            For which room is made first.

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
        """A new folder that is in use until the cache is closed, or the process ends; then it is removed.

        Raises
        ------
        OSError
            If it cannot be made.
        """
        for _ in range(ATTEMPTS):
            make_private(self.folder)
            self.trim(n_bytes)
            folder = self.folder / f"{name or uuid4().hex}.{uuid4().hex}{_PARTIAL}"
            # Another process may have removed the empty cache, see `discard`.
            with suppress(FileNotFoundError), self._locked():
                folder.mkdir(mode=0o700)
                self._claim(folder)
                return folder
        raise FileNotFoundError(ENOENT, "the folder is removed again and again", str(self.folder))

    def trim(self, n_bytes: int = 0, *, blocking: bool = True) -> None:
        """Remove what nobody uses as far as the limit asks for it, and what processes that were killed left.

        Parameters
        ----------
        n_bytes : int
            For which there is to be room.
        blocking : bool
            Whether to wait for another process that looks at the folder; otherwise nothing is done.

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
        """Use nothing any more."""
        for folder in list(self._claims):
            self._release(folder)
            if folder.suffix == _PARTIAL:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Use nothing any more; entries stay for who needs them next, within the limit."""
        self.release()
        with suppress(OSError):
            self.trim(blocking=False)

    def discard(self) -> None:
        """Close a cache for which nothing stays, and remove its folder if nobody else has something in it."""
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
        """Have an entry in use. The cache is locked."""
        if folder in self._claims:
            if os.path.exists(self._claims[folder].lock_file):
                return
            self._release(folder)  # of one that was dropped
        # Whoever uses it last releases it, in whatever thread.
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
        """Give a partial entry its name, unless another process was sooner with the same."""
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
        raise OSError(EIO, "another entry stands in the way again and again", str(target))

    def _drop(self, folder: Path, identity: tuple[int, int], error: OSError) -> None:
        with self._locked():
            self._release(folder)
            aside = None
            # Another process may have dropped it meanwhile, and made it again.
            with suppress(FileNotFoundError):
                if _identity(folder) == identity:
                    aside = _set_aside(folder)
            removable = aside is not None and not _is_in_use(aside)
        reason = getattr(
            error, "reason", f"{os.path.basename(error.filename or '')}: {error.strerror or error}"
        )
        _log.warning("%s in %s are damaged (%s): they are dropped and made again", self.kind, folder, reason)
        if aside is not None and removable:
            shutil.rmtree(aside, ignore_errors=True)

    def _removable(self, n_bytes: int) -> list[Path]:
        """Folders that are to be removed; entries among them have lost their names. The cache is locked."""
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
        limit = (shutil.disk_usage(self.folder).free + total) // _SHARE_OF_DISK
        if self.limit_bytes is not None:
            limit = min(limit, self.limit_bytes)
        for _, size, folder in sorted(entries):
            # Also forgets who was killed while it used the entry.
            if not _is_in_use(folder) and total + n_bytes > limit:
                with suppress(OSError):
                    aside = _set_aside(folder)
                    total -= size
                    removable += [] if aside is None else [aside]
        return removable


def _folders(parent: Path) -> Iterator[Path]:
    """The entries and the partial ones in a folder; other things in it are not ours."""
    for path in parent.iterdir():
        # Many tools name folders by digests.
        says_so = path.suffix == _PARTIAL or (path / ABOUT).is_file()
        if _NAME.fullmatch(path.name) and _is_folder(path) and says_so:
            yield path


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _identity(path: Path) -> tuple[int, int]:
    info = os.lstat(path)
    return info.st_dev, info.st_ino


def _set_aside(path: Path) -> Path | None:
    """Take its name from an entry; gives where it is now, if it is a folder. The cache is locked."""
    if not _is_folder(path):
        os.unlink(path)  # no entry, but where one must be
        return None
    aside = path.with_name(f"{path.name}.{uuid4().hex}{_PARTIAL}")
    os.rename(path, aside)
    return aside


def _is_in_use(folder: Path) -> bool:
    """Whether a process has a folder in use; forgets processes that ended without a word. The cache is locked."""
    in_use, info = False, folder.stat()
    for path in folder.glob(f"{_IN_USE}*"):
        try:
            with FileLock(path, thread_local=False).acquire(blocking=False):
                path.unlink(missing_ok=True)
        except (Timeout, OSError):
            in_use = True
    if not in_use:
        with suppress(OSError):
            os.utime(folder, ns=(info.st_atime_ns, info.st_mtime_ns))  # to look at it is not to use it
    return in_use
