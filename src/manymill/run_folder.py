"""One training, one folder.

::

    runs/stars/
    ├── plan.json        what was read and how: files, columns, classes of the sample, settings; with a checksum
    ├── events.jsonl     what happened, one record a line with a checksum, written as it happens
    ├── bad_rows.jsonl   rows that could not be used: file, place, reason
    ├── checkpoint/      where to go on from, while the training is not over
    ├── model/           the best state so far; see manymill.model
    ├── .manymill.json   says that the folder is a run
    └── .lock            held while a training writes here

One process writes (`RunFolder`); others read the plan and follow the events meanwhile.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from manymill import events
from manymill.errors import RunFolderError
from manymill.events import Event
from manymill.log import forward_warnings
from manymill.storage import checked_json
from manymill.storage.journal import (
    NO_CHECKSUM,
    Journal,
    Line,
    is_at_work,
    lock_folder,
    read_journal,
    read_line,
)
from manymill.storage.own_files import open_regular
from manymill.storage.ownership import RUN, check_folder, claim_folder
from manymill.storage.records import from_record

# Between two looks at the events of another process.
POLL_SECONDS = 0.3

# Events are for people to read, but for the last one, which is brought to the disk at once.
_SYNC_SECONDS = 30.0

# An event with the names of all classes that a model may have is far shorter.
_LINE_BYTES = 2**28

_PLAN, _EVENTS = "plan.json", "events.jsonl"
_FORMAT, _FORMAT_VERSION = "manymill-run", 1

_KINDS: dict[str, type[Event]] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


class RunFolder:
    """A run folder that this process owns until it is closed.

    Parameters
    ----------
    path : path
        Made if it is not there. A folder that holds anything but a run is refused; an earlier run's model
        stays until the first state of the new run is saved over it.

    Attributes
    ----------
    path : Path

    Raises
    ------
    RunFolderError
        If the folder cannot be written, holds other things, or another process trains into it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from filelock import Timeout

        self.path = Path(path)
        try:
            check_folder(self.path, RUN)
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = lock_folder(self.path)
            try:
                claim_folder(self.path, RUN)
                self._events = Journal(self.path / _EVENTS, sync_seconds=_SYNC_SECONDS)
            except OSError:
                self._lock.release()
                raise
        except Timeout as error:
            raise RunFolderError(
                f"another run is writing to {self.path}",
                "wait for it, stop it, or name another folder with --out",
            ) from error
        except RunFolderError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"cannot write to {self.path}: {reason}", "name another folder with --out"
            ) from error
        self._start = time.monotonic()
        self._unreported: RunFolderError | None = None

    def begin(self) -> None:
        """Forget the events and the bad rows of an earlier run; the run that is not begun goes on with it.

        Raises
        ------
        RunFolderError
            If the folder cannot be written.
        """
        try:
            self._close_events()
            self.bad_rows.unlink(missing_ok=True)
            self._events = Journal(self.path / _EVENTS, fresh=True, sync_seconds=_SYNC_SECONDS)
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(f"cannot write to {self.path}: {reason}") from error

    def refuse_to_read_own_files(self, sources: Iterable[str]) -> None:
        """Raise ``RunFolderError`` if a source lies in the folder: the run would write over it."""
        own = self.path.resolve()
        for source in sources:
            if os.path.exists(source) and own in Path(source).resolve().parents:
                raise RunFolderError(
                    f"{source} is read, and lies in the run folder", "name another folder with --out"
                )

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint is, if there is one."""
        return self.path / "checkpoint"

    @property
    def model(self) -> Path:
        """Where the model folder is."""
        return self.path / "model"

    @property
    def bad_rows(self) -> Path:
        """Where bad rows are listed."""
        return self.path / "bad_rows.jsonl"

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write ``plan.json`` durably: the old one or the new one is there at any moment.

        Raises
        ------
        RunFolderError
            If it cannot be written.
        """
        file = self.path / _PLAN
        try:
            checked_json.write(file, {"format": _FORMAT, "format_version": _FORMAT_VERSION, **plan})
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"cannot write {file}: {reason}", "free some space, or name another folder with --out"
            ) from error

    @contextmanager
    def recording_warnings(self) -> Iterator[None]:
        """Record what caches and engines warn of, which is told by whoever listens as well."""

        def record(message: str) -> None:
            try:
                self.record(events.Warned(message))
            except RunFolderError as error:
                self._unreported = error  # a cache must not fail of it: the next event does

        with forward_warnings(record, exclusive=False):
            yield

    def record(self, event: Event) -> None:
        """Append an event; other processes see it when this returns.

        Raises
        ------
        RunFolderError
            If it cannot be written: once. Later events are dropped, so that a training may go on.
        """
        if self._unreported is not None:
            error, self._unreported = self._unreported, None
            raise error
        if self._events.closed:
            return
        record = {"time": round(time.monotonic() - self._start, 3), **event.to_json()}
        try:
            self._events.append(record)
            if isinstance(event, events.Ended):
                self._events.sync()  # whether the run is over depends on it
        except OSError as error:
            self._close_events()
            reason = error.strerror or str(error)
            raise RunFolderError(f"cannot write {self._events.path}: {reason}") from error

    def close(self) -> None:
        """Let others use the folder."""
        self._close_events()
        self._lock.release()

    def _close_events(self) -> None:
        # A full disk may refuse what was appended; the file is closed all the same.
        with suppress(OSError):
            self._events.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_plan(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The plan of a run folder, which another process may own.

    Raises
    ------
    RunFolderError
        If there is no run in the folder, its plan was changed or damaged, or is of another version.
    """
    file = Path(path) / _PLAN
    try:
        plan = checked_json.read(file)
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{os.fspath(path)} holds no run", "name a folder that manymill train made"
        ) from error
    except OSError as error:
        raise RunFolderError(f"cannot read {file}: {error.strerror or error}", _TRAIN_AGAIN) from error
    except ValueError as error:
        raise RunFolderError(f"{file}: {error}", _TRAIN_AGAIN) from error
    if plan.pop("format", None) != _FORMAT:
        raise RunFolderError(f"{file} is not the plan of a run", _TRAIN_AGAIN)
    if plan.pop("format_version", None) != _FORMAT_VERSION:
        raise RunFolderError(f"{file} is of another version of manymill", _TRAIN_AGAIN)
    return plan


_TRAIN_AGAIN = (
    "settings are not changed there: train again, into a new folder, with the options that are wanted"
)


def read_events(run: str | os.PathLike[str], *, poll_seconds: float = POLL_SECONDS) -> Iterator[Event]:
    """The events of a run from its beginning on, as they happen, until it ends or its process does.

    Events of a later version are passed over. So are damaged lines: a `Warned` names the first one of each group.

    Raises
    ------
    RunFolderError
        If there is no run in the folder, or an older version wrote it.
    """
    path = Path(run) / _EVENTS
    try:
        file = open_regular(path)
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{os.fspath(run)} holds no run", "name a folder that manymill train writes to"
        ) from error
    except OSError as error:
        raise RunFolderError(
            f"cannot read {path}: {error.strerror or error}", "name a folder that manymill train writes to"
        ) from error
    with file:
        text, number, was_damaged = b"", 0, False
        while True:
            # Asked before reading: what was written before the process ended is then read.
            at_work = is_at_work(Path(run))
            text += file.readline(_LINE_BYTES)
            if len(text) > _LINE_BYTES:
                raise RunFolderError(f"{path}: line {number + 1} is longer than any event")
            if text.endswith(b"\n"):
                number += 1
                line = read_line(text, number)
                text = b""
                if line.damage == NO_CHECKSUM and number == 1:
                    raise RunFolderError(f"{path}: line 1: {line.damage}", "watch it with that version")
                if line.damage and not was_damaged:
                    yield events.Warned(f"{path}: line {number} is passed over: {line.damage}")
                was_damaged = bool(line.damage)
                event = _event_of(line)
                if event is not None:
                    yield event
            elif not at_work:
                return  # what is left of a line was written by a process that was killed
            else:
                time.sleep(poll_seconds)


def has_ended(run: str | os.PathLike[str]) -> bool:
    """Whether the run came to its end: it was neither stopped nor killed.

    A damaged line may have said that it was stopped: such a run is gone on with, to the same model.
    """
    over = in_doubt = False
    try:
        for line in read_journal(Path(run) / _EVENTS):
            event = _event_of(line)
            if isinstance(event, events.Planned):
                over = in_doubt = False
            in_doubt = in_doubt or bool(line.damage) or isinstance(event, events.Interrupted)
            over = over or isinstance(event, events.Ended)
    except OSError:
        return False
    return over and not in_doubt


def _event_of(line: Line) -> Event | None:
    """The event of a line; None if it is damaged, or of a later version."""
    kind = _KINDS.get(str(line.record.get("event")))
    if kind is None:
        return None
    known = {field.name for field in dataclasses.fields(kind)}
    values = {name: value for name, value in line.record.items() if name in known}
    try:
        return from_record(kind, values, finite=False)
    except ValueError:
        return None
