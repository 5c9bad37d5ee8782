"""Files that appear whole or not at all.

A file is written under another name, brought to the disk, and only then renamed: whoever looks at the target
name sees the old file or the new one. A failed write leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# What `replace_file` adds to the name of a file while it writes.
PARTIAL = ".tmp"


def write_durably(path: Path, pieces: Iterable[bytes | memoryview], *, sync: bool = True) -> None:
    """Write the pieces to a new file at ``path`` and bring it to the disk.

    What had that name, such as a file that a kill left, is removed first: it is never written into, so nothing happens
    to a file that a link of that name leads to. On any failure, that of ``pieces`` too, the file is removed.

    Parameters
    ----------
    path : Path
        A link there is not followed.
    pieces : iterable of bytes or memoryview
    sync : bool
        False for a file that nobody reads after a power cut.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
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
    """Rename ``source`` to ``target``, in the same folder, and bring the renaming to the disk.

    Raises
    ------
    OSError
        If renaming fails (``source`` is removed then), or the folder cannot be brought to the disk.
    """
    try:
        os.replace(source, target)
    except OSError:
        with suppress(OSError):
            os.unlink(source)
        raise
    sync_folder(target.parent)


def replace_file(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Replace the file at ``path``, or make it: after a kill or a power cut the old content is there, or the new one.

    Raises
    ------
    OSError
        If it cannot be written; the old file stays.
    """
    temporary = path.with_name(path.name + PARTIAL)
    write_durably(temporary, pieces)
    replace_durably(temporary, path)


def sync_file(path: Path) -> None:
    """Bring a file that was written and closed to the disk."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all the data, in as many calls as the system takes."""
    left = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
