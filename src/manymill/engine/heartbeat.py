"""Heartbeats of worker processes, which tell a stopped or hung worker from a busy one.

::

    worker   a thread writes a byte every half second ── pipe ──►  driver reads every half second
             and one when a call starts                            nothing new? has it used CPU time?

A call may take hours, during which the thread continues to beat. A call that holds Python's global interpreter lock
stops the thread, but uses CPU time. A process that does neither is stopped or hangs.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe

BEAT_SECONDS = 0.5
# A warning is due after this long without a heartbeat; the network of a cluster may stall for seconds.
WARN_SECONDS = 10.0

_BEAT, _STARTED = b".", b"!"


class SilenceTimer:
    """Seconds without a sign of life, counted by a driver that polls.

    An interval counts for at most twice the usual time: while the driver itself was stopped, by Ctrl-Z or by suspending
    the machine, it could not hear its workers.

    Parameters
    ----------
    poll_seconds : float
        The usual time between two polls.
    """

    def __init__(self, poll_seconds: float) -> None:
        self._max_step = 2 * poll_seconds
        self._updated = time.monotonic()
        self._has_warned = False
        self.seconds = 0.0

    def update(self, alive: bool) -> None:
        """Add the time since the last update, or reset if the worker has given a sign of life."""
        now = time.monotonic()
        if alive:
            self.seconds, self._has_warned = 0.0, False
        else:
            self.seconds += min(now - self._updated, self._max_step)
        self._updated = now

    def should_warn(self) -> bool:
        """Return whether the silence is long enough for a warning; True once per silence."""
        due = self.seconds >= WARN_SECONDS and not self._has_warned
        self._has_warned = self._has_warned or due
        return due


class HeartbeatReceiver:
    """The driver's end of the heartbeat of one worker process.

    Attributes
    ----------
    writer : Connection
        The worker's end: see `start_heartbeat`.
    silence : SilenceTimer
    """

    def __init__(self) -> None:
        self._reader, self.writer = Pipe(duplex=False)
        os.set_blocking(self._reader.fileno(), False)
        self._process_id: int | None = None
        self._cpu_seconds = 0.0
        self._has_started = False
        self.silence = SilenceTimer(BEAT_SECONDS)

    def attach(self, process_id: int) -> None:
        """Watch this process, which has its own copy of the writing end."""
        self._process_id = process_id
        self.writer.close()

    def expect_call(self) -> None:
        """Reset before a call is sent to the worker."""
        self._read()
        self._has_started = False
        self.silence = SilenceTimer(BEAT_SECONDS)

    def poll(self) -> None:
        """Check whether the worker is alive, and update its silence."""
        self.silence.update(self._read() or self._has_used_cpu())

    def has_started(self) -> bool:
        """Return whether the worker has started the call."""
        self._read()
        return self._has_started

    def close(self) -> None:
        """Close the pipe."""
        self._reader.close()
        self.writer.close()

    def _read(self) -> bool:
        """Read the pipe and return whether it held anything."""
        # Plain bytes, not messages: the rest of a message would never come from a process that was killed.
        heard = False
        with suppress(BlockingIOError):
            while data := os.read(self._reader.fileno(), 1 << 16):
                heard = True
                self._has_started = self._has_started or _STARTED in data
        return heard

    def _has_used_cpu(self) -> bool:
        """Return whether the process has used CPU time since the last call."""
        import psutil

        if self._process_id is None:
            return False
        try:
            times = psutil.Process(self._process_id).cpu_times()
        except psutil.Error:  # it has ended, which the pool notices
            return False
        before, self._cpu_seconds = self._cpu_seconds, times.user + times.system
        return self._cpu_seconds != before


_writer: Connection | None = None


def start_heartbeat(writer: Connection, driver: int) -> None:
    """Start the heartbeat of this worker; it ends the process when its driver has ended.

    Parameters
    ----------
    writer : Connection
        From the driver's `HeartbeatReceiver`.
    driver : int
        Process id of the driver.
    """
    global _writer
    _writer = writer
    threading.Thread(target=_beat, args=(driver,), name="manymill-heartbeat", daemon=True).start()


def report_start() -> None:
    """Report to the driver that this worker has started its call."""
    _write(_STARTED)


def _beat(driver: int) -> None:
    while os.getppid() == driver:
        _write(_BEAT)
        time.sleep(BEAT_SECONDS)
    os._exit(1)


def _write(data: bytes) -> None:
    if _writer is not None:
        with suppress(OSError):  # the driver has closed the pipe, and will end this process
            os.write(_writer.fileno(), data)
