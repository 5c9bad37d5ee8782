"""A store of arrays that outlives engines: what was written for one fit is found by the next, in whatever process.

::

    hold(arrays) ──► claim (locked while the driver lives) ──► digest ──► file there and whole? ──► handles
                                                                  └ no: make room, write, rename ─┘

Each file is named by the digest of its bytes. A claim names the files that a driver needs; the system lets go of its
lock when the driver ends, however it ends, and whoever comes next removes what it left. Files that no claim names stay
until room is needed: those that were used the longest ago go first.
"""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from manymill.engine.spool import Ref
from manymill.errors import EngineError
from manymill.storage.tensors import SUFFIX, ArrayFile, Arrays, digest_of, lay_out

_CLAIM, _USES = ".claim", ".uses"

# Of what is free on the disk and what the store has, the store takes one part in so many unless it is told how much.
_SHARE_OF_DISK = 4


class ArrayStore:
    """A folder of arrays for all processes of a host.

    Parameters
    ----------
    folder : path, optional
        The environment variable ``MANYMILL_STORE`` if not given, or else a folder of the user's own beneath the
        system's folder for temporary files. Made when it is needed; other users must not be able to write to it.
    limit : int, optional
        Bytes. What is not in use is removed where the files would take more; a quarter of what the disk has for them
        if not given.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, limit: int | None = None) -> None:
        chosen = folder or os.environ.get("MANYMILL_STORE")
        self.folder = Path(
            os.path.abspath(chosen or os.path.join(tempfile.gettempdir(), f"manymill-arrays-{_user()}"))
        )
        self._limit = limit

    def hold(self, groups: Iterable[Arrays], *, files: Iterable[str] = ()) -> Hold:
        """Have arrays in the store until the hold is closed: one file a group.

        Parameters
        ----------
        groups : iterable of mapping of str to ndarray
        files : iterable of str
            Of the store, needed as well.

        Raises
        ------
        EngineError
            If they cannot be written, or the folder is not the user's own.
        """
        try:
            self._open()
            claim = self._claim()
            try:
                with self._alone():
                    claim.add(*(Path(file).name for file in files))
                kept = [self._kept(claim, lay_out(arrays)) for arrays in groups]
            except BaseException:
                claim.release()
                raise
        except OSError as error:
            raise EngineError(
                f"Arrays cannot be kept in {self.folder}: {error.strerror or error}",
                "free some room there, or name another folder: MANYMILL_STORE=/a/folder",
            ) from error
        return Hold(self, claim, tuple(ref for ref, _ in kept), sum(n_bytes for _, n_bytes in kept))

    def has(self, path: str) -> bool:
        """Whether a file is one of this store."""
        return Path(path).parent == self.folder and path.endswith(SUFFIX)

    def verify(self) -> list[str]:
        """Read everything and remove the files whose bytes are not those of their name; gives their paths."""
        damaged = []
        for path, _, _ in self._files():
            with suppress(FileNotFoundError):  # room was made meanwhile
                if digest_of(path) != path.stem:
                    path.unlink()
                    damaged.append(str(path))
        return damaged

    def shrink(self) -> None:
        """Remove what nobody uses as far as the limit asks for it; nothing if another process is at work here."""
        with suppress(OSError, Timeout), self._alone(blocking=False):
            self._make_room(0)

    def _kept(self, claim: _Claim, file: ArrayFile) -> tuple[Ref, int]:
        path = self.folder / file.name
        ref = Ref(file.digest, str(path))
        with self._alone():
            claim.add(file.name)
            if file.is_whole(path):
                os.utime(path)  # it was used
                return ref, 0
            self._make_room(file.n_bytes)
        # Two who write the same bytes at once do no harm: either file is whole when it gets its name.
        file.write(claim.partial, path)
        return ref, file.n_bytes

    def _open(self) -> None:
        """Make the folder; refuse it if others could put something there, or lead us elsewhere."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not hasattr(os, "getuid"):
            return
        told = os.lstat(self.folder)
        if not stat.S_ISDIR(told.st_mode) or told.st_uid != os.getuid() or told.st_mode & 0o022:
            raise EngineError(
                f"{self.folder} is no folder that is the user's alone to write to",
                "remove it, or name another folder: MANYMILL_STORE=/a/folder",
            )

    @contextmanager
    def _alone(self, *, blocking: bool = True) -> Iterator[None]:
        """While claims and files are looked at; never while something is written."""
        with FileLock(self.folder / "lock", thread_local=False).acquire(blocking=blocking):
            yield

    def _claim(self) -> _Claim:
        with self._alone():
            for left in self.folder.glob("*.partial"):
                if not left.with_suffix(_CLAIM).exists():
                    left.unlink(missing_ok=True)
            self._used()
            return _Claim(self.folder / uuid.uuid4().hex)

    def _used(self) -> set[str]:
        """Names of the files that somebody needs; claims of drivers that were killed are removed."""
        used: set[str] = set()
        for path in self.folder.glob(f"*{_CLAIM}"):
            lock = FileLock(path, thread_local=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                with suppress(FileNotFoundError):
                    used.update(path.with_suffix(_USES).read_text().splitlines())
            else:
                for suffix in (".partial", _USES, _CLAIM):
                    path.with_suffix(suffix).unlink(missing_ok=True)
                lock.release()
        return used

    def _files(self) -> list[tuple[Path, int, int]]:
        """Path, length and time of last use of each file; the oldest first."""
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):
                told = path.stat()
                found.append((path, told.st_size, told.st_mtime_ns))
        return sorted(found, key=lambda file: (file[2], file[0]))

    def _make_room(self, n_bytes: int) -> None:
        files, used = self._files(), self._used()
        total = sum(size for _, size, _ in files)
        limit = self._limit
        if limit is None:
            limit = (shutil.disk_usage(self.folder).free + total) // _SHARE_OF_DISK
        for path, size, _ in files:
            if total + n_bytes <= limit:
                return
            if path.name not in used:
                path.unlink(missing_ok=True)
                total -= size


