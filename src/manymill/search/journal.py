"""What happened in a search, one JSON object a line: enough to go on with it, and to look at it from elsewhere.

::

    run/
    ├── .manymill.json   says that the folder is one of a search
    ├── search.jsonl     settings, then candidates and results as they come, each line with a checksum; a torn last line
    │                    does no harm
    └── abort            made by another process that wants the search to end

How a search of another process is doing, read from its journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manymill.errors import RunFolderError
from manymill.search.events import Evaluated, Event, Exhausted, Failed, Proposed, Task
from manymill.search.policy import Policy, Rules
from manymill.search.results import Ranked, ranking
from manymill.search.samplers import Proposal, Space, decoded, encoded
from manymill.storage.checked_json import NO_CHECKSUM
from manymill.storage.journal import Journal, Line, is_locked, lock_folder, read_journal
from manymill.storage.own_files import open_own
from manymill.storage.ownership import SEARCH, check_folder, claim_folder
from manymill.storage.records import from_record, value_of

FILE_NAME = "search.jsonl"
ABORT_NAME = "abort"
FORMAT = "manymill-search"


class SearchJournal:
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
        from filelock import Timeout

        self.folder = Path(folder)
        try:
            check_folder(self.folder, SEARCH)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_folder(self.folder)
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
            self._file = Journal(self.folder / FILE_NAME)
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
        if not self._file.n_bytes:
            self._write({"event": "Search", "format": FORMAT, "settings": settings}, sync=True)

    def _before(self, settings: dict[str, Any]) -> list[Event]:
        """What happened in an earlier process."""
        path = self.folder / FILE_NAME
        lines = list(_lines(self.folder))
        if not lines:
            return []
        known = lines[0].record.get("settings")
        if lines[0].record.get("format") != FORMAT or not isinstance(known, dict):
            raise RunFolderError(f"{path} is not the journal of a search", "name another folder")
        told = json.loads(json.dumps(settings))
        other = sorted(name for name in {*known, *told} if known.get(name) != told.get(name))
        if other:
            raise RunFolderError(
                f"{self.folder} holds a search with other {', '.join(other)}",
                "name another folder, or remove it",
            )
        out: list[Event] = []
        for event in _events(path, _Frame.of(path, told), lines[1:]):
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
        self._write({"event": "Ended", "why": why}, sync=True)

    def abort_was_asked(self) -> bool:
        """Whether another process wants the search to end; its wish is met then."""
        path = self.folder / ABORT_NAME
        if not os.path.lexists(path):
            return False
        with suppress(OSError):  # the wish holds, though its file may stay until the next search
            path.unlink()
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

    def _write(self, record: dict[str, Any], *, sync: bool = False) -> None:
        try:
            self._file.append(record)
            if sync:
                self._file.sync()
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self._file.path}: {error.strerror or error}", "free some space there"
            ) from error


def _shown(value: Any) -> Any:
    """A value for who only looks: numbers, words and lists of them as they are."""
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Of a search's settings what its events are checked against, and a policy needs."""

    n_trials: int
    n_splits: int
    rungs: tuple[int | None, ...]
    eta: int
    metric: str

    @classmethod
    def of(cls, path: Path, settings: Mapping[str, Any]) -> _Frame:
        try:
            names = ("n_trials", "n_splits", "rungs", "eta", "metric")
            frame = from_record(cls, {name: settings[name] for name in names if name in settings})
            if frame.n_trials < 0 or frame.n_splits < 1 or not frame.rungs or frame.eta < 2:
                raise ValueError("its counts are impossible")
            return frame
        except ValueError as error:
            raise RunFolderError(
                f"{path}: line 1: these are not the settings of a search: {error}", _BEGIN_AGAIN
            ) from error


_BEGIN_AGAIN = "begin a new search in another folder"


