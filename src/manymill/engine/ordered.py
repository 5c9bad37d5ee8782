"""Work done ahead on other threads, its results taken in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

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
