"""Engine on any ``concurrent.futures.Executor``; the executor stays open when the engine is closed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from typing import Any

from manymill.constants import MAX_LOSSES
from manymill.engine import calls
from manymill.engine.array_store import store_in_folder
from manymill.engine.base import Engine, Result
from manymill.engine.local import available_threads
from manymill.errors import EngineError


@dataclass(eq=False, slots=True)
class _SubmittedCall:
    payload: bytes
    name: str
    n_losses: int = 0
    future: Future[Any] = field(default_factory=Future)
    attempt: Future[Any] | None = None


class ExecutorEngine(Engine):
    """Workers of an executor: of the standard library, ipyparallel, mpi4py.

    Parameters
    ----------
    executor : Executor
        Not shut down when the engine is closed.
    spool : path, optional
        Folder that published arrays are written to.
    """

    def __init__(self, executor: Executor, *, spool: str | PathLike[str] | None = None) -> None:
        super().__init__(_width(executor), spool)
        if isinstance(executor, ProcessPoolExecutor):
            self.store = store_in_folder(spool)
        self._executor = executor
        self._unfinished: set[_SubmittedCall] = set()

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        name = calls.task_name(function, arguments)
        call = _SubmittedCall(calls.pack(function, arguments, name), name)
        self._unfinished.add(call)
        call.future.add_done_callback(partial(self._on_cancel, call))
        self._attempt(call)
        return call.future

    def workers_now(self) -> int:
        """See `Engine.workers_now`."""
        return _width(self._executor)

    def _attempt(self, call: _SubmittedCall) -> None:
        self._count(out=len(call.payload))
        try:
            call.attempt = self._executor.submit(calls.perform, call.payload)
        except Exception as error:
            return self._fail(call, error)
        call.attempt.add_done_callback(partial(self._settle, call))

    def _settle(self, call: _SubmittedCall, attempt: Future[calls.Reply]) -> None:
        """Handle the outcome of an attempt: a reply, or an error of the executor itself."""
        if attempt.cancelled():
            call.future.cancel()
            return
        error = attempt.exception()
        if error is None:
            reply = attempt.result()
            self._count(back=reply.n_bytes)
            if call.future.set_running_or_notify_cancel():
                self._unfinished.discard(call)
                try:
                    call.future.set_result(calls.unpack_result(reply, call.name))
                except BaseException as raised:
                    call.future.set_exception(raised)
            return
        call.n_losses += 1
        if isinstance(error, BrokenExecutor) or call.n_losses == MAX_LOSSES or call.future.cancelled():
            self._fail(call, error)
        else:
            self.on_loss(call.name, f"its worker was lost ({type(error).__name__}: {error})", call.n_losses)
            self._attempt(call)

    def _fail(self, call: _SubmittedCall, error: BaseException) -> None:
        self._unfinished.discard(call)
        if not call.future.set_running_or_notify_cancel():
            return
        cause = f"{type(error).__name__}: {error}"
        if isinstance(error, BrokenExecutor):
            what = f"The executor broke while {call.name} was unfinished ({cause})"
            failure = EngineError(what, 'use engine="processes", which replaces workers that died')
        else:
            what = f"{call.name} failed after {max(call.n_losses, 1)} attempts ({cause})"
            failure = EngineError(what, "look at that item, and at the executor's workers")
        failure.__cause__ = error
        call.future.set_exception(failure)

    def _on_cancel(self, call: _SubmittedCall, future: Future[Any]) -> None:
        if future.cancelled() and call.attempt is not None:
            self._unfinished.discard(call)
            call.attempt.cancel()

    def _end(self, cancel: bool) -> None:
        unfinished = list(self._unfinished)
        for call in unfinished if cancel else []:
            call.future.cancel()
        if not cancel:
            wait([call.future for call in unfinished])


def _width(executor: Executor) -> int:
    """Return the number of workers of an executor; the processors of this machine if that cannot be found out."""
    for name in ("num_workers", "_max_workers"):  # mpi4py; the standard library
        if workers := getattr(executor, name, None):
            return int(workers)
    if (view := getattr(executor, "view", None)) is not None:  # ipyparallel
        return max(len(view.client.ids), 1)
    return available_threads()
