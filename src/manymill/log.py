"""Warnings of caches and engines, which are records of Python's logging, told where people and programs look.

A library logs: who uses it from Python decides where that goes. The command line prints such a warning as any other,
and a run writes it to its events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CACHE, ENGINE = "manymill.cache", "manymill.engine"


@contextmanager
def warnings_told(tell: Callable[[str], None], *, instead: bool) -> Iterator[None]:
    """Call a function with each warning of the library's loggers.

    The innermost one is called first. Loggers belong to the process: runs side by side in one process hear of each
    other's caches, which they share.

    Parameters
    ----------
    tell : callable
        Called with the message, from any thread.
    instead : bool
        Whether the warning goes nowhere else; otherwise it goes on as if nobody had listened.
    """

    # Not a handler: with one, Python would no longer print warnings for users who have configured no logging.
    def listen(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        with suppress(OSError):  # the reader may be gone, which is no fault of the cache
            tell(record.getMessage())
        return not instead

    loggers = [logging.getLogger(name) for name in (CACHE, ENGINE)]
    for logger in loggers:
        logger.filters.insert(0, listen)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(listen)
