"""Journal of a search in its run folder, from which any process can resume or watch the search.

::

    run/
    ├── .manymill.json   marks the folder as that of a search
    ├── search.jsonl     settings, then candidates and results: a JSON object a line, each with a checksum; an
    │                    incomplete last line is ignored
    └── abort            created by another process to abort the search
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
from manymill.search.events import Evaluated, Evaluation, Event, Exhausted, Failed, Proposed
from manymill.search.policy import Policy, Rules
from manymill.search.results import RankedCandidate, rank_candidates
from manymill.search.samplers import Proposal, Space, decode_proposal, encode_proposal
from manymill.storage.checked_json import NO_CHECKSUM
from manymill.storage.journal import Journal, Line, is_locked, lock_folder, read_journal
from manymill.storage.own_files import open_own
from manymill.storage.ownership import SEARCH, check_folder, claim_folder
from manymill.storage.records import from_record, value_of

FILE_NAME = "search.jsonl"
ABORT_NAME = "abort"
FORMAT = "manymill-search"

_OTHER_FOLDER = "give another folder"
_START_NEW = "start a new search in another folder"
_GIVE_SEARCH = "give the folder of a search"


# Parameters that estimators of older versions had, with the values that had no effect.
_REMOVED_PARAMETERS = {"finish": None, "finish_iterations": 5}


def _comparable(settings: Any) -> Any:
    """Settings in a form in which those of older versions are equal: without modules and removed parameters."""
    if isinstance(settings, list):
        return [_comparable(value) for value in settings]
    if not isinstance(settings, dict):
        return settings
    compared = {name: _comparable(value) for name, value in settings.items()}
    kind = compared.get("class")
    if isinstance(kind, str) and kind.startswith("manymill.") and isinstance(compared.get("params"), dict):
        compared["class"] = kind.rpartition(".")[2]
        compared["params"] = {
            name: value
            for name, value in compared["params"].items()
            if name not in _REMOVED_PARAMETERS or value != _REMOVED_PARAMETERS[name]
        }
    return compared


class SearchJournal:
    """The journal of a run folder, written by one process.

    Creating it locks the folder, before data is read: no other process can write to the folder, and others can watch
    or abort the search while its data is read. `begin` follows when the settings are known.

    Parameters
    ----------
    folder : path
        Created if missing.

    Attributes
    ----------
    events : list of Event
        Events of an earlier process, after `begin`.
    proposals : dict of int to Proposal
        Its candidates by trial.

    Raises
    ------
    RunFolderError
        If another process has locked the folder, it contains something else, or it cannot be written.
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
                f"another process is writing to {self.folder}", "wait for its end, or abort it"
            ) from None
        except RunFolderError:
            raise
        except OSError as error:
            raise _cannot_write(self.folder, error, _OTHER_FOLDER) from error
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
            raise _cannot_write(self.folder, error, _OTHER_FOLDER) from error

    def begin(self, settings: dict[str, Any], spaces: list[Space]) -> None:
        """Read the events of an earlier process, or write the settings of a new search.

        Parameters
        ----------
        settings : dict
            Settings that identify the search: estimator, distributions, data, splits.
        spaces : sequence of mapping
            From `manymill.search.samplers.parameter_spaces`.

        Raises
        ------
        RunFolderError
            If the folder contains a search with other settings, or cannot be written.
        """
        self._spaces = spaces
        self.events = self._earlier_events(settings)
        if not self._file.n_bytes:
            self._write({"event": "Search", "format": FORMAT, "settings": settings}, sync=True)

    def _earlier_events(self, settings: dict[str, Any]) -> list[Event]:
        path = self.folder / FILE_NAME
        lines = list(_lines(self.folder))
        if not lines:
            return []
        recorded = lines[0].record.get("settings")
        if lines[0].record.get("format") != FORMAT or not isinstance(recorded, dict):
            raise RunFolderError(f"{path} is not the journal of a search", _OTHER_FOLDER)
        current = json.loads(json.dumps(settings))
        before, now = _comparable(recorded), _comparable(current)
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if changed:
            raise RunFolderError(
                f"{self.folder} contains a search with other {', '.join(changed)}",
                f"{_OTHER_FOLDER}, or remove this one",
            )
        events: list[Event] = []
        for event in _events(path, _JournalSettings.read(path, current), lines[1:]):
            if isinstance(event, Proposed):
                proposal = decode_proposal(self._spaces, event.params)
                self.proposals[event.trial] = proposal
                event = Proposed(event.trial, proposal.params)
            events.append(event)
        return events

    def write_proposal(self, trial: int, proposal: Proposal) -> None:
        """Write a new candidate."""
        shown = {name: _displayable(value) for name, value in proposal.params.items()}
        params = encode_proposal(self._spaces, proposal)
        self._write({"event": "Proposed", "trial": trial, "params": params, "shown": shown})

    def write_event(self, event: Event) -> None:
        """Write an event if resuming depends on it; for candidates, use `write_proposal`."""
        if isinstance(event, Evaluated | Failed):
            self._write({"event": type(event).__name__, **asdict(event)})
        elif isinstance(event, Exhausted):
            self._write({"event": "Exhausted"})

    def write_end(self, reason: str) -> None:
        """Write the end of the search."""
        self._write({"event": "Ended", "why": reason}, sync=True)

    def take_abort_request(self) -> bool:
        """Whether another process requested an abort; the request is removed."""
        path = self.folder / ABORT_NAME
        if not os.path.lexists(path):
            return False
        with suppress(OSError):  # the next search removes the file
            path.unlink()
        return True

    def close(self) -> None:
        """Release the folder."""
        try:
            # If the disk is full, `_write` has raised already; the next search removes the incomplete line.
            with suppress(OSError):
                self._file.close()
            if not (self.folder / FILE_NAME).stat().st_size:  # the search ended before `begin`
                (self.folder / FILE_NAME).unlink()
        except OSError:
            return  # the folder was removed
        finally:
            self._lock.release()

    def _write(self, record: dict[str, Any], *, sync: bool = False) -> None:
        try:
            self._file.append(record)
            if sync:
                self._file.sync()
        except OSError as error:
            raise _cannot_write(self._file.path, error, "free some space there") from error


