"""One training, one folder.

::

    runs/stars/
    ├── plan.json        what was read and how: files, columns, classes of the sample, settings
    ├── events.jsonl     what happened, one record a line, written as it happens
    ├── bad_rows.jsonl   rows that could not be used: file, place, reason
    ├── checkpoint/      where to go on from, while the training is not over
    ├── model/           the best state so far; see manymill.model
    ├── .manymill.json   says that the folder is a run
    └── .lock            held while a training writes here
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from manymill.errors import RunFolderError
from manymill.events import Event
from manymill.storage.durable import replace_durably, write_durably
from manymill.storage.own_files import open_own
from manymill.storage.ownership import LOCK, RUN, check_folder, claim_folder

_LOCK_SECONDS = 0.2


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
        from filelock import FileLock, Timeout

        self.path = Path(path)
        try:
            check_folder(self.path, RUN)
            self.path.mkdir(parents=True, exist_ok=True)
            # The system frees the lock of a process that died, so a lock is never stale.
            self._lock = FileLock(self.path / LOCK)
            # Whoever watches a run asks for its lock, for a moment.
            self._lock.acquire(timeout=_LOCK_SECONDS, poll_interval=_LOCK_SECONDS / 20)
            try:
                claim_folder(self.path, RUN)
                self._events: IO[str] = self._log("a")
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
            self._events = self._log("w")
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

    def _log(self, mode: Literal["a", "w"]) -> IO[str]:
        return open_own(self.path / "events.jsonl", mode)

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint is, if there is one."""
        return self.path / "checkpoint"

    def read_plan(self) -> dict[str, Any]:
        """What :meth:`write_plan` wrote.

        Raises
        ------
        RunFolderError
            If there is no run in the folder, or it cannot be read.
        """
        return read_plan(self.path)

    @property
    def model(self) -> Path:
        """Where the model folder is."""
        return self.path / "model"

    @property
    def bad_rows(self) -> Path:
        """Where bad rows are listed."""
        return self.path / "bad_rows.jsonl"

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write ``plan.json``: the old one or the new one is there at any moment.

        Raises
        ------
        RunFolderError
            If it cannot be written.
        """
        temporary = self.path / "plan.json.tmp"
        content = json.dumps(plan, indent=1, ensure_ascii=False) + "\n"
        try:
            write_durably(temporary, [content.encode(errors="replace")])
            replace_durably(temporary, self.path / "plan.json")
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"cannot write {self.path / 'plan.json'}: {reason}",
                "free some space, or name another folder with --out",
            ) from error

    def record(self, event: Event) -> None:
        """Append an event; it is on its way to disk when this returns.

        Raises
        ------
        RunFolderError
            If it cannot be written: once. Later events are dropped, so that a training may go on.
        """
        if self._events.closed:
            return
        record = {"time": round(time.monotonic() - self._start, 3), **event.to_json()}
        try:
            self._events.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._events.flush()
        except OSError as error:
            self._close_events()
            reason = error.strerror or str(error)
            raise RunFolderError(f"cannot write {self.path / 'events.jsonl'}: {reason}") from error

    def close(self) -> None:
        """Let others use the folder."""
        self._close_events()
        self._lock.release()

    def _close_events(self) -> None:
        # Closing writes what is buffered, and a full disk refuses that as well; the file is closed all the same.
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
        If there is no run in the folder, or it cannot be read.
    """
    file = Path(path) / "plan.json"
    try:
        plan = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{os.fspath(path)} holds no run", "name a folder that manymill train made"
        ) from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"cannot read {file}: {error}", "train anew") from error
    if not isinstance(plan, dict):
        raise RunFolderError(f"{file} is no plan of a run", "train anew")
    return plan
