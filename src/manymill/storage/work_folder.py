"""Hidden work folders for incomplete files: removed after use, or by a later `sweep` if the process was killed.

::

    .manymill-work-1a2b3c4d/
    ├── in-use           locked for the lifetime of its process
    ├── .manymill.json   marks the folder as manymill's, and lists the files that it may contain
    └── ...              those files
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manymill.storage.durable import write_durably
from manymill.storage.own_files import MARKER, json_object

_PREFIX = ".manymill-work-"
WORK = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")
WORK_FORMAT = "manymill-work"
_IN_USE = "in-use"
_LEFT = "left"
# A younger folder may belong to a process that has not locked it yet.
_FRESH_SECONDS = 60.0


@contextmanager
def work_folder(parent: Path, names: Collection[str]) -> Iterator[Path]:
    """Create a folder in `parent` for incomplete files; it is removed with its files when the block ends.

    The folder is locked while it is in use. Its marker lists the files that it may contain: after a kill, `sweep`
    removes only those.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    from filelock import FileLock

    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = FileLock(folder / _IN_USE)
    try:
        lock.acquire(blocking=False)
        marker = {"format": WORK_FORMAT, "format_version": 1, "names": sorted(names)}
        write_durably(folder / MARKER, [json.dumps(marker).encode() + b"\n"])
        yield folder
    finally:
        is_left = (folder / _LEFT).exists()
        if not is_left:
            with suppress(OSError):
                _remove_files(folder, names)
        lock.release()
        if not is_left:
            with suppress(OSError):
                (folder / _IN_USE).unlink(missing_ok=True)
                folder.rmdir()


def leave(folder: Path) -> None:
    """Leave a work folder for the next `sweep`, because a file that it names could not be removed."""
    with suppress(OSError):
        write_durably(folder / _LEFT, [])


def sweep(parent: Path, before: Callable[[Path], None] = lambda folder: None, *, alone: bool = False) -> None:
    """Remove the work folders of killed processes in `parent`.

    Parameters
    ----------
    parent : path
    alone : bool
        Whether a lock keeps other processes from creating a work folder in `parent`: then young folders are leftovers
        as well.
    before : callable
        Called with each folder before its files are removed.
    """
    from filelock import FileLock, Timeout

    with suppress(OSError):
        for entry in list(os.scandir(parent)):
            if not WORK.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue
            folder = Path(entry.path)
            # Folders that cannot be checked or removed are left.
            with suppress(OSError, Timeout, NotImplementedError):
                names = _listed(folder, alone=alone)
                if names is None:
                    continue
                with FileLock(folder / _IN_USE).acquire(blocking=False):
                    if names:
                        before(folder)
                    _remove_files(folder, names)
                (folder / _IN_USE).unlink(missing_ok=True)
                folder.rmdir()


def _listed(folder: Path, *, alone: bool) -> list[str] | None:
    """Return the files that a work folder may contain; None if it may not be ours, or may come into use."""
    marker = json_object(folder / MARKER)
    names = marker.get("names")
    if marker.get("format") == WORK_FORMAT and isinstance(names, list):
        return [name for name in names if isinstance(name, str) and Path(name).name == name]
    # A process that was killed before it wrote the marker leaves empty files.
    entries = list(os.scandir(folder))
    is_old = alone or time.time() - folder.stat().st_mtime > _FRESH_SECONDS
    empty = all(
        entry.name in (MARKER, _IN_USE) and entry.stat(follow_symlinks=False).st_size == 0
        for entry in entries
    )
    return [] if is_old and empty else None


def _remove_files(folder: Path, names: Collection[str]) -> None:
    for name in (*names, _LEFT, MARKER):
        (folder / name).unlink(missing_ok=True)