def _displayable(value: Any) -> Any:
    """A value that JSON can represent, for readers of the journal: other objects become strings."""
    if isinstance(value, (list, tuple)):
        return [_displayable(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@dataclass(frozen=True, slots=True)
class _JournalSettings:
    """Settings in a journal that its events are validated against, and that a policy needs."""

    n_trials: int
    n_splits: int
    rungs: tuple[int | None, ...]
    eta: int
    metric: str

    @classmethod
    def read(cls, path: Path, settings: Mapping[str, Any]) -> _JournalSettings:
        try:
            names = ("n_trials", "n_splits", "rungs", "eta", "metric")
            known = from_record(cls, {name: settings[name] for name in names if name in settings})
            if known.n_trials < 0 or known.n_splits < 1 or not known.rungs or known.eta < 2:
                raise ValueError("a number is out of range")
            return known
        except ValueError as error:
            raise RunFolderError(
                f"{path}: line 1: these are not the settings of a search: {error}", _START_NEW
            ) from error


def read_records(folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of all complete lines of a journal.

    Raises
    ------
    RunFolderError
        If there is no journal, or a line is damaged.
    """
    for line in _lines(folder):
        yield line.record


def _lines(folder: str | os.PathLike[str]) -> Iterator[Line]:
    path = Path(folder) / FILE_NAME
    try:
        for line in read_journal(path):
            if line.damage:
                hint = (
                    _START_NEW
                    if line.number == 1 or line.damage == NO_CHECKSUM
                    else f"remove line {line.number}: its evaluation is repeated; or {_START_NEW}"
                )
                raise RunFolderError(f"{path}: line {line.number}: {line.damage}", hint)
            yield line
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror or error}", _GIVE_SEARCH) from error


def read_search(folder: str | os.PathLike[str]) -> tuple[list[Event], dict[str, Any], str]:
    """Read the journal of a folder without the distributions of its search.

    Returns
    -------
    events : list
        Parameters other than numbers, strings and tuples of them are strings.
    settings : dict
        Settings that identify the search; empty while its data is read.
    end_reason : str
        Why the search ended; empty before.

    Raises
    ------
    RunFolderError
        If the folder does not contain a search, or its journal is damaged.
    """
    path = Path(folder) / FILE_NAME
    lines = _lines(folder)
    first = next(lines, None)
    if first is None:
        return [], {}, ""
    settings = first.record.get("settings")
    if not isinstance(settings, dict):
        raise RunFolderError(f"{folder} does not contain a search", _GIVE_SEARCH)
    end_reason, shown = "", []
    for line in lines:
        end_reason = str(line.record.get("why", "")) if line.record.get("event") == "Ended" else ""
        if line.record.get("event") == "Proposed":
            line.record["params"] = line.record.get("shown")
        shown.append(line)
    events: list[Event] = []
    for event in _events(path, _JournalSettings.read(path, settings), shown):
        if isinstance(event, Proposed):
            params = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in event.params.items()
            }
            event = Proposed(event.trial, params)
        events.append(event)
    return events, settings, end_reason


def request_abort(folder: str | os.PathLike[str]) -> None:
    """Request that the process which runs the search in a folder aborts it; finished results stay.

    Raises
    ------
    RunFolderError
        If the folder does not contain a search, or cannot be written.
    """
    folder = Path(folder)
    next(read_records(folder), None)
    try:
        open_own(folder / ABORT_NAME, "a").close()
    except OSError as error:
        raise _cannot_write(folder, error, _OTHER_FOLDER) from error


def _cannot_write(path: Path, error: OSError, hint: str) -> RunFolderError:
    return RunFolderError(f"cannot write to {path}: {error.strerror or error}", hint)


def _events(path: Path, settings: _JournalSettings, lines: Iterable[Line]) -> Iterator[Event]:
    """Parse and validate the lines after the first, so that an invalid line is refused before a search begins."""
    n_proposed, ended = 0, set[Evaluation]()
    for line in lines:
        try:
            event = _parse(dict(line.record))
            problem = _problem(event, settings, n_proposed, ended)
        except (KeyError, ValueError) as error:
            problem = f"cannot parse it: {error!r}"
        if problem:
            raise RunFolderError(f"{path}: line {line.number} is invalid: {problem}", _START_NEW)
        if isinstance(event, Proposed):
            n_proposed += 1
        elif isinstance(event, Evaluated | Failed):
            ended.add(event.task)
        if event is not None:
            yield event


def _problem(
    event: Event | None, settings: _JournalSettings, n_proposed: int, ended: Collection[Evaluation]
) -> str:
    """Why an event contradicts the settings or earlier events; empty if it does not."""
    if isinstance(event, Proposed) and event.trial != n_proposed:
        return f"found candidate {event.trial}, expected candidate {n_proposed}"
    if isinstance(event, Evaluated | Failed):
        task, rungs = event.task, settings.rungs
        if task in ended:
            return f"{task} has ended before"
        if task.trial not in range(n_proposed):
            return f"candidate {task.trial} was not proposed"
        if task.split not in range(settings.n_splits) or task.rung not in range(len(rungs)):
            return f"the search does not have {task}"
        if task.resource != rungs[task.rung]:
            return f"{task} does not have the resource {rungs[task.rung]}"
    if isinstance(event, Evaluated) and settings.metric not in event.scores:
        return f"the score {settings.metric!r} is missing"
    return ""


def _parse(record: dict[str, Any]) -> Event | None:
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
class SearchStatus:
    """Status of a search, read from its journal.

    Attributes
    ----------
    policy : Policy
        State after all events of the journal.
    begun : bool
        Whether the data has been read.
    running : bool
        Whether a process runs the search.
    end_reason : str
        Why the search ended; empty before.
    """

    policy: Policy
    begun: bool
    running: bool
    end_reason: str

    def ranking(self) -> list[RankedCandidate]:
        """The candidates that have a result, the best first."""
        return rank_candidates(self.policy)

    def __str__(self) -> str:
        counts = self.policy.counts
        state = f"{counts['pending']:,} not done yet" if self.begun else "preparing the data"
        if not self.running:
            state += "; no process runs it: the same command resumes it"
        return f"{counts['done']:,} evaluations done, {counts['failed']:,} failed; {self.end_reason or state}"


def read_status(folder: str | os.PathLike[str]) -> SearchStatus:
    """Read the status of the search in a run folder.

    Raises
    ------
    RunFolderError
        If the folder does not contain a search, or its journal is damaged.
    """
    # Checked before the journal is read, so that the last events of a process that just ended are read.
    running = is_locked(Path(folder))
    events, record, end_reason = read_search(folder)
    policy = Policy(_rules(record) if record else Rules(n_trials=0, n_splits=1))
    policy.replay(events)
    return SearchStatus(policy, bool(record), running, end_reason)


def _rules(record: dict[str, Any]) -> Rules:
    return Rules(
        record["n_trials"], record["n_splits"], tuple(record["rungs"]), record["eta"], metric=record["metric"]
    )
