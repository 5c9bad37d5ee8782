"""Heartbeats: how a driver tells a worker that is stopped or hung from one that is busy.

::

    worker   a thread writes a byte every half second ── pipe ──►  driver reads what has come, every half second
             and one when a call begins                            nothing new? has it used processor time?

A call may take hours: the thread beats beside it. A call that holds Python's global lock keeps the thread from
beating, but uses the processor. A process that does neither is stopped, or hangs.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe

from manymill.errors import SettingsError

BEAT_SECONDS = 0.5
# Without a heartbeat for so long, people are told; the network of a cluster may stall for seconds.
TELL_SECONDS = 10.0
# Without one for so long, a worker is given up unless the user says otherwise.
STALL_SECONDS = 45.0

_BEAT, _BEGUN = b".", b"!"


def checked_stall(stall_seconds: float | None) -> float:
    """The limit as a number; None means that no worker is given up for its silence.

    Raises
    ------
    SettingsError
        If it is less than a second: a worker of a busy machine may be late by as much.
    """
    if stall_seconds is None:
        return float("inf")
    if not stall_seconds >= 1:
        raise SettingsError(
            f"stall_seconds={stall_seconds!r} is invalid: expected 1 or more",
            "inf (in Python also None) never gives a worker up",
        )
    return float(stall_seconds)


class Silence:
    """Seconds without a sign of life, as a driver counts them who looks every so often.

    A look counts for twice the usual time at most: while the driver was stopped itself, by Ctrl-Z or with the whole
    machine, its workers had no chance to be heard.

    Parameters
    ----------
    look_seconds : float
        The usual time between two looks.
    """

    def __init__(self, look_seconds: float) -> None:
        self._most = 2 * look_seconds
        self._looked = time.monotonic()
        self._has_told = False
        self.seconds = 0.0

    def look(self, alive: bool) -> None:
        """Count the time since the last look, or start anew if the worker was heard."""
        now = time.monotonic()
        if alive:
            self.seconds, self._has_told = 0.0, False
        else:
            self.seconds += min(now - self._looked, self._most)
        self._looked = now

    def is_news(self) -> bool:
        """Whether it has become long enough to be told, which is answered with yes once."""
        news = self.seconds >= TELL_SECONDS and not self._has_told
        self._has_told = self._has_told or news
        return news


class Pulse:
    """What a driver hears of one worker process.

    Attributes
    ----------
    writer : Connection
        The end of the worker: see `beat`.
    """

    def __init__(self) -> None:
        self._reader, self.writer = Pipe(duplex=False)
        os.set_blocking(self._reader.fileno(), False)
        self._process_id: int | None = None
        self._processor_seconds = 0.0
        self._begun = False
        self.silence = Silence(BEAT_SECONDS)

    def started(self, process_id: int) -> None:
        """The process is there, and has its own copy of the writing end."""
        self._process_id = process_id
        self.writer.close()

    def expect(self) -> None:
        """A call is about to be handed over."""
        self._heard()
        self._begun = False
        self.silence = Silence(BEAT_SECONDS)

    def look(self) -> None:
        """See whether the worker is alive, and count how long it has not been."""
        self.silence.look(self._heard() or self._has_worked())

    def has_begun(self) -> bool:
        """Whether the worker has taken the call."""
        self._heard()
        return self._begun

    def close(self) -> None:
        """Listen no more."""
        self._reader.close()
        self.writer.close()

    def _heard(self) -> bool:
        """Whether anything came since the last time."""
        # Bytes are read as they are: what a killed process left of a longer message cannot be waited for.
        heard = False
        with suppress(BlockingIOError):
            while came := os.read(self._reader.fileno(), 1 << 16):
                heard = True
                self._begun = self._begun or _BEGUN in came
        return heard

    def _has_worked(self) -> bool:
        """Whether the process has used the processor since the last time."""
        import psutil

        if self._process_id is None:
            return False
        try:
            told = psutil.Process(self._process_id).cpu_times()
        except psutil.Error:  # gone, which the pool notices
            return False
        before, self._processor_seconds = self._processor_seconds, told.user + told.system
        return self._processor_seconds != before


_writer: Connection | None = None


def beat(writer: Connection, driver: int) -> None:
    """Beat from now on, in a worker, and end the process when its driver is gone.

    Parameters
    ----------
    writer : Connection
        Of the driver's `Pulse`.
    driver : int
        The process that must not be outlived.
    """
    global _writer
    _writer = writer
    threading.Thread(target=_beat_on, args=(driver,), name="manymill-heartbeat", daemon=True).start()


def begin() -> None:
    """Tell the driver that its call has begun."""
    _write(_BEGUN)


def _beat_on(driver: int) -> None:
    while os.getppid() == driver:
        _write(_BEAT)
        time.sleep(BEAT_SECONDS)
    os._exit(1)


def _write(what: bytes) -> None:
    if _writer is not None:
        with suppress(OSError):  # the driver listens no more, and will end this process
            os.write(_writer.fileno(), what)
