"""What happened in a search, one JSON object a line: enough to go on with it, and to look at it from elsewhere.

::

    run/
    ├── .manymill.json   says that the folder is one of a search
    ├── search.jsonl     settings, then candidates and results as they come; a torn last line is no harm
    └── abort            made by another process that wants the search to end
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from manymill.errors import RunFolderError
from manymill.search.proposing import Proposal, Space, decoded, encoded
from manymill.search.steps import Evaluated, Event, Exhausted, Failed, Proposed, Task
from manymill.storage.ownership import LOCK, SEARCH, check_folder, claim_folder

FILE_NAME = "search.jsonl"
ABORT_NAME = "abort"
FORMAT = "manymill-search"

_LOCK_SECONDS = 0.2


class Journal:
    """The journal of a run folder, written by one process.

    The folder is taken first, so that nobody reads data for a search that may not write, and so that others see the
    search, and may end it, while its data is read. `begin` follows when the settings are known.

    Parameters
    ----------
    folder : path
        Made if missing.

    Raises
    ------
    RunFolderError
        If another process writes to the folder, it holds something else, or it cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        from filelock import FileLock, Timeout

        self.folder = Path(folder)
        try:
            check_folder(self.folder, SEARCH)
            self.folder.mkdir(parents=True, exist_ok=True)
            # It is taken by the thread that starts a search, and let go by the one that ends it.
            self._lock = FileLock(self.folder / LOCK, thread_local=False)
            # Whoever watches a search asks for its lock, for a moment.
            self._lock.acquire(timeout=_LOCK_SECONDS, poll_interval=_LOCK_SECONDS / 20)
        except Timeout:
            raise RunFolderError(
                f"another process is at work in {self.folder}", "wait for it, or abort it"
            ) from None
        except RunFolderError:
            raise
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        self.proposals: dict[int, Proposal] = {}
        self.events: list[Event] = []
        try:
            claim_folder(self.folder, SEARCH)
            with suppress(FileNotFoundError):
                (self.folder / ABORT_NAME).unlink()
            self._file = open(self.folder / FILE_NAME, "ab")  # noqa: SIM115 (closed by close)
        except OSError as error:
            self._lock.release()
            if isinstance(error, RunFolderError):
                raise
            raise _cannot_write(self.folder, error) from error

    def begin(self, settings: dict[str, Any], spaces: list[Space]) -> None:
        """Go on with what an earlier process left in `events` and `proposals`, or note the beginning.

        Parameters
        ----------
        settings : dict
            What makes it this search: estimator, distributions, data, splits. A journal of another search is not gone
            on with.
        spaces : sequence of mapping
            See `proposing.spaces_of`.

        Raises
        ------
        RunFolderError
            If the folder holds another search, or cannot be written.
        """
        self._spaces = spaces
        self.events = self._before(settings)
        if not self._file.tell():
            self._write({"event": "Search", "format": FORMAT, "settings": settings})

    def _before(self, settings: dict[str, Any]) -> list[Event]:
        """What happened in an earlier process."""
        path = self.folder / FILE_NAME
        lines = list(records(self.folder))
        _cut_torn(path)
        self._file.seek(0, os.SEEK_END)
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
        for event in _events(path, told, lines[1:]):
            if isinstance(event, Proposed):
                proposal = decoded(self._spaces, event.params)
                self.proposals[event.trial] = proposal
                event = Proposed(event.trial, proposal.params)
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
        """Whether another process wants the search to end; its wish is met then."""
        try:
            (self.folder / ABORT_NAME).unlink()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Let the folder go."""
        try:
            with suppress(
                OSError
            ):  # the disk is full: whoever wrote was told, and the torn line is cut next time
                self._file.close()
            if not (self.folder / FILE_NAME).stat().st_size:  # it never came to its beginning
                (self.folder / FILE_NAME).unlink()
        except OSError:
            return  # someone removed the folder
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
    """A value for who only looks: numbers, words and lists of them as they are."""
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
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
        Parameters that are no numbers, words or tuples of them are told in words.
    settings : dict
        What makes it this search; empty while its data is read.
    why : str
        Why it is over; empty while it is not.

    Raises
    ------
    RunFolderError
        If there is no search.
    """
    lines = records(folder)
    first = next(lines, None)
    if first is None:
        return [], {}, ""
    settings = first.get("settings")
    if not isinstance(settings, dict):
        raise RunFolderError(f"{folder} holds no search", "name the folder of a search")
    why, shown = "", []
    for line in lines:
        why = line.get("why", "") if line.get("event") == "Ended" else ""
        if line.get("event") == "Proposed":
            params = dict(line.get("shown", {}))
            line["params"] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in params.items()
            }
        shown.append(line)
    return list(_events(Path(folder) / FILE_NAME, settings, shown)), settings, why


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
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"cannot write to {folder}: {error.strerror or error}", "name another folder")


def _cut_torn(path: Path) -> None:
    """Remove what stands after the last line break, so that the next line is one."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def _events(path: Path, settings: Mapping[str, Any], lines: Iterable[dict[str, Any]]) -> Iterator[Event]:
    """What the lines after the first tell, if it can have happened: a damaged line ends a search before it begins."""
    n_proposed, ended = 0, set[Task]()
    for number, line in enumerate(lines, 2):
        try:
            event = _read(line)
            wrong = _impossible(event, settings, n_proposed, ended)
        except (TypeError, KeyError, ValueError) as error:
            wrong = f"it cannot be read: {error!r}"
        if wrong:
            raise RunFolderError(f"{path}: line {number} cannot be: {wrong}", "begin a new run")
        if isinstance(event, Proposed):
            n_proposed += 1
        elif isinstance(event, Evaluated | Failed):
            ended.add(event.task)
        if event is not None:
            yield event


def _impossible(
    event: Event | None, settings: Mapping[str, Any], n_proposed: int, ended: Collection[Task]
) -> str:
    """Why an event cannot come after those before it; empty if it can."""
    if isinstance(event, Proposed) and event.trial != n_proposed:
        return f"candidate {event.trial} comes where {n_proposed} should"
    if isinstance(event, Evaluated | Failed):
        task, rungs = event.task, settings["rungs"]
        if task in ended:
            return f"{task} has ended before"
        if task.trial not in range(n_proposed):
            return f"candidate {task.trial} was not proposed"
        if task.split not in range(settings["n_splits"]) or task.rung not in range(len(rungs)):
            return f"the search has no {task}"
        if task.resource != rungs[task.rung]:
            return f"{task} has another resource than {rungs[task.rung]}"
    if isinstance(event, Evaluated) and settings["metric"] not in event.scores:
        return f"there is no score {settings['metric']!r}"
    return ""


def _read(line: dict[str, Any]) -> Event | None:
    kinds: dict[str, Any] = {"Evaluated": Evaluated, "Failed": Failed}
    name = line.pop("event", "")
    if name == "Proposed":
        return Proposed(int(line["trial"]), dict(line["params"]))
    if name == "Exhausted":
        return Exhausted()
    if name in kinds:
        event: Event = kinds[name](Task(**line.pop("task")), **line)
        return event
    return None