def records(folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """What the whole lines of a journal hold.

    Raises
    ------
    RunFolderError
        If there is none, or a line was changed or damaged.
    """
    for line in _lines(folder):
        yield line.record


def _lines(folder: str | os.PathLike[str]) -> Iterator[Line]:
    path = Path(folder) / FILE_NAME
    try:
        for line in read_journal(path):
            if line.damage:
                hint = (
                    _BEGIN_AGAIN
                    if line.number == 1 or line.damage == NO_CHECKSUM
                    else f"remove line {line.number}: what it held is evaluated again; or {_BEGIN_AGAIN}"
                )
                raise RunFolderError(f"{path}: line {line.number}: {line.damage}", hint)
            yield line
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be read: {error.strerror or error}", "name the folder of a search"
        ) from error


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
        If there is no search, or its journal is damaged.
    """
    path = Path(folder) / FILE_NAME
    lines = _lines(folder)
    first = next(lines, None)
    if first is None:
        return [], {}, ""
    settings = first.record.get("settings")
    if not isinstance(settings, dict):
        raise RunFolderError(f"{folder} holds no search", "name the folder of a search")
    why, shown = "", []
    for line in lines:
        why = str(line.record.get("why", "")) if line.record.get("event") == "Ended" else ""
        if line.record.get("event") == "Proposed":
            line.record["params"] = line.record.get("shown")
        shown.append(line)
    events: list[Event] = []
    for event in _events(path, _Frame.of(path, settings), shown):
        if isinstance(event, Proposed):
            params = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in event.params.items()
            }
            event = Proposed(event.trial, params)
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
        open_own(folder / ABORT_NAME, "a").close()
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"cannot write to {folder}: {error.strerror or error}", "name another folder")


def _events(path: Path, frame: _Frame, lines: Iterable[Line]) -> Iterator[Event]:
    """What the lines after the first tell, if it can have happened: a wrong line ends a search before it begins."""
    n_proposed, ended = 0, set[Task]()
    for line in lines:
        try:
            event = _read(dict(line.record))
            wrong = _impossible(event, frame, n_proposed, ended)
        except (KeyError, ValueError) as error:
            wrong = f"it cannot be read: {error!r}"
        if wrong:
            raise RunFolderError(f"{path}: line {line.number} cannot be: {wrong}", _BEGIN_AGAIN)
        if isinstance(event, Proposed):
            n_proposed += 1
        elif isinstance(event, Evaluated | Failed):
            ended.add(event.task)
        if event is not None:
            yield event


def _impossible(event: Event | None, frame: _Frame, n_proposed: int, ended: Collection[Task]) -> str:
    """Why an event cannot come after those before it; empty if it can."""
    if isinstance(event, Proposed) and event.trial != n_proposed:
        return f"candidate {event.trial} comes where {n_proposed} should"
    if isinstance(event, Evaluated | Failed):
        task, rungs = event.task, frame.rungs
        if task in ended:
            return f"{task} has ended before"
        if task.trial not in range(n_proposed):
            return f"candidate {task.trial} was not proposed"
        if task.split not in range(frame.n_splits) or task.rung not in range(len(rungs)):
            return f"the search has no {task}"
        if task.resource != rungs[task.rung]:
            return f"{task} has another resource than {rungs[task.rung]}"
    if isinstance(event, Evaluated) and frame.metric not in event.scores:
        return f"there is no score {frame.metric!r}"
    return ""


def _read(record: dict[str, Any]) -> Event | None:
    name = record.pop("event", "")
    if name == "Proposed":
        return Proposed(
            value_of(int, record["trial"], "trial"), value_of(dict[str, Any], record["params"], "params")
        )
    if name == "Exhausted":
        return Exhausted()
    if name == "Evaluated":
        return from_record(Evaluated, record, finite=False)
    if name == "Failed":
        return from_record(Failed, record, finite=False)
    return None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a journal tells so far."""

    policy: Policy
    begun: bool  # the data has been read
    at_work: bool  # a process is at it
    ended: str  # why; empty while it is not over

    def rows(self) -> list[Ranked]:
        """The ranking."""
        return ranking(self.policy)

    def __str__(self) -> str:
        counts = self.policy.counts
        left = f"{counts['pending']:,} not done yet" if self.begun else "preparing the data"
        killed = "" if self.at_work else "; no process is at it: the same command goes on"
        return (
            f"{counts['done']:,} evaluations done, {counts['failed']:,} failed; {self.ended or left + killed}"
        )


def standing(folder: str | os.PathLike[str]) -> Standing:
    """How the search in a run folder stands.

    Raises
    ------
    RunFolderError
        If there is none.
    """
    # Asked before reading: what was written before the process ended is then read.
    at_work = is_locked(Path(folder))
    events, told, ended = events_of(folder)
    policy = Policy(_rules(told) if told else Rules(n_trials=0, n_splits=1))
    policy.replay(events)
    return Standing(policy, bool(told), at_work, ended)


def _rules(told: dict[str, Any]) -> Rules:
    return Rules(told["n_trials"], told["n_splits"], tuple(told["rungs"]), told["eta"], metric=told["metric"])
