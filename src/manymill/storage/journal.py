"""Append-only journals: one JSON object a line, each with a checksum, and the lock of the folder that they lie in.

::

    {"time": 0.1, "event": "Warned", "message": "careful", "check": "0f3a90c1d2e4b576"}

The last entry is a checksum of the line before it. A process that is killed in mid-line leaves a torn line: whoever
appends next cuts it off. Any other damage is found line by line, so that a reader can name the line, pass over it, or
refuse the file.
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

from manymill.storage.durable import sync_folder, write_all
from manymill.storage.own_files import check_file, cut_hard_link, open_regular

if TYPE_CHECKING:
    from filelock import FileLock

# Between two times at which what was appended is brought to the disk: how much a power cut may cost.
SYNC_SECONDS = 1.0

NO_CHECKSUM = "it has no checksum: an older version of manymill wrote it, or another program"

_CHECK = re.compile(rb', "check": "([0-9a-f]{16})"\}\n')
_CHECK_BYTES = len(b', "check": "0123456789abcdef"}\n')
_LOCK_SECONDS = 0.2


class Journal:
    """A journal that one process appends to; others may read it meanwhile.

    Parameters
    ----------
    path : Path
        Made if it is not there; a link is not followed. A torn last line is cut off.
    fresh : bool
        Whether what was written before is dropped.

    Raises
    ------
    OSError
        If it cannot be written.
    RunFolderError
        If it is a link, or not a regular file.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        check_file(path)
        if fresh:
            path.unlink(missing_ok=True)
        else:
            cut_hard_link(path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor: int | None = os.open(path, flags | (os.O_EXCL if fresh else 0), 0o600)
        try:
            self._end = os.lseek(self._descriptor, _whole_bytes(self._descriptor), os.SEEK_SET)
            os.ftruncate(self._descriptor, self._end)
            sync_folder(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._synced = time.monotonic()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._descriptor is None

    @property
    def n_bytes(self) -> int:
        """Its length."""
        return self._end

    def append(self, record: dict[str, Any]) -> None:
        """Append a record; other processes see it when this returns, and it survives a power cut a second later.

        Raises
        ------
        OSError
            If it cannot be written; nothing of it stays in the file then.
        """
        assert self._descriptor is not None, "it was closed"
        line = sealed(record)
        try:
            write_all(self._descriptor, line)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
            raise
        self._end += len(line)
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring everything to the disk.

        Raises
        ------
        OSError
            If that fails.
        """
        assert self._descriptor is not None, "it was closed"
        os.fsync(self._descriptor)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Bring everything to the disk and let go of the file; closing twice does no harm.

        Raises
        ------
        OSError
            If the disk does not take it; the file is closed all the same.
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
    """A line of a journal.

    Attributes
    ----------
    number : int
        From 1.
    record : dict
        Without its checksum; empty if it is damaged.
    damage : str
        What is wrong with it; empty if nothing is.
    """

    number: int
    record: dict[str, Any]
    damage: str = ""


def sealed(record: dict[str, Any]) -> bytes:
    """The line of a record: its text, and a checksum of that as its last entry."""
    text = json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace")
    body = text.removesuffix(b"}")
    return body + b', "check": "' + _checksum(body) + b'"}\n'


def read_line(line: bytes, number: int) -> Line:
    """What a whole line holds."""
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
    # What has a checksum as its last entry is an object; another entry of that name cannot be ours.
    record.pop("check")
    return Line(number, record)


def read_journal(path: Path) -> Iterator[Line]:
    """The whole lines of a journal, damaged ones too; what stands after the last line break was not written wholly.

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
    """Take a folder for this process, until the lock is released or the process ends.

    Raises
    ------
    filelock.Timeout
        If another process has it.
    OSError
        If it cannot be written.
    """
    from filelock import FileLock

    # The system frees the lock of a process that died, so a lock is never stale. Any thread may release it.
    lock = FileLock(folder / ".lock", thread_local=False)
    # Whoever watches asks for the lock too, for a moment.
    lock.acquire(timeout=_LOCK_SECONDS, poll_interval=_LOCK_SECONDS / 20)
    return lock


def is_at_work(folder: Path) -> bool:
    """Whether a process has taken the folder: its lock cannot be had."""
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


def _whole_bytes(descriptor: int) -> int:
    """How long the file is up to its last line break."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        os.lseek(descriptor, start, os.SEEK_SET)
        data = os.read(descriptor, end - start)
        if (found := data.rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0