class Hold:
    """Arrays that stay in the store; let go of when it is closed, or when nobody has it any more.

    Attributes
    ----------
    refs : tuple of Ref
        One a group.
    bytes_written : int
        0 if everything was there.
    """

    def __init__(self, store: ArrayStore, claim: _Claim, refs: tuple[Ref, ...], bytes_written: int) -> None:
        self.refs = refs
        self.bytes_written = bytes_written
        self._end = weakref.finalize(self, _let_go, store, claim)

    def close(self) -> None:
        """Let go of the files; who has mapped them keeps what it has."""
        self._end()


class _Claim:
    """The names of the files that a driver needs, locked as long as it lives."""

    def __init__(self, stem: Path) -> None:
        self.partial = stem.with_suffix(".partial")
        self._uses = stem.with_suffix(_USES)
        self._lock = FileLock(stem.with_suffix(_CLAIM), thread_local=False)
        self._lock.acquire(blocking=False)

    def add(self, *names: str) -> None:
        with open(self._uses, "a") as file:
            file.writelines(f"{name}\n" for name in names)

    def release(self) -> None:
        with suppress(OSError):
            self._uses.unlink(missing_ok=True)
        self._lock.release()
        with suppress(OSError):
            self._uses.with_suffix(_CLAIM).unlink(missing_ok=True)


def store_beneath(spool: str | os.PathLike[str] | None) -> ArrayStore:
    """The store of an engine whose published arrays go to a folder of the user's choice, or of ours."""
    return ArrayStore(None if spool is None else Path(spool) / f"manymill-arrays-{_user()}")


def _let_go(store: ArrayStore, claim: _Claim) -> None:
    claim.release()
    store.shrink()


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
