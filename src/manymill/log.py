"""Forwarding of warnings from the library's loggers to the command line and to runs.

Caches and engines log with Python's logging, and a program that uses the library decides where that goes. The command
line prints such a warning like any other, and a run writes it to its events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CACHE, ENGINE, TRAINING = "manymill.cache", "manymill.engine", "manymill.training"


@contextmanager
def forward_warnings(forward: Callable[[str], None], *, exclusive: bool) -> Iterator[None]:
    """Call a function with each warning of the library's loggers.

    The function of the innermost context is called first. Loggers belong to the process: runs in the same process
    receive the warnings of each other's caches, which they share.

    Parameters
    ----------
    forward : callable
        Called with the message, from any thread.
    exclusive : bool
        Whether the warning goes nowhere else; otherwise it is logged as usual.
    """

    # Not a handler: with one, Python would no longer print warnings for users who have not configured logging.
    def forwarding_filter(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        with suppress(OSError):  # the reader of the output may be gone, which must not stop a cache
            forward(record.getMessage())
        return not exclusive

    loggers = [logging.getLogger(name) for name in (CACHE, ENGINE)]
    for logger in loggers:
        logger.filters.insert(0, forwarding_filter)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(forwarding_filter)
