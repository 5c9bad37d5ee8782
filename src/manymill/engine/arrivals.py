"""Results as they arrive, of work handed out a bounded way ahead.

The window is counted from the oldest item that is unfinished, not by how many are out: so what waits for an item
before it is bounded as well.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Submit = Callable[[_Item, int | None], "Future[_Result]"]


def arrivals(
    submit: Submit[_Item, _Result], items: Iterable[_Item], *, keys: Iterable[int | None] | None, window: int
) -> Generator[tuple[int, _Result], None, None]:
    """(index, result) in the order of arrival; what is still out is cancelled if it ends early.

    Parameters
    ----------
    submit : callable
        Called with an item and its key.
    items : iterable
        Taken at most ``window`` ahead of the oldest that is unfinished.
    keys : iterable of int or None, optional
        As many as items.
    window : int
        1 or more.
    """
    if window < 1:
        raise ValueError(f"look_ahead must be 1 or more, not {window}")
    arrived: SimpleQueue[int] = SimpleQueue()
    out: dict[int, Future[_Result]] = {}
    ahead = enumerate(zip(items, keys, strict=True) if keys is not None else _without_keys(items))
    following = next(ahead, None)
    try:
        while out or following is not None:
            # A dict keeps the order of insertion: its first key is the oldest unfinished item.
            while following is not None and following[0] < next(iter(out), following[0]) + window:
                index, (item, key) = following
                out[index] = submit(item, key)
                out[index].add_done_callback(lambda _, index=index: arrived.put(index))  # type: ignore[misc]
                following = next(ahead, None)
            index = arrived.get()
            yield index, out.pop(index).result()
    finally:
        for future in out.values():
            future.cancel()


def _without_keys(items: Iterable[_Item]) -> Iterator[tuple[_Item, None]]:
    return ((item, None) for item in items)
