"""Processes as an engine: each worker a loky pool of one, so that a death is that of one worker and one item.

::

    a thread per worker:
        task = the next with a key of this worker, or without a key
        hand it to the worker, wait; if the worker died or is silent, start another: up to 3 times
        a worker that was lost before it began the task does not count, but 10 of them in a row are too many

A worker has one task at a time: whose fault a death is, is never in doubt, and what it keeps for a key stays
with it. Workers are started afresh, never forked. A worker that is given up is killed: a late result of its cannot
come.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from os import PathLike
from typing import Any

from manymill.engine import calls, heartbeat
from manymill.engine.array_store import store_beneath
from manymill.engine.base import DEATHS, Engine, Result
from manymill.engine.heartbeat import BEAT_SECONDS, STALL_SECONDS, Pulse, checked_stall
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

# Ctrl-C, or a terminal that is closed: the affair of the driver, which ends the workers.
_OF_THE_DRIVER = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))

# How long a process that broke off in mid-result may take to end.
_END_SECONDS = 2.0

# Workers lost in a row before they began to work, from which on it is held that none can be started.
_STARTS = 10

# Between two starts that failed: twice as long each time, since a machine that is short of memory needs its time.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0


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


@dataclass(frozen=True, slots=True)
class _Loss:
    """Why a worker was lost."""

    why: str
    had_begun: bool  # the call: otherwise it was starting, or had died while it was idle


class _Worker:
    """One process, started when first needed and again after it was lost."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._pool: Any = None
        self._pulse: Pulse | None = None
        self._process: Any = None
        self._changing = threading.Lock()
        self.ended = threading.Event()

    def answer(self, payload: bytes, on_silence: Callable[[str, float], None]) -> calls.Reply | _Loss:
        """The reply to a call, or why the worker was lost.

        Parameters
        ----------
        payload : bytes
        on_silence : callable
            Called with the worker and the seconds for which it gave no sign of life, if they are many.
        """
        pool, pulse = self._running()
        try:
            pulse.expect()
            future = pool.submit(_work, payload)
            process = self._process = self._alone() or self._process
            while not wait([future], BEAT_SECONDS).done:
                pulse.look()
                if process is None:  # the engine is being closed
                    continue
                if pulse.silence.is_news():
                    on_silence(f"process {process.pid}", pulse.silence.seconds)
                if pulse.silence.seconds >= self._stall_seconds:
                    return self._give_up(process.pid, pulse)
            reply: calls.Reply = future.result()
        except BrokenExecutor as error:
            if self.ended.is_set():
                raise
            cause = _signal(self._process) or _cause(error)
            had_begun = pulse.has_begun()
            self.stop(kill=True)
            return _Loss(f"its worker died{'' if had_begun else ' before it began'} ({cause})", had_begun)
        return reply

    def end(self) -> None:
        """Kill the process; no other will be started."""
        self.ended.set()
        self.stop(kill=True)

    def stop(self, *, kill: bool) -> None:
        """End the process."""
        with self._changing:
            pool, self._pool = self._pool, None
            self._process = None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=kill)

    def close(self) -> None:
        """Listen no more; nobody waits for an answer."""
        if self._pulse is not None:
            self._pulse.close()

    def _give_up(self, process_id: int, pulse: Pulse) -> _Loss:
        had_begun = pulse.has_begun()
        self.stop(kill=True)
        if self.ended.is_set():
            raise CancelledError
        when = "" if had_begun else " before it began"
        return _Loss(
            f"its worker (process {process_id}) gave no sign of life for {self._stall_seconds:g} s{when} "
            "and was killed",
            had_begun,
        )

    def _alone(self) -> Any:
        """The process that works, now the only one that can write results and beat; None if it was ended.

        Otherwise one that is killed in the middle of a result leaves the driver waiting for the rest: the pipe would
        have a writer still, the driver itself.
        """
        with self._changing:
            if self._pool is None or self._pulse is None:
                return None
            self._pool._result_queue._writer.close()
            process = next(iter(self._pool._processes.values()), None)
            if process is not None:
                self._pulse.started(process.pid)
            return process

    def _running(self) -> tuple[Any, Pulse]:
        from loky.process_executor import ProcessPoolExecutor

        with self._changing:
            if self.ended.is_set():
                raise CancelledError
            if self._pool is None or self._pulse is None:
                if self._pulse is not None:
                    self._pulse.close()
                self._pulse = Pulse()
                _pass_signals_to_driver()
                self._pool = ProcessPoolExecutor(
                    1, initializer=_begin, initargs=(os.getpid(), self._pulse.writer), env=_ONE_THREAD
                )
            return self._pool, self._pulse


