"""Run folder: the files of one training.

::

    runs/stars/
    ├── plan.json        sources and settings: files, columns, classes of the sample; with a checksum
    ├── events.jsonl     events as they happen, one per line with a checksum
    ├── bad_rows.jsonl   rows that could not be used: file, position, reason
    ├── checkpoint/      state to resume from, until the training has ended
    ├── model/           the best state so far; see manymill.model
    ├── .manymill.json   marks the folder as a run
    └── .lock            locked while a training writes to the folder

One process writes (`RunFolder`); others may read the plan and follow the events at the same time.
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
from manymill.storage.checked_json import NO_CHECKSUM
from manymill.storage.journal import (
    Journal,
    Line,
    is_locked,
    lock_folder,
    read_journal,
    read_line,
)
from manymill.storage.own_files import open_regular
from manymill.storage.ownership import RUN, check_folder, claim_folder
from manymill.storage.records import from_record

# Time between two polls of another process's events.
POLL_SECONDS = 0.3

# Events are for people, who can miss the last seconds before a power cut; the last event is synced at once.
_SYNC_SECONDS = 30.0

# Far longer than an event with the names of all classes that a model may have.
_LINE_BYTES = 2**28

_PLAN, _EVENTS = "plan.json", "events.jsonl"
_FORMAT, _FORMAT_VERSION = "manymill-run", 1

_KINDS: dict[str, type[Event]] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


class RunFolder:
    """Run folder that this process owns until it is closed.

    Parameters
    ----------
    path : path
        Created if it does not exist. A folder with anything but a run is refused; the model of an earlier run stays
        until the first state of the new run replaces it.

    Attributes
    ----------
    path : Path

    Raises
    ------
    RunFolderError
        If the folder cannot be written, holds other files, or is in use by another process.
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
                "wait for it, stop it, or choose another folder with --out",
            ) from error
        except RunFolderError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"cannot write to {self.path}: {reason}", "choose another folder with --out"
            ) from error
        self._start = time.monotonic()
        self._unreported: RunFolderError | None = None

    def begin(self) -> None:
        """Remove the events and bad rows of an earlier run; without this call, the earlier run is continued.

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
        """Raise ``RunFolderError`` if a source is in the folder: the run would overwrite it."""
        own = self.path.resolve()
        for source in sources:
            if os.path.exists(source) and own in Path(source).resolve().parents:
                raise RunFolderError(
                    f"{source} is a source of the run and lies in its folder",
                    "choose another folder with --out",
                )

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint, which may not exist."""
        return self.path / "checkpoint"

    @property
    def model(self) -> Path:
        """Path of the model folder."""
        return self.path / "model"

    @property
    def bad_rows(self) -> Path:
        """Path of the list of bad rows."""
        return self.path / "bad_rows.jsonl"

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write ``plan.json`` durably: a crash leaves the old plan or the new one.

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
                f"cannot write {file}: {reason}", "free some space, or choose another folder with --out"
            ) from error

    @contextmanager
    def recording_warnings(self) -> Iterator[None]:
        """Record the warnings of caches and engines as events; they are logged as usual as well."""

        def record(message: str) -> None:
            try:
                self.record(events.Warned(message))
            except RunFolderError as error:
                self._unreported = error  # must not fail in a cache: the next event raises it

        with forward_warnings(record, exclusive=False):
            yield

    def record(self, event: Event) -> None:
        """Append an event; other processes can read it when this returns.

        Raises
        ------
        RunFolderError
            Once, if an event cannot be written. Later events are dropped, so that the training can continue.
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
                self._events.sync()  # it says that the run has ended
        except OSError as error:
            self._close_events()
            reason = error.strerror or str(error)
            raise RunFolderError(f"cannot write {self._events.path}: {reason}") from error

    def close(self) -> None:
        """Release the folder."""
        self._close_events()
        self._lock.release()

    def _close_events(self) -> None:
        # Syncing may fail on a full disk; the file is closed in any case.
        with suppress(OSError):
            self._events.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_plan(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the plan of a run folder, which may be in use by another process.

    Raises
    ------
    RunFolderError
        If the folder is not a run folder, or its plan was changed, is damaged, or is of another version.
    """
    file = Path(path) / _PLAN
    try:
        plan = checked_json.read(file)
    except FileNotFoundError as error:
        raise RunFolderError(f"{os.fspath(path)} is not a run folder", _GIVE_RUN) from error
    except OSError as error:
        raise RunFolderError(f"cannot read {file}: {error.strerror or error}", _TRAIN_AGAIN) from error
    except ValueError as error:
        raise RunFolderError(f"{file}: {error}", _TRAIN_AGAIN) from error
    if plan.pop("format", None) != _FORMAT:
        raise RunFolderError(f"{file} is not the plan of a run", _TRAIN_AGAIN)
    if plan.pop("format_version", None) != _FORMAT_VERSION:
        raise RunFolderError(f"{file} is of another version of manymill", _TRAIN_AGAIN)
    return plan


