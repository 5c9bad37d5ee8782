"""Processes as an engine: each worker a loky pool of one, so that a death is that of one worker and one item.

::

    a thread per worker:
        task = the next with a key of this worker, or without a key
        up to 3 times: hand it to the worker, wait; if the worker died or is silent, start another

A worker has one task at a time: whose fault a death is, is never in doubt, and what it keeps for a key stays
with it. Workers are started afresh, never forked.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from manymill.engine import calls
from manymill.engine.seam import DEATHS, Engine, Result
from manymill.engine.store import store_beneath
from manymill.errors import EngineError

# One thread a worker, whatever numerical libraries it loads: there are as many workers as processors.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)

# How long a process that broke off in mid-result may take to end.
_END_SECONDS = 2.0

# How soon a worker notices that its driver is gone.
_WATCH_SECONDS = 0.5


@dataclass(eq=False, slots=True)
class _Task:
    payload: bytes
    name: str
    future: Future[Any] = field(default_factory=Future)


class _Queues:
    """Tasks that wait: for one worker, or for any."""

    def __init__(self, width: int) -> None:
        self._own: list[deque[_Task]] = [deque() for _ in range(width)]
        self._any: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, task: _Task, key: int | None) -> None:
        with self._changed:
            if self._closed:
                raise EngineError("The engine has been closed", "make a new one with as_engine")
            (self._any if key is None else self._own[key % len(self._own)]).append(task)
            self._changed.notify_all()

    def next(self, worker: int) -> _Task | None:
        """The next task of a worker; None when there will be no more."""
        own = self._own[worker]
        with self._changed:
            self._changed.wait_for(lambda: own or self._any or self._closed)
            return own.popleft() if own else self._any.popleft() if self._any else None

    def close(self, cancel: bool) -> None:
        with self._changed:
            self._closed = True
            for queue in [*self._own, self._any] if cancel else []:
                while queue:
                    queue.popleft().future.cancel()
            self._changed.notify_all()


class _Worker:
    """One process, started when first needed and again after it was lost."""

    def __init__(self, stall_seconds: float | None) -> None:
        self._stall_seconds = stall_seconds
        self._pool: Any = None
        self._process: Any = None
        self._changing = threading.Lock()
        self.ended = False

    def answer(self, payload: bytes) -> calls.Reply | str:
        """The reply to a call, or why the worker was lost."""
        try:
            future = self._running().submit(calls.perform, payload)
            self._process = self._alone() or self._process
            if not wait([future], self._stall_seconds).done:
                self.stop(kill=True)
                return f"its worker gave no answer for {self._stall_seconds:g} s and was killed"
            reply: calls.Reply = future.result()
        except BrokenExecutor as error:
            if self.ended:
                raise
            # A worker that died while it had nothing to do is found dead at the next call: it is that of the last one.
            cause = _signal(self._process) or _cause(error)
            self.stop(kill=True)
            return f"its worker died ({cause})"
        return reply

    def end(self) -> None:
        """Kill the process; no other will be started."""
        self.ended = True
        self.stop(kill=True)

    def stop(self, *, kill: bool) -> None:
        """End the process."""
        with self._changing:
            pool, self._pool = self._pool, None
            self._process = None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=kill)

    def _alone(self) -> Any:
        """The process that works, the only one that can write results from now on.

        Otherwise one that is killed in the middle of a result leaves the driver waiting for the rest: the pipe would
        have a writer still, the driver itself.
        """
        with self._changing:
            if self._pool is None:
                return None
            self._pool._result_queue._writer.close()
            return next(iter(self._pool._processes.values()), None)

    def _running(self) -> Any:
        from loky.process_executor import ProcessPoolExecutor

        with self._changing:
            if self.ended:
                raise CancelledError
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    1, initializer=_begin, initargs=(os.getpid(),), env=_ONE_THREAD
                )
            return self._pool


class ProcessEngine(Engine):
    """Processes of this machine.

    Parameters
    ----------
    width : int
        Processes.
    spool : path, optional
        Where published arrays are written.
    stall_seconds : float, optional
        A worker that gives no answer for so long is killed and its item tried again; never if not given.
    """

    def __init__(
        self, width: int, *, spool: str | PathLike[str] | None = None, stall_seconds: float | None = None
    ) -> None:
        super().__init__(width, spool)
        self.store = store_beneath(spool)
        self._queues = _Queues(width)
        self._workers = [_Worker(stall_seconds) for _ in range(width)]
        self._threads = [
            threading.Thread(
                target=self._serve, args=(number,), name=f"manymill-worker-{number}", daemon=True
            )
            for number in range(width)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        name = calls.name_of(function, arguments)
        task = _Task(calls.pack(function, arguments, name), name)
        self._queues.put(task, key)
        return task.future

    def _end(self, cancel: bool) -> None:
        self._queues.close(cancel)
        if cancel:
            for worker in self._workers:
                worker.end()
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.stop(kill=False)

    def _serve(self, number: int) -> None:
        while (task := self._queues.next(number)) is not None:
            if task.future.set_running_or_notify_cancel():
                try:
                    task.future.set_result(self._done(task, self._workers[number]))
                except BaseException as error:
                    task.future.set_exception(CancelledError() if self._workers[number].ended else error)

    def _done(self, task: _Task, worker: _Worker) -> Any:
        for death in range(1, DEATHS + 1):
            self._count(out=len(task.payload))
            answer = worker.answer(task.payload)
            if not isinstance(answer, str):
                self._count(back=answer.n_bytes)
                return calls.result(answer, task.name)
            if death < DEATHS:
                self.on_loss(task.name, answer, death)
        raise EngineError(
            f"{DEATHS} workers were lost on {task.name}; the last time {answer}",
            "look at that item: it may need more memory than there is, or crash a library",
        )


def _signal(process: Any) -> str | None:
    """The signal that ended a process, such as ``SIGKILL(-9)``; None if it ended otherwise."""
    if process is None:
        return None
    process.join(_END_SECONDS)
    code = process.exitcode
    return f"{signal.Signals(-code).name}({code})" if code is not None and code < 0 else None


def _cause(error: BaseException) -> str:
    """The exit code that loky tells, or its message."""
    text = str(error).strip()
    _, found, after = text.partition("{")
    return after.partition("}")[0] if found else f"{type(error).__name__}: {text}"


def _begin(driver: int) -> None:
    """Make a fresh process a worker of ours; ``driver`` is the process that must not be outlived."""
    from loky import process_executor

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's affair, which ends the workers
    # loky restarts a worker that has grown by 300 MB, to get rid of leaks; ours keep data in place on purpose.
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    threading.Thread(target=_watch, args=(driver,), name="manymill-watch", daemon=True).start()


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
