"""Files that a command leaves in a folder of the user's, beside whatever is there: which of them are ours.

::

    out/
    ├── a.jsonl                  an output
    └── .manymill/
        ├── .manymill.json       says that manymill made the folder
        ├── a.jsonl.done         size and checksum of the output, and what else is known of it
        ├── a.jsonl.next         the same of an output that is about to be renamed into place
        └── .manymill-work-…/    outputs that are not whole yet

An output is ours as long as a record has its size and its checksum: who changes a file makes it theirs. The record is
written before the file gets its name, so that after a kill at any moment the file has a record.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymill.errors import RunFolderError
from manymill.storage import checked_json
from manymill.storage.durable import replace_durably, replace_file, sync_file, sync_folder, write_durably
from manymill.storage.own_files import MARKER, check_file, kind_of_file, open_regular, refusal
from manymill.storage.ownership import LOCK, RECORDS, check_folder, claim_folder
from manymill.storage.work_folder import sweep, work_folder

if TYPE_CHECKING:
    from filelock import FileLock

RECORDS_NAME = ".manymill"
_WORK_LOCK = "work-lock"
_PIECE_BYTES = 2**20
_LOCAL_URL = re.compile(r"^(\w+::)*(file|local)://")


class Outputs:
    """The outputs of manymill in a folder.

    Parameters
    ----------
    folder : path
        Made if it is not there.

    Raises
    ------
    RunFolderError
        If its folder of records is not ours, or it cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.records = self.folder / RECORDS_NAME
        # What was where a name is to be replaced, as it was looked at.
        self._seen: dict[str, tuple[int, ...] | None] = {}
        self._known: dict[str, tuple[tuple[int, ...], dict[str, Any] | None]] = {}
        try:
            if self.folder.exists() and not self.folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            check_folder(self.records, RECORDS)
            self._is_new = not self.records.exists()
            claim_folder(self.records, RECORDS)
        except RunFolderError:
            raise
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self.folder}: {error.strerror or error}", "name another folder with --out"
            ) from error

    def record(self, name: str) -> dict[str, Any] | None:
        """What is known of an output; None if it is not there, or was changed since it was written."""
        path = self.folder / name
        try:
            state = _state(path.lstat())
            if name not in self._known or self._known[name][0] != state:
                self._known[name] = state, self._recorded(name, path)
        except OSError:
            return None
        return self._known[name][1]

    def _recorded(self, name: str, path: Path) -> dict[str, Any] | None:
        told = {ending: _read(self._file(name, ending)) for ending in ("done", "next")}
        size = path.stat().st_size
        told = {ending: record for ending, record in told.items() if record.get("bytes") == size}
        digest = checksum_of(path) if told else ""
        for ending, record in told.items():
            if record.get("digest") == digest:
                if ending == "next":  # of a process that was killed
                    os.replace(self._file(name, "next"), self._file(name, "done"))
                return record
        return None

    def check(self, name: str, read: Collection[tuple[int, int]], *, overwrite: bool) -> None:
        """Refuse to write an output where that would destroy a file of the user's.

        Parameters
        ----------
        name : str
            Of the output.
        read : collection of tuple
            Of `identities`: the files that the command reads.
        overwrite : bool
            Whether the user said that a file may be replaced. One that is read never is.

        Raises
        ------
        RunFolderError
        """
        path = self.folder / name
        for ending in ("done", "next", "bad_rows"):
            check_file(self._file(name, ending))
        try:
            found = path.lstat()
            target = path.stat() if stat.S_ISLNK(found.st_mode) else found
        except OSError:
            if path.is_symlink():
                raise refusal(path, "is a symbolic link") from None
            self._seen[name] = None
            return
        if (target.st_dev, target.st_ino) in read:
            raise RunFolderError(f"{path} is read, and would be replaced", "choose another place with --out")
        if not stat.S_ISREG(found.st_mode):
            raise refusal(path, f"is {kind_of_file(found.st_mode)}")
        if not overwrite and self.record(name) is None:
            raise RunFolderError(
                f"{path} is there, and manymill has no record of writing it as it is now",
                "choose another place with --out, or replace it with --overwrite",
            )
        self._seen[name] = _state(found)

    def put(self, made: Mapping[str, tuple[Path, dict[str, Any]]]) -> None:
        """Bring outputs to where they belong, in this order; each name was checked.

        Parameters
        ----------
        made : mapping
            Name of an output, to the file, in the same file system, and what is to be known of it.

        Raises
        ------
        OSError
            If a file cannot be written, or another one got its name meanwhile.
        """
        for name, (path, known) in made.items():
            sync_file(path)
            content = {**known, "bytes": path.stat().st_size, "digest": checksum_of(path)}
            write_durably(self._file(name, "next"), [checked_json.text_of(content)])
        for name, (path, _) in made.items():
            self._check_unchanged(name)
            replace_durably(path, self.folder / name)
            # If this fails, the other record is still there: the output stays known as ours.
            os.replace(self._file(name, "next"), self._file(name, "done"))
            sync_folder(self.records)

    def remove(self, name: str) -> None:
        """Remove an output that an earlier run left, if it is still ours."""
        if self.record(name) is not None:
            (self.folder / name).unlink()
        for ending in ("done", "next"):
            self._file(name, ending).unlink(missing_ok=True)

    def put_bad_rows(self, name: str, lines: Collection[bytes]) -> None:
        """Write the list of an output's bad rows, among the records; there is none without lines."""
        path = self.bad_rows_path(name)
        if lines:
            replace_file(path, lines)
        else:
            path.unlink(missing_ok=True)

    def bad_rows_path(self, name: str) -> Path:
        """Where the list of an output's bad rows is, if there is one."""
        return self._file(name, "bad_rows")

    @contextmanager
    def working(self, names: Collection[str]) -> Iterator[Path]:
        """A folder for files of these names, until they are whole; see `work_folder`."""
        with ExitStack() as stack:
            with self._making_work_folders():
                folder = stack.enter_context(work_folder(self.records, names))
            yield folder

    def sweep(self) -> None:
        """Remove what killed processes left among the records."""
        with self._making_work_folders():
            sweep(self.records, alone=True)

    def _making_work_folders(self) -> FileLock:
        """A lock for a moment: a work folder without a marker was left by a kill if nobody holds it."""
        from filelock import FileLock

        return FileLock(self.records / _WORK_LOCK, timeout=60)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises
        ------
        RunFolderError
            If another process holds it.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.records / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderError(
                f"another prediction is writing to {self.folder}",
                "wait for it, or name another folder with --out",
            ) from None
        except OSError as error:
            raise RunFolderError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def tidy(self) -> None:
        """Remove the folder of records if this process made it and nothing was recorded."""
        if self._is_new:
            with suppress(OSError):
                names = {path.name for path in self.records.iterdir()}
                if names <= {MARKER, LOCK, _WORK_LOCK}:
                    for name in names:
                        (self.records / name).unlink()
                    self.records.rmdir()

    def _file(self, name: str, ending: str) -> Path:
        return self.records / f"{name}.{ending}"

    def _check_unchanged(self, name: str) -> None:
        """Raise if what has an output's name is not what was looked at before the work began."""
        try:
            now = _state((self.folder / name).lstat())
        except FileNotFoundError:
            now = None
        if now is not None and now != self._seen[name]:
            raise RunFolderError(
                f"{self.folder / name} was changed by someone else meanwhile",
                "choose another place with --out",
            )


def identities(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Device and number of each path that is a file here; others, such as URLs, are left out."""
    found = set()
    for path in paths:
        with suppress(OSError, ValueError):
            status = os.stat(_LOCAL_URL.sub("", path))
            found.add((status.st_dev, status.st_ino))
    return found


def checksum_of(path: Path) -> str:
    """The checksum of a regular file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        return checked_json.checksum(iter(lambda: file.read(_PIECE_BYTES), b""))


def _read(record: Path) -> dict[str, Any]:
    """A record; empty if there is none, or it was damaged."""
    try:
        return checked_json.read(record)
    except (OSError, ValueError):
        return {}


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
