"""The threads of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


def available_threads() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what they have not begun when the work is broken off."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="manymill")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
