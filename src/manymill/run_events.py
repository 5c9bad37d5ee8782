"""The events of a run, read from its folder while another process writes them."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manymill import events
from manymill.errors import RunFolderError
from manymill.events import Event

# Between two looks at the file.
LOOK_SECONDS = 0.3

_KINDS: dict[str, type[Event]] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


def read_events(run: str | os.PathLike[str], *, look_seconds: float = LOOK_SECONDS) -> Iterator[Event]:
    """The events of a run from its beginning on, as they happen, until it ends or its process does.

    Lines that are no events, such as those of a later version, are passed over.

    Raises
    ------
    RunFolderError
        If there is no run in the folder.
    """
    path = Path(run) / "events.jsonl"
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RunFolderError(
            f"{os.fspath(run)} holds no run", "name a folder that manymill train writes to"
        ) from error
    with file:
        line = ""
        while True:
            # Asked before reading: what was written before the process ended is then read.
            at_work = is_at_work(Path(run))
            line += file.readline()
            if line.endswith("\n"):
                event = _event_of(line)
                line = ""
                if event is not None:
                    yield event
            elif not at_work and not line:
                return
            elif not at_work:
                return  # a process that was killed in mid-line
            else:
                time.sleep(look_seconds)


def has_ended(run: str | os.PathLike[str]) -> bool:
    """Whether the run came to its end: it was neither stopped nor killed."""
    over = stopped = False
    try:
        with (Path(run) / "events.jsonl").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                event = _event_of(line)
                if isinstance(event, events.Planned):
                    over = stopped = False
                stopped = stopped or isinstance(event, events.Interrupted)
                over = over or isinstance(event, events.Ended)
    except OSError:
        return False
    return over and not stopped


def is_at_work(run: Path) -> bool:
    """Whether a process owns the run: its lock cannot be had."""
    from filelock import FileLock, Timeout

    if not (run / ".lock").exists():
        return False
    try:
        with FileLock(run / ".lock", timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _event_of(line: str) -> Event | None:
    try:
        told: dict[str, Any] = json.loads(line)
        kind = _KINDS[told["event"]]
        known = {field.name for field in dataclasses.fields(kind)}
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in told.items()
            if name in known
        }
        return kind(**values)
    except (ValueError, KeyError, TypeError):
        return None
