"""Append-only journals: one JSON object per line, each with a checksum; and the lock of a journal's folder.

::

    {"time": 0.1, "event": "Warned", "message": "careful", "check": "0f3a90c1d2e4b576"}

The last entry is a checksum of the preceding part of the line. A process that is killed while writing leaves an
incomplete line, which the next writer truncates. Any other damage is found line by line, so that a reader can name the
line, skip it, or reject the file.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from manymill.errors import RunFolderError
from manymill.storage.checked_json import NO_CHECKSUM
from manymill.storage.durable import sync_folder, write_all
from manymill.storage.own_files import check_file, cut_hard_link, open_regular

if TYPE_CHECKING:
    from filelock import FileLock

_CHECK = re.compile(rb', "check": "([0-9a-f]{16})"\}\n')
_CHECK_BYTES = len(b', "check": "0123456789abcdef"}\n')
_LOCK_SECONDS = 0.2


class Journal:
    """A journal that one process appends to; others may read it meanwhile.

    Parameters
    ----------
    path : Path
        Created if it does not exist; links are not followed. An incomplete last line is truncated.
    fresh : bool
        Whether to discard an existing journal.
    sync_seconds : float
        Time between two syncs to the disk: how much a power cut may lose.

    Raises
    ------
    OSError
        If it cannot be written.
    RunFolderError
        If it is a link or another file that is not regular, or its whole content is damaged.
    """

    def __init__(self, path: Path, *, fresh: bool = False, sync_seconds: float = 1.0) -> None:
        self.path, self._sync_seconds = path, sync_seconds
        check_file(path)
        if fresh:
            path.unlink(missing_ok=True)
        else:
            cut_hard_link(path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor: int | None = os.open(path, flags | (os.O_EXCL if fresh else 0), 0o600)
        try:
            self._end = _complete_bytes(self._descriptor)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            if not self._end and os.read(self._descriptor, 1) not in (b"", b"{"):
                raise RunFolderError(
                    f"{path} is damaged: it has no complete line", "copy it again, or remove it"
                )
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            os.ftruncate(self._descriptor, self._end)
            sync_folder(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._synced = time.monotonic()

    @property
    def closed(self) -> bool:
        """Whether the journal has been closed."""
        return self._descriptor is None

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        return self._end

    def append(self, record: dict[str, Any]) -> None:
        """Append a record; other processes can read it when this returns, and it is synced to the disk later.

        Raises
        ------
        OSError
            If it cannot be written; the file then contains no part of it.
        """
        assert self._descriptor is not None, "the journal is closed"
        line = encode_line(record)
        try:
            write_all(self._descriptor, line)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
            raise
        self._end += len(line)
        if time.monotonic() - self._synced >= self._sync_seconds:
            self.sync()

    def sync(self) -> None:
        """Sync everything to the disk.

        Raises
        ------
        OSError
            If that fails.
        """
        assert self._descriptor is not None, "the journal is closed"
        os.fsync(self._descriptor)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync everything to the disk and close the file; may be called twice.

        Raises
        ------
        OSError
            If syncing fails; the file is closed in any case.
        """
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Line:
    """Line of a journal.

    Attributes
    ----------
    number : int
        From 1.
    record : dict
        Without its checksum; empty if the line is damaged.
    damage : str
        Description of the damage; empty if there is none.
    """

    number: int
    record: dict[str, Any]
    damage: str = ""


def encode_line(record: dict[str, Any]) -> bytes:
    """Return the line of a record: its JSON text, with a checksum of it as the last entry."""
    text = json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace")
    body = text.removesuffix(b"}")
    return body + b', "check": "' + _checksum(body) + b'"}\n'


def read_line(line: bytes, number: int) -> Line:
    """Parse a complete line."""
    body, tail = line[:-_CHECK_BYTES], line[-_CHECK_BYTES:]
    found = _CHECK.fullmatch(tail)
    if found is None:
        return Line(number, {}, NO_CHECKSUM if b'"check"' not in line else "it was changed or damaged")
    if found[1] != _checksum(body):
        return Line(number, {}, "it does not match its checksum: it was changed or damaged")
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        return Line(number, {}, f"it is not JSON: {error}")
    # A line with a valid checksum is an object, and its last entry is the checksum.
    record.pop("check")
    return Line(number, record)


def read_journal(path: Path) -> Iterator[Line]:
    """Yield the complete lines of a journal, including damaged ones; an incomplete last line is ignored.

    Raises
    ------
    OSError
        If it cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield read_line(line, number)


def lock_folder(folder: Path) -> FileLock:
    """Lock a folder for this process, until the lock is released or the process ends.

    Raises
    ------
    filelock.Timeout
        If another process has locked it.
    OSError
        If it cannot be written.
    """
    from filelock import FileLock

    # The system releases the lock of a process that died, so a lock is never stale. Any thread may release it.
    lock = FileLock(folder / ".lock", thread_local=False)
    # `is_locked` in another process takes the lock for a moment.
    lock.acquire(timeout=_LOCK_SECONDS, poll_interval=_LOCK_SECONDS / 20)
    return lock


def is_locked(folder: Path) -> bool:
    """Return whether a process has locked the folder."""
    from filelock import FileLock, Timeout

    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=8).hexdigest().encode()


def _complete_bytes(descriptor: int) -> int:
    """Return the length of the file up to its last line break."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        os.lseek(descriptor, start, os.SEEK_SET)
        data = os.read(descriptor, end - start)
        if (found := data.rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0
