"""Handling of requests to stop: Ctrl-C, SIGTERM and a closed terminal.

The first request raises ``KeyboardInterrupt`` in the main thread, and the program saves its state. Users press Ctrl-C
again, and systems that end a session send several signals at once: for some seconds, further requests change nothing.
After that, Ctrl-C interrupts the saving, and one more ends the process at once.

Python drops a ``KeyboardInterrupt`` that is raised in a finaliser or a weakref callback, and only reports it to a hook.
The hook raises it again a moment later. The request is recorded as well, and long loops check for it.

Only the command line installs these handlers: a program that uses the library handles its own signals.
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

# For this long after the first request, further ones do not interrupt the saving.
PATIENCE_SECONDS = 5.0

# Delay before an interrupt that Python dropped is raised again.
_RAISE_AGAIN_SECONDS = 0.01

# nohup makes a process ignore SIGHUP. Systems that are not POSIX do not have it.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

_is_requested = False
_since: float | None = None  # time of the first request, or of `finish`
_has_explained = False
_has_insisted = False
_n_deferring = 0
_is_deferred = False
_previous_hook = sys.unraisablehook
_terminals: list[int] = []  # descriptors of standard streams that were terminals at the start


def install_handlers() -> None:
    """Handle Ctrl-C, SIGTERM and a closed terminal in the same way from now on.

    A closed terminal is ignored if the process ignores it already, as under ``nohup``.
    """
    global _is_requested, _since, _has_explained, _has_insisted, _is_deferred, _previous_hook
    _is_requested, _since, _has_explained, _has_insisted, _is_deferred = False, None, False, False, False
    _terminals[:] = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
    for number in _SIGNALS:
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle_signal)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _raise_again)
    if sys.unraisablehook is not _on_dropped:
        _previous_hook, sys.unraisablehook = sys.unraisablehook, _on_dropped


def finish() -> None:
    """Ignore requests, since the exit code is settled; Ctrl-C after some seconds still ends the process at once."""
    global _since, _has_explained, _has_insisted
    _since = _since or time.monotonic()
    _has_explained = _has_insisted = True
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    # Runs after all threads have ended; then Python restores the system's handlers.
    atexit.register(_ignore_signals)


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Defer requests to the end of a block that must not be interrupted, such as the saving of a state.

    The deferral ends after some seconds, see above. Signals arrive in the main thread: elsewhere this does nothing.
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


def stop_requested() -> bool:
    """Return whether a stop has been requested."""
    return _is_requested


def raise_if_requested() -> None:
    """Raise ``KeyboardInterrupt`` if a stop has been requested."""
    if _is_requested:
        raise KeyboardInterrupt


def handle_signal(number: int, frame: object) -> None:
    """Handle a signal: record the request and raise ``KeyboardInterrupt``, unless that has just been done."""
    global _is_requested, _since, _has_explained, _has_insisted, _is_deferred
    if number not in (signal.SIGINT, signal.SIGTERM):
        _redirect_terminals()
    now = time.monotonic()
    if _since is None:
        _is_requested, _since = True, now
        _is_deferred = _n_deferring > 0
        if _is_deferred:
            return
        raise KeyboardInterrupt
    # A system that repeats a signal is not in a hurry: it kills the process when it no longer wants to wait.
    if number != signal.SIGINT:
        return
    left = _since + PATIENCE_SECONDS - now
    if left > 0:
        if not _has_explained:
            _has_explained = True
            _print(f"stopping cleanly; press Ctrl-C again in {left:.0f} s or later to discard unsaved work")
    elif not _has_insisted:
        _has_insisted, _is_deferred = True, False
        raise KeyboardInterrupt
    else:
        os._exit(130)


def _raise_again(number: int, frame: object) -> None:
    """Raise an interrupt that was dropped: the handler of the timer's signal."""
    global _is_deferred
    if _n_deferring:
        _is_deferred = True
        return
    raise KeyboardInterrupt


def _on_dropped(dropped: sys.UnraisableHookArgs) -> None:
    if _is_requested and issubclass(dropped.exc_type, KeyboardInterrupt) and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, _RAISE_AGAIN_SECONDS)
    else:
        _previous_hook(dropped)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _redirect_terminals() -> None:
    """Redirect output to the null device: writing to a closed terminal would fail."""
    with suppress(OSError):
        for descriptor in _terminals:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _print(line: str) -> None:
    # Not print(): the signal may have interrupted one.
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())
