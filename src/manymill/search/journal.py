"""What happened in a search, one JSON object a line: enough to go on with it, and to look at it from elsewhere.

::

    run/
    ├── search.jsonl     settings, then candidates and results as they come; a torn last line is no harm
    └── abort            made by another process that wants the search to end
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from manymill.errors import RunFolderError
from manymill.search.proposing import Proposal, Space, decoded, encoded
from manymill.search.steps import Evaluated, Event, Exhausted, Failed, Proposed, Task

FILE_NAME = "search.jsonl"
ABORT_NAME = "abort"
FORMAT = "manymill-search"


class Journal:
    """The journal of a run folder, written by one process.

    Parameters
    ----------
    folder : path
        Made if missing.
    settings : dict
        What makes it this search: estimator, distributions, data, splits. A journal of another search is not gone on
        with.
    spaces : sequence of mapping
        See `proposing.spaces_of`.

    Raises
    ------
    RunFolderError
        If another process writes to the folder, it holds another search, or it cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any], spaces: list[Space]) -> None:
        from filelock import FileLock, Timeout

        self.folder = Path(folder)
        self._spaces = spaces
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # It is taken by the thread that starts a search, and let go by the one that ends it.
            self._lock = FileLock(self.folder / ".lock", thread_local=False)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise RunFolderError(
                f"another process is searching in {self.folder}", "wait for it, or abort it"
            ) from None
        except OSError as error:
            raise RunFolderError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        self.proposals: dict[int, Proposal] = {}
        try:
            self.events = self._before(settings)
            with suppress(FileNotFoundError):
                (self.folder / ABORT_NAME).unlink()
            self._file = open(self.folder / FILE_NAME, "ab")  # noqa: SIM115 (closed by close)
            if not self._file.tell():
                self._write({"event": "Search", "format": FORMAT, "settings": settings})
        except BaseException:
            self._lock.release()
            raise

    def _before(self, settings: dict[str, Any]) -> list[Event]:
        """What happened in an earlier process."""
        path = self.folder / FILE_NAME
        if not path.exists():
            return []
        lines = list(records(self.folder))
        _cut_torn(path)
        if not lines:
            return []
        known = lines[0].get("settings")
        if lines[0].get("format") != FORMAT or not isinstance(known, dict):
            raise RunFolderError(f"{path} is no journal of a search", "name another folder")
        told = json.loads(json.dumps(settings))
        other = sorted(name for name in {*known, *told} if known.get(name) != told.get(name))
        if other:
            raise RunFolderError(
                f"{self.folder} holds a search with other {', '.join(other)}",
                "name another folder, or remove it",
            )
        out: list[Event] = []
        for line in lines[1:]:
            event = _read(line)
            if isinstance(event, Proposed):
                proposal = decoded(self._spaces, event.params)
                self.proposals[event.trial] = proposal
                event = Proposed(event.trial, proposal.params)
            if event is not None:
                out.append(event)
        return out

    def proposed(self, trial: int, proposal: Proposal) -> None:
        """Note a candidate."""
        shown = {name: _shown(value) for name, value in proposal.params.items()}
        params = encoded(self._spaces, proposal)
        self._write({"event": "Proposed", "trial": trial, "params": params, "shown": shown})

    def note(self, event: Event) -> None:
        """Note what happened, if it matters to who goes on: candidates have their own method."""
        if isinstance(event, Evaluated | Failed):
            self._write({"event": type(event).__name__, **asdict(event)})
        elif isinstance(event, Exhausted):
            self._write({"event": "Exhausted"})

    def ended(self, why: str) -> None:
        """Note that nothing is left to do."""
        self._write({"event": "Ended", "why": why})

    def abort_was_asked(self) -> bool:
        """Whether another process wants the search to end."""
        return (self.folder / ABORT_NAME).exists()

    def close(self) -> None:
        """Let the folder go."""
        try:
            with suppress(
                OSError
            ):  # the disk is full: whoever wrote was told, and the torn line is cut next time
                self._file.close()
        finally:
            self._lock.release()

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self.folder / FILE_NAME}: {error.strerror or error}",
                "free some space there",
            ) from error


def _shown(value: Any) -> Any:
    """A value for who only looks: numbers and words as they are."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def records(folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal.

    Raises
    ------
    RunFolderError
        If there is none, or a line in the middle is none of a journal.
    """
    path = Path(folder) / FILE_NAME
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be read: {error.strerror}", "name the folder of a search"
        ) from error
    for number, line in enumerate(
        lines[:-1], 1
    ):  # what stands after the last line break was not written wholly
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            raise RunFolderError(f"{path}: line {number} is no record: {error}", "begin a new run") from error
        yield record


def events_of(folder: str | os.PathLike[str]) -> tuple[list[Event], dict[str, Any], str]:
    """What happened in the search of a folder, for whoever has not its distributions.

    Returns
    -------
    events : list
        Parameters that are no numbers are words.
    settings : dict
        What makes it this search.
    why : str
        Why it is over; empty while it is not.

    Raises
    ------
    RunFolderError
        If there is no search.
    """
    lines = records(folder)
    settings = next(lines, {}).get("settings")
    if not isinstance(settings, dict):
        raise RunFolderError(f"{folder} holds no search", "name the folder of a search")
    events, why = [], ""
    for line in lines:
        why = line.get("why", "") if line.get("event") == "Ended" else ""
        if line.get("event") == "Proposed":
            line["params"] = line.get("shown", {})
        event = _read(line)
        if event is not None:
            events.append(event)
    return events, settings, why


def ask_to_abort(folder: str | os.PathLike[str]) -> None:
    """Have the search in a folder end; what is finished is kept.

    Raises
    ------
    RunFolderError
        If there is no search, or the folder cannot be written.
    """
    folder = Path(folder)
    next(records(folder), None)
    try:
        (folder / ABORT_NAME).touch()
    except OSError as error:
        raise RunFolderError(f"cannot write to {folder}: {error.strerror}") from error


def _cut_torn(path: Path) -> None:
    """Remove what stands after the last line break, so that the next line is one."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def _read(line: dict[str, Any]) -> Event | None:
    kinds: dict[str, Any] = {"Evaluated": Evaluated, "Failed": Failed}
    name = line.pop("event", "")
    try:
        if name == "Proposed":
            return Proposed(int(line["trial"]), dict(line["params"]))
        if name == "Exhausted":
            return Exhausted()
        if name in kinds:
            event: Event = kinds[name](Task(**line.pop("task")), **line)
            return event
    except (TypeError, KeyError, ValueError) as error:
        raise RunFolderError(
            f"the journal has a {name} that cannot be read: {error!r}", "begin a new run"
        ) from None
    return None
