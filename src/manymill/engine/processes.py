"""Engine on processes of this machine; each worker is a loky pool of one process.

::

    a thread per worker:
        call = next call with a key of this worker, or without a key
        send it to the worker and wait; if the worker dies or is silent, start another: up to 3 times
        a worker that was lost before it started the call does not count, but 10 of them in a row are too many

A worker runs one call at a time: it is always clear which call caused its death, and data that it caches for a key
stays with it. Workers are started as fresh processes, never forked. A silent worker is killed before its call is run
again, so a late result cannot arrive.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from os import PathLike
from typing import Any

from manymill.constants import MAX_LOSSES
from manymill.engine import calls, heartbeat, loky_private
from manymill.engine.array_store import store_in_folder
from manymill.engine.base import STALL_SECONDS, Engine, Result, checked_stall_seconds
from manymill.engine.heartbeat import BEAT_SECONDS, HeartbeatReceiver
from manymill.errors import EngineError

# One thread per worker in every numerical library: there are as many workers as processors.
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

# Ctrl-C and a closed terminal are handled by the driver, which ends the workers.
_DRIVER_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))

# Time for a process that stopped while sending a result to end.
_END_SECONDS = 2.0

# Workers lost in a row before they started a call, after which the engine gives up.
_MAX_FAILED_STARTS = 10

# Pauses between failed starts; each is twice as long as the one before, so that short memory can be freed.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0


@dataclass(eq=False, slots=True)
class _Call:
    payload: bytes
    name: str
    future: Future[Any] = field(default_factory=Future)


class _Queues:
    """Calls that wait for one worker, or for any."""

    def __init__(self, width: int) -> None:
        self._by_worker: list[deque[_Call]] = [deque() for _ in range(width)]
        self._any: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, call: _Call, key: int | None) -> None:
        with self._changed:
            if self._closed:
                raise EngineError("The engine has been closed", "create a new one with as_engine")
            (self._any if key is None else self._by_worker[key % len(self._by_worker)]).append(call)
            self._changed.notify_all()

    def next(self, worker: int) -> _Call | None:
        """Return the next call of a worker; None when there will be no more."""
        own = self._by_worker[worker]
        with self._changed:
            self._changed.wait_for(lambda: own or self._any or self._closed)
            return own.popleft() if own else self._any.popleft() if self._any else None

    def close(self, cancel: bool) -> None:
        with self._changed:
            self._closed = True
            for queue in [*self._by_worker, self._any] if cancel else []:
                while queue:
                    queue.popleft().future.cancel()
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Loss:
    """Why a worker was lost, and whether it had started the call."""

    why: str
    had_started: bool  # otherwise it was still starting itself, or died while idle


class _Worker:
    """One process, started when first needed and again after it was lost."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._pool: Any = None
        self._receiver: HeartbeatReceiver | None = None
        self._process: Any = None
        self._lock = threading.Lock()
        self.ended = threading.Event()

    def run(self, payload: bytes, on_silence: Callable[[str, float], None]) -> calls.Reply | _Loss:
        """Run a packed call and return its reply, or why the worker was lost.

        Parameters
        ----------
        payload : bytes
        on_silence : callable
            Called with the worker and for how many seconds it has given no sign of life, if they are many.
        """
        pool, receiver = self._start()
        try:
            receiver.expect_call()
            future = pool.submit(_run_call, payload)
            process = self._process = self._attach() or self._process
            while not wait([future], BEAT_SECONDS).done:
                receiver.poll()
                if process is None:  # the engine is being closed
                    continue
                if receiver.silence.should_warn():
                    on_silence(f"process {process.pid}", receiver.silence.seconds)
                if receiver.silence.seconds >= self._stall_seconds:
                    return self._kill_silent(process.pid, receiver)
            reply: calls.Reply = future.result()
        except BrokenExecutor as error:
            if self.ended.is_set():
                raise
            cause = _signal(self._process) or _cause(error)
            had_started = receiver.has_started()
            self.stop(kill=True)
            return _Loss(f"its worker died{'' if had_started else ' before it began'} ({cause})", had_started)
        return reply

    def end(self) -> None:
        """Kill the process; no other will be started."""
        self.ended.set()
        self.stop(kill=True)

    def stop(self, *, kill: bool) -> None:
        """End the process."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._process = None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=kill)

    def close(self) -> None:
        """Close the heartbeat's pipe, when no call is running."""
        if self._receiver is not None:
            self._receiver.close()

    def _kill_silent(self, process_id: int, receiver: HeartbeatReceiver) -> _Loss:
        had_started = receiver.has_started()
        self.stop(kill=True)
        if self.ended.is_set():
            raise CancelledError
        when = "" if had_started else " before it began"
        return _Loss(
            f"its worker (process {process_id}) gave no sign of life for {self._stall_seconds:g} s{when} "
            "and was killed",
            had_started,
        )

    def _attach(self) -> Any:
        """Return the running process, now the only writer of results and heartbeats; None if it was ended."""
        with self._lock:
            if self._pool is None or self._receiver is None:
                return None
            loky_private.close_result_writer(self._pool)
            process = loky_private.worker_process(self._pool)
            if process is not None:
                self._receiver.attach(process.pid)
            return process

    def _start(self) -> tuple[Any, HeartbeatReceiver]:
        from loky.process_executor import ProcessPoolExecutor

        with self._lock:
            if self.ended.is_set():
                raise CancelledError
            if self._pool is None or self._receiver is None:
                if self._receiver is not None:
                    self._receiver.close()
                self._receiver = HeartbeatReceiver()
                _block_driver_signals()
                self._pool = ProcessPoolExecutor(
                    1,
                    initializer=_initialize_worker,
                    initargs=(os.getpid(), self._receiver.writer),
                    env=_ONE_THREAD,
                )
            return self._pool, self._receiver