_TRAIN_AGAIN = "do not edit this file: train again into a new folder with the options that you want"
_GIVE_RUN = "give a folder that manymill train has written"


def read_events(run: str | os.PathLike[str], *, poll_seconds: float = POLL_SECONDS) -> Iterator[Event]:
    """Yield the events of a run from its start, as they happen, until the run or its process ends.

    Events of a later version are skipped, and so are damaged lines: a `Warned` names the first one of each group.

    Raises
    ------
    RunFolderError
        If the folder is not a run folder, or an older version wrote it.
    """
    path = Path(run) / _EVENTS
    try:
        file = open_regular(path)
    except FileNotFoundError as error:
        raise RunFolderError(f"{os.fspath(run)} is not a run folder", _GIVE_RUN) from error
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror or error}", _GIVE_RUN) from error
    with file:
        text, number, was_damaged = b"", 0, False
        while True:
            # Checked before reading, so that everything written before the process ended is read.
            is_running = is_locked(Path(run))
            text += file.readline(_LINE_BYTES)
            if len(text) > _LINE_BYTES:
                raise RunFolderError(f"{path}: line {number + 1} is longer than any event")
            if text.endswith(b"\n"):
                number += 1
                line = read_line(text, number)
                text = b""
                if line.damage == NO_CHECKSUM and number == 1:
                    raise RunFolderError(
                        f"{path}: line 1: {line.damage}", "watch it with the version that wrote it"
                    )
                if line.damage and not was_damaged:
                    yield events.Warned(f"{path}: line {number} is skipped: {line.damage}")
                was_damaged = bool(line.damage)
                event = _event_of(line)
                if event is not None:
                    yield event
            elif not is_running:
                return  # the process was killed while it wrote a line
            else:
                time.sleep(poll_seconds)


def has_ended(run: str | os.PathLike[str]) -> bool:
    """Return whether the run was completed: neither stopped nor killed.

    A damaged line may have been the event of a stop: such a run counts as not completed, and resumes to the same model.
    """
    ended = is_doubtful = False
    try:
        for line in read_journal(Path(run) / _EVENTS):
            event = _event_of(line)
            if isinstance(event, events.Planned):
                ended = is_doubtful = False
            is_doubtful = is_doubtful or bool(line.damage) or isinstance(event, events.Interrupted)
            ended = ended or isinstance(event, events.Ended)
    except OSError:
        return False
    return ended and not is_doubtful


def _event_of(line: Line) -> Event | None:
    """Return the event of a line; None if it is damaged, or of a later version."""
    kind = _KINDS.get(str(line.record.get("event")))
    if kind is None:
        return None
    known = {field.name for field in dataclasses.fields(kind)}
    values = {name: value for name, value in line.record.items() if name in known}
    try:
        return from_record(kind, values, finite=False)
    except ValueError:
        return None
