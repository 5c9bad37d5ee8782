"""Thread pools of this process, and ordered results of work that is prefetched on them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Open a thread pool; calls that have not started are cancelled when the context is left."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="manymill")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def map_in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, executor: Executor, look_ahead: int
) -> Generator[_Result, None, None]:
    """Yield the results of a function in the order of the items.

    Parameters
    ----------
    function : callable
        Called on the executor.
    items : iterable
        Consumed at most ``look_ahead`` items ahead of the next result.
    executor : Executor
    look_ahead : int
        1 or more.
    """
    waiting: deque[Future[_Result]] = deque()
    for item in items:
        waiting.append(executor.submit(function, item))
        if len(waiting) >= look_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