class ProcessEngine(Engine):
    """Processes of this machine.

    Parameters
    ----------
    width : int
        Number of processes.
    spool : path, optional
        Folder that published arrays are written to.
    stall_seconds : float or None
        A worker that gives no sign of life for this long, neither a heartbeat nor CPU time, is killed and its item is
        run again; None: never. How long a call takes does not matter.
    """

    def __init__(
        self,
        width: int,
        *,
        spool: str | PathLike[str] | None = None,
        stall_seconds: float | None = STALL_SECONDS,
    ) -> None:
        limit = checked_stall_seconds(stall_seconds)
        super().__init__(width, spool)
        self.store = store_in_folder(spool)
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
        name = calls.task_name(function, arguments)
        call = _Call(calls.pack(function, arguments, name), name)
        self._queues.put(call, key)
        return call.future

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
        """Run calls on one worker until the queues are closed."""
        while (call := self._queues.next(number)) is not None:
            if call.future.set_running_or_notify_cancel():
                try:
                    call.future.set_result(self._run_with_retries(call, self._workers[number]))
                except BaseException as error:
                    call.future.set_exception(
                        CancelledError() if self._workers[number].ended.is_set() else error
                    )

    def _run_with_retries(self, call: _Call, worker: _Worker) -> Any:
        n_losses = n_failed_starts = 0
        while True:
            self._count(out=len(call.payload))
            outcome = worker.run(call.payload, partial(self.on_silence, call.name))
            if isinstance(outcome, calls.Reply):
                self._count(back=outcome.n_bytes)
                return calls.unpack_result(outcome, call.name)
            if outcome.had_started:
                n_losses, n_failed_starts = n_losses + 1, 0
            else:
                n_failed_starts += 1
            if n_losses == MAX_LOSSES:
                raise EngineError(
                    f"{MAX_LOSSES} workers were lost on {call.name}; the last time {outcome.why}",
                    "look at that item: it may need more memory than there is, or crash a library",
                )
            if n_failed_starts == _MAX_FAILED_STARTS:
                raise EngineError(
                    f"No worker can be started: {_MAX_FAILED_STARTS} in a row were lost; for {call.name}, "
                    f"{outcome.why}",
                    "check whether this machine has free memory, and what else kills processes",
                )
            self.on_loss(call.name, outcome.why, n_losses if outcome.had_started else 0)
            if not outcome.had_started:
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** (n_failed_starts - 1), _LONGEST_PAUSE_SECONDS)
                worker.ended.wait(pause)


def _signal(process: Any) -> str | None:
    """Return the signal that ended a process, such as ``SIGKILL(-9)``; None if it ended otherwise."""
    if process is None:
        return None
    process.join(_END_SECONDS)
    code = process.exitcode
    return f"{signal.Signals(-code).name}({code})" if code is not None and code < 0 else None


def _cause(error: BaseException) -> str:
    return loky_private.exit_codes(error) or f"{type(error).__name__}: {str(error).strip()}"


def _block_driver_signals() -> None:
    """Block the driver's signals in this thread, so that processes it starts survive them from their first moment.

    A worker can ignore signals only once it has started, and loky's resource tracker ignores only Ctrl-C.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return
    from multiprocessing import resource_tracker

    signal.pthread_sigmask(signal.SIG_BLOCK, _DRIVER_SIGNALS)
    resource_tracker.ensure_running()
    loky_private.start_resource_tracker()
    # Older versions of Python unblock Ctrl-C when they have started a tracker.
    signal.pthread_sigmask(signal.SIG_BLOCK, _DRIVER_SIGNALS)


def _initialize_worker(driver: int, writer: Connection) -> None:
    """Prepare a fresh process as a worker of the driver with this process id."""
    for number in _DRIVER_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _DRIVER_SIGNALS)
    loky_private.disable_restarts_on_growth()
    heartbeat.start_heartbeat(writer, driver)


def _run_call(payload: bytes) -> calls.Reply:
    """Run a call on the worker; from now on a death counts as caused by the call."""
    heartbeat.report_start()
    return calls.perform(payload)
