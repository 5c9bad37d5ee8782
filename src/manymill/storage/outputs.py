"""Output files in a folder of the user that may contain other files, with records of those that manymill wrote.

::

    out/
    ├── a.jsonl                  an output
    └── .manymill/
        ├── .manymill.json       marks the folder as manymill's
        ├── a.jsonl.done         record of the output: its size, its checksum and other facts
        ├── a.jsonl.next         record of an output that is about to be renamed into place
        └── .manymill-work-…/    incomplete outputs

An output is ours as long as its size and checksum match a record; a file that the user has changed no longer is. The
record is written before the file is renamed, so that a kill at any time leaves no output without a record.
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
from manymill.storage.own_files import MARKER, check_file, kind_of_file, refusal
from manymill.storage.ownership import LOCK, RECORDS, check_folder, claim_folder
from manymill.storage.work_folder import sweep, work_folder

if TYPE_CHECKING:
    from filelock import FileLock

RECORDS_NAME = ".manymill"
_WORK_LOCK = "work-lock"
_LOCAL_URL = re.compile(r"^(\w+::)*(file|local)://")


class Outputs:
    """Outputs of manymill in a folder.

    Parameters
    ----------
    folder : path
        Created if it does not exist.

    Raises
    ------
    RunFolderError
        If it cannot be written, or its folder of records is not ours.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.records = self.folder / RECORDS_NAME
        # State of the file at each checked name, see `check`.
        self._checked: dict[str, tuple[int, ...] | None] = {}
        self._records: dict[str, tuple[tuple[int, ...], dict[str, Any] | None]] = {}
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
                f"cannot write to {self.folder}: {error.strerror or error}",
                "choose another folder with --out",
            ) from error

    def record(self, name: str) -> dict[str, Any] | None:
        """Return the record of an output; None if the file does not exist, or was changed since it was written."""
        path = self.folder / name
        try:
            state = _state(path.lstat())
            if name not in self._records or self._records[name][0] != state:
                self._records[name] = state, self._find_record(name, path)
        except OSError:
            return None
        return self._records[name][1]

    def check(self, name: str, inputs: Collection[tuple[int, int]], *, overwrite: bool) -> None:
        """Check that writing an output would not destroy a file of the user.

        Parameters
        ----------
        name : str
            Name of the output.
        inputs : collection of tuple
            The files that the command reads, from `identities`.
        overwrite : bool
            Whether the user allows replacing a file. A file that the command reads is never replaced.

        Raises
        ------
        RunFolderError
            If it would.
        """
        path = self.folder / name
        for ending in ("done", "next", "bad_rows"):
            check_file(self._file(name, ending))
        try:
            status = path.lstat()
            target = path.stat() if stat.S_ISLNK(status.st_mode) else status
        except OSError:
            if path.is_symlink():
                raise refusal(path, "is a symbolic link") from None
            self._checked[name] = None
            return
        if (target.st_dev, target.st_ino) in inputs:
            raise RunFolderError(
                f"{path} is an input, and would be replaced", "choose another folder with --out"
            )
        if not stat.S_ISREG(status.st_mode):
            raise refusal(path, f"is {kind_of_file(status.st_mode)}")
        if not overwrite and self.record(name) is None:
            raise RunFolderError(
                f"{path} exists, and is not an unchanged output of manymill",
                "choose another folder with --out, or replace it with --overwrite",
            )
        self._checked[name] = _state(status)

    def publish(self, outputs: Mapping[str, tuple[Path, dict[str, Any]]]) -> None:
        """Publish outputs in this order; each name must have been checked.

        Parameters
        ----------
        outputs : mapping
            Name of an output, to its file in the same file system and the facts to be recorded.

        Raises
        ------
        OSError
            If a file cannot be written, or the file at its name has changed since `check`.
        """
        for name, (path, facts) in outputs.items():
            sync_file(path)
            content = {**facts, "bytes": path.stat().st_size, "digest": checked_json.file_checksum(path)}
            write_durably(self._file(name, "next"), [checked_json.encode(content)])
        for name, (path, _) in outputs.items():
            self._check_unchanged(name)
            replace_durably(path, self.folder / name)
            # If this fails, the record named .next still shows that the output is ours.
            os.replace(self._file(name, "next"), self._file(name, "done"))
            sync_folder(self.records)

    def remove(self, name: str) -> None:
        """Remove an output of an earlier run if it is unchanged, and its records."""
        if self.record(name) is not None:
            (self.folder / name).unlink()
        for ending in ("done", "next"):
            self._file(name, ending).unlink(missing_ok=True)

    def write_bad_rows(self, name: str, lines: Collection[bytes]) -> None:
        """Write the list of an output's bad rows to the records, or remove it if there are no lines."""
        path = self.bad_rows_path(name)
        if lines:
            replace_file(path, lines)
        else:
            path.unlink(missing_ok=True)

    def bad_rows_path(self, name: str) -> Path:
        """Return the path of the list of an output's bad rows, which may not exist."""
        return self._file(name, "bad_rows")

    @contextmanager
    def working(self, names: Collection[str]) -> Iterator[Path]:
        """Create a folder for files of these names while they are incomplete; see `work_folder`."""
        with ExitStack() as stack:
            with self._making_work_folders():
                folder = stack.enter_context(work_folder(self.records, names))
            yield folder

    def sweep(self) -> None:
        """Remove work folders that killed processes left among the records."""
        with self._making_work_folders():
            sweep(self.records, alone=True)

    def _making_work_folders(self) -> FileLock:
        """Return the lock under which work folders are created; without it, one without a marker is a leftover."""
        from filelock import FileLock

        return FileLock(self.records / _WORK_LOCK, timeout=60)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process.

        Raises
        ------
        RunFolderError
            If another process has locked it.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.records / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderError(
                f"another prediction is writing to {self.folder}",
                "wait for it, or choose another folder with --out",
            ) from None
        except OSError as error:
            raise RunFolderError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def tidy(self) -> None:
        """Remove the folder of records if this process created it and it contains no record."""
        if self._is_new:
            with suppress(OSError):
                names = {path.name for path in self.records.iterdir()}
                if names <= {MARKER, LOCK, _WORK_LOCK}:
                    for name in names:
                        (self.records / name).unlink()
                    self.records.rmdir()

    def _find_record(self, name: str, path: Path) -> dict[str, Any] | None:
        records = {ending: _read(self._file(name, ending)) for ending in ("done", "next")}
        size = path.stat().st_size
        records = {ending: record for ending, record in records.items() if record.get("bytes") == size}
        digest = checked_json.file_checksum(path) if records else ""
        for ending, record in records.items():
            if record.get("digest") == digest:
                if ending == "next":  # of a process that was killed
                    os.replace(self._file(name, "next"), self._file(name, "done"))
                return record
        return None

    def _file(self, name: str, ending: str) -> Path:
        return self.records / f"{name}.{ending}"

    def _check_unchanged(self, name: str) -> None:
        """Raise if the file at an output's name has changed since `check`."""
        try:
            now = _state((self.folder / name).lstat())
        except FileNotFoundError:
            now = None
        if now is not None and now != self._checked[name]:
            raise RunFolderError(
                f"{self.folder / name} was changed by another process meanwhile",
                "choose another folder with --out",
            )


def identities(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Return device and inode of each path that is a local file; others, such as URLs, are ignored."""
    identities = set()
    for path in paths:
        with suppress(OSError, ValueError):
            status = os.stat(_LOCAL_URL.sub("", path))
            identities.add((status.st_dev, status.st_ino))
    return identities


def _read(record: Path) -> dict[str, Any]:
    """Read a record; empty if it does not exist or is damaged."""
    try:
        return checked_json.read(record)
    except (OSError, ValueError):
        return {}


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
