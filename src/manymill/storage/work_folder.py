"""Hidden folders for files that are not whole yet: removed when they are done with, or swept after a kill.

::

    .manymill-work-1a2b3c4d/
    ├── in-use           locked as long as its process lives
    ├── .manymill.json   says that manymill made the folder, and lists the files that may be in it
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
# A folder that is this young may belong to a process that has not locked it yet.
_FRESH_SECONDS = 60.0


@contextmanager
def work_folder(parent: Path, names: Collection[str]) -> Iterator[Path]:
    """A folder for files that are not whole yet, in `parent`; removed with its files when the block ends.

    It is locked while it is in use, and its marker lists the files that may be in it: `sweep` removes those after a
    kill, and nothing else.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    from filelock import FileLock

    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = FileLock(folder / _IN_USE)
    try:
        lock.acquire(blocking=False)
        told = {"format": WORK_FORMAT, "format_version": 1, "names": sorted(names)}
        write_durably(folder / MARKER, [json.dumps(told).encode() + b"\n"])
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
    """Leave a work folder to the next `sweep`, as a kill would: something that it tells of could not be removed."""
    with suppress(OSError):
        write_durably(folder / _LEFT, [])


def sweep(parent: Path, before: Callable[[Path], None] = lambda folder: None, *, alone: bool = False) -> None:
    """Remove the work folders that killed processes left in `parent`.

    Parameters
    ----------
    parent : path
    alone : bool
        Whether a lock keeps others from making a work folder there meanwhile: a young one is a leftover too then.
    before : callable
        Called with each folder before its files are removed.
    """
    from filelock import FileLock, Timeout

    with suppress(OSError):
        for entry in list(os.scandir(parent)):
            if not WORK.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue
            folder = Path(entry.path)
            # Who cannot tell, or is not allowed, leaves the folder.
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
    """The files that a work folder may hold; None if it is not provably ours, or may be about to be used."""
    told = json_object(folder / MARKER)
    names = told.get("names")
    if told.get("format") == WORK_FORMAT and isinstance(names, list):
        return [name for name in names if isinstance(name, str) and Path(name).name == name]
    # A kill before the marker was written leaves empty files.
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
