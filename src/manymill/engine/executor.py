"""Any ``concurrent.futures.Executor`` as an engine; whoever made it ends it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from typing import Any

from manymill.engine import calls
from manymill.engine.array_store import store_beneath
from manymill.engine.base import DEATHS, Engine, Result
from manymill.engine.local import available_threads
from manymill.errors import EngineError


@dataclass(eq=False, slots=True)
class _Task:
    payload: bytes
    name: str
    deaths: int = 0
    future: Future[Any] = field(default_factory=Future)
    attempt: Future[Any] | None = None


class ExecutorEngine(Engine):
    """The workers of an executor: of the standard library, ipyparallel, mpi4py.

    Parameters
    ----------
    executor : Executor
        Stays as it is when the engine is closed.
    spool : path, optional
        Where published arrays are written.
    """

    def __init__(self, executor: Executor, *, spool: str | PathLike[str] | None = None) -> None:
        super().__init__(_width(executor), spool)
        if isinstance(executor, ProcessPoolExecutor):
            self.store = store_beneath(spool)
        self._executor = executor
        self._unfinished: set[_Task] = set()

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        name = calls.name_of(function, arguments)
        task = _Task(calls.pack(function, arguments, name), name)
        self._unfinished.add(task)
        task.future.add_done_callback(partial(self._cancelled, task))
        self._attempt(task)
        return task.future

    def _attempt(self, task: _Task) -> None:
        self._count(out=len(task.payload))
        try:
            task.attempt = self._executor.submit(calls.perform, task.payload)
        except Exception as error:
            return self._fail(task, error)
        task.attempt.add_done_callback(partial(self._settle, task))

    def _settle(self, task: _Task, attempt: Future[calls.Reply]) -> None:
        """Take what an attempt came to: a reply, or an error of the executor itself."""
        if attempt.cancelled():
            task.future.cancel()
            return
        error = attempt.exception()
        if error is None:
            reply = attempt.result()
            self._count(back=reply.n_bytes)
            if task.future.set_running_or_notify_cancel():
                self._unfinished.discard(task)
                try:
                    task.future.set_result(calls.result(reply, task.name))
                except BaseException as own:
                    task.future.set_exception(own)
            return
        task.deaths += 1
        if isinstance(error, BrokenExecutor) or task.deaths == DEATHS or task.future.cancelled():
            self._fail(task, error)
        else:
            self.on_loss(task.name, f"its worker was lost ({type(error).__name__}: {error})", task.deaths)
            self._attempt(task)

    def _fail(self, task: _Task, error: BaseException) -> None:
        self._unfinished.discard(task)
        if not task.future.set_running_or_notify_cancel():
            return
        kind = f"{type(error).__name__}: {error}"
        if isinstance(error, BrokenExecutor):
            what = f"The executor broke while {task.name} was unfinished ({kind})"
            failure = EngineError(what, 'engine="processes" replaces a worker that died')
        else:
            what = f"{task.name} could not be done after {max(task.deaths, 1)} attempts ({kind})"
            failure = EngineError(what, "look at that item, and at the executor's workers")
        failure.__cause__ = error
        task.future.set_exception(failure)

    def _cancelled(self, task: _Task, future: Future[Any]) -> None:
        if future.cancelled() and task.attempt is not None:
            self._unfinished.discard(task)
            task.attempt.cancel()

    def workers_now(self) -> int:
        """See `Engine.workers_now`."""
        return _width(self._executor)

    def _end(self, cancel: bool) -> None:
        unfinished = list(self._unfinished)
        for task in unfinished if cancel else []:
            task.future.cancel()
        if not cancel:
            wait([task.future for task in unfinished])


def _width(executor: Executor) -> int:
    """Workers of an executor, which has no public name for them; processors of this machine if it does not tell."""
    for name in ("num_workers", "_max_workers"):  # mpi4py; the standard library
        if workers := getattr(executor, name, None):
            return int(workers)
    if (view := getattr(executor, "view", None)) is not None:  # ipyparallel
        return max(len(view.client.ids), 1)
    return available_threads()
