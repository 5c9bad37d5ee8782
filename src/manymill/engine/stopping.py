"""A request to stop that does not get lost.

Python drops a ``KeyboardInterrupt`` that is raised while an object is being finalised. So the request is noted as
well, and long work asks now and then.
"""

from __future__ import annotations

import signal

_asked = False


def stop(number: int, frame: object) -> None:
    """Note the request and raise ``KeyboardInterrupt``: a handler of signals."""
    global _asked
    _asked = True
    raise KeyboardInterrupt


def listen() -> None:
    """Meet Ctrl-C and a system's request to end alike, from now on."""
    global _asked
    _asked = False
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def was_asked() -> bool:
    """Whether a stop was asked for that nothing has met yet."""
    return _asked


def check() -> None:
    """Raise ``KeyboardInterrupt`` if a stop was asked for."""
    global _asked
    if _asked:
        _asked = False
        raise KeyboardInterrupt
