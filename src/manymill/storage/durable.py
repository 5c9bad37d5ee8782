"""Atomic and durable writes of files.

A file is written under a temporary name, synced to the disk, and then renamed: readers see the old file or the new one.
A failed write leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# Suffix of the temporary name in `replace_file`.
PARTIAL = ".tmp"

# Files of runs, records and caches are private: they may contain texts, labels and locations.
_PRIVATE = 0o600
# Permissions of models and other results, reduced by the user's umask.
PUBLIC = 0o666


def write_durably(
    path: Path, pieces: Iterable[bytes | memoryview], *, sync: bool = True, mode: int = _PRIVATE
) -> None:
    """Write the pieces to a new file at ``path`` and sync it to the disk.

    An existing file or link of that name, such as a file that a killed process left, is removed first and never written
    to; the target of a link stays unchanged. The file is removed on any failure, also if ``pieces`` raises.

    Parameters
    ----------
    path : Path
        Links are not followed.
    pieces : iterable of bytes or memoryview
    sync : bool
        Whether to sync; False for a file that nobody reads after a power cut.
    mode : int
        Permissions of the file, reduced by the umask.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, mode)
    try:
        try:
            for piece in pieces:
                write_all(descriptor, piece)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def replace_durably(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target`` in the same folder, and sync the folder.

    Raises
    ------
    OSError
        If renaming fails (``source`` is then removed), or the folder cannot be synced.
    """
    try:
        os.replace(source, target)
    except OSError:
        with suppress(OSError):
            os.unlink(source)
        raise
    sync_folder(target.parent)


def replace_file(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Create or replace the file at ``path``; a kill or a power cut leaves the old content or the new one.

    Raises
    ------
    OSError
        If it cannot be written; the old file stays.
    """
    temporary = path.with_name(path.name + PARTIAL)
    write_durably(temporary, pieces)
    replace_durably(temporary, path)


def sync_file(path: Path) -> None:
    """Sync a closed file to the disk."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all data, in as many system calls as necessary."""
    left = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