class ProcessEngine(Engine):
    """Processes of this machine.

    Parameters
    ----------
    width : int
        Processes.
    spool : path, optional
        Where published arrays are written.
    stall_seconds : float or None
        A worker that gives no sign of life for so long, neither a heartbeat nor work of its processor, is killed and
        its item done again; None: never. How long a call takes does not matter.
    """

    def __init__(
        self,
        width: int,
        *,
        spool: str | PathLike[str] | None = None,
        stall_seconds: float | None = STALL_SECONDS,
    ) -> None:
        limit = checked_stall(stall_seconds)
        super().__init__(width, spool)
        self.store = store_beneath(spool)
        self._queues = _Queues(width)
        self._workers = [_Worker(limit) for _ in range(width)]
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
            worker.close()

    def _serve(self, number: int) -> None:
        while (task := self._queues.next(number)) is not None:
            if task.future.set_running_or_notify_cancel():
                try:
                    task.future.set_result(self._done(task, self._workers[number]))
                except BaseException as error:
                    task.future.set_exception(
                        CancelledError() if self._workers[number].ended.is_set() else error
                    )

    def _done(self, task: _Task, worker: _Worker) -> Any:
        deaths = starts = 0
        while True:
            self._count(out=len(task.payload))
            answer = worker.answer(task.payload, partial(self.on_silence, task.name))
            if isinstance(answer, calls.Reply):
                self._count(back=answer.n_bytes)
                return calls.result(answer, task.name)
            if answer.had_begun:
                deaths, starts = deaths + 1, 0
            else:
                starts += 1
            if deaths == DEATHS:
                raise EngineError(
                    f"{DEATHS} workers were lost on {task.name}; the last time {answer.why}",
                    "look at that item: it may need more memory than there is, or crash a library",
                )
            if starts == _STARTS:
                raise EngineError(
                    f"No worker can be started: {_STARTS} in a row were lost; of the last, for {task.name}, "
                    f"{answer.why}",
                    "see whether this machine has memory left, and what else ends processes",
                )
            self.on_loss(task.name, answer.why, deaths if answer.had_begun else 0)
            if not answer.had_begun:
                worker.ended.wait(min(_FIRST_PAUSE_SECONDS * 2 ** (starts - 1), _LONGEST_PAUSE_SECONDS))


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


def _pass_signals_to_driver() -> None:
    """Have processes that this thread starts outlive, from their first moment on, the signals that are the driver's.

    A worker can ignore them only when it has started, and loky's tracker of semaphores ignores none but Ctrl-C.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return
    from multiprocessing import resource_tracker

    from loky.backend import resource_tracker as tracker_of_loky

    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_DRIVER)
    resource_tracker.ensure_running()
    tracker_of_loky.ensure_running()
    # Older versions of Python let Ctrl-C through again when they have started a tracker.
    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_DRIVER)


def _begin(driver: int, writer: Connection) -> None:
    """Make a fresh process a worker of ours; ``driver`` is the process that must not be outlived."""
    from loky import process_executor

    for number in _OF_THE_DRIVER:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_DRIVER)
    # loky restarts a worker that has grown by 300 MB, to get rid of leaks; ours keep data in place on purpose.
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    heartbeat.beat(writer, driver)


def _work(payload: bytes) -> calls.Reply:
    """Do a call, on the worker; a death from now on is that of the call."""
    heartbeat.begin()
    return calls.perform(payload)
