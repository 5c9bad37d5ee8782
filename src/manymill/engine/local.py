"""The threads of this process.

Work done ahead on other threads, its results taken in order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar


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


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, executor: Executor, look_ahead: int
) -> Generator[_Result, None, None]:
    """The results of a function, in the order of the items.

    Parameters
    ----------
    function : callable
        Called on the executor.
    items : iterable
        Taken at most ``look_ahead`` ahead of the result that is waited for.
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
