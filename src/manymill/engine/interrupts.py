"""A request to stop that does not get lost, and a second one that does not break into what the first set off.

The first Ctrl-C raises ``KeyboardInterrupt``, wherever the program is: what was learnt is then saved. People press
again, and systems that end a session send several signals at once: for some seconds these change nothing. Who still
presses Ctrl-C after that wants the end: the saving is given up, and at one more the process ends at once.

Python drops a ``KeyboardInterrupt`` that is raised while an object is being finalised or in a callback of its own, and
says so to a hook: it is raised again a moment later. The request is noted as well, and long work asks now and then.
Only the command line listens: a program that uses the library has its own signals.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# From the first request on: how long further ones do not break into the saving.
PATIENCE_SECONDS = 5.0

# After an interruption that Python dropped.
_AGAIN_SECONDS = 0.01

# Requests to end; nohup has a process ignore the last one. Systems that are not POSIX know no closed terminal.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

_asked = False
_since: float | None = None  # the first request, or the end
_has_told = False
_has_insisted = False
_n_deferring = 0
_is_deferred = False
_hook_before = sys.unraisablehook
_terminals: list[int] = []  # descriptors of ours that a terminal stood behind at the start


def stop(number: int, frame: object) -> None:
    """Note the request and raise ``KeyboardInterrupt``, unless that has been done just now: a handler of signals."""
    global _asked, _since, _has_told, _has_insisted, _is_deferred
    if number not in (signal.SIGINT, signal.SIGTERM):
        _leave_terminals()
    now = time.monotonic()
    if _since is None:
        _asked, _since = True, now
        _is_deferred = _n_deferring > 0
        if _is_deferred:
            return
        raise KeyboardInterrupt
    # A system that repeats itself is in no hurry: it kills when it does not want to wait any more.
    if number != signal.SIGINT:
        return
    left = _since + PATIENCE_SECONDS - now
    if left > 0:
        if not _has_told:
            _has_told = True
            _say(
                f"stopping in good order; Ctrl-C once more in {left:.0f} s or later gives up what is not saved"
            )
    elif not _has_insisted:
        _has_insisted, _is_deferred = True, False
        raise KeyboardInterrupt
    else:
        os._exit(130)


def _raise_again(number: int, frame: object) -> None:
    """Raise what was dropped: a handler of the timer's signal."""
    global _is_deferred
    if _n_deferring:
        _is_deferred = True
        return
    raise KeyboardInterrupt


def _on_dropped(dropped: sys.UnraisableHookArgs) -> None:
    if _asked and issubclass(dropped.exc_type, KeyboardInterrupt) and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    else:
        _hook_before(dropped)


def listen() -> None:
    """Meet Ctrl-C, a system's request to end and a closed terminal alike, from now on.

    A closed terminal stays without effect where ``nohup`` has seen to that.
    """
    global _asked, _since, _has_told, _has_insisted, _is_deferred, _hook_before
    _asked, _since, _has_told, _has_insisted, _is_deferred = False, None, False, False, False
    _terminals[:] = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
    for number in _SIGNALS:
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _raise_again)
    if sys.unraisablehook is not _on_dropped:
        _hook_before, sys.unraisablehook = sys.unraisablehook, _on_dropped


def finish() -> None:
    """The exit code is settled: requests change nothing more, but Ctrl-C after some seconds ends at once."""
    global _since, _has_told, _has_insisted
    _since = _since or time.monotonic()
    _has_told = _has_insisted = True
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    # Threads have ended when this is called. Python itself gives our signals back to the system after that.
    atexit.register(_be_deaf)


@contextmanager
def deferred() -> Iterator[None]:
    """Have a request wait for the end of something that must not be half done, such as the saving of a state.

    For some seconds, as above. Signals arrive in the main thread: elsewhere nothing needs to wait.
    """
    global _n_deferring, _is_deferred
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _n_deferring += 1
    try:
        yield
    finally:
        _n_deferring -= 1
    if _is_deferred and not _n_deferring:
        _is_deferred = False
        raise KeyboardInterrupt


def was_asked() -> bool:
    """Whether a stop was asked for."""
    return _asked


def check() -> None:
    """Raise ``KeyboardInterrupt`` if a stop was asked for."""
    if _asked:
        raise KeyboardInterrupt


def _be_deaf() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave_terminals() -> None:
    """What is still said goes nowhere: to write to a terminal that is closed would fail."""
    with suppress(OSError):
        for descriptor in _terminals:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _say(line: str) -> None:
    # Not print: the signal may have come in the middle of one.
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())
