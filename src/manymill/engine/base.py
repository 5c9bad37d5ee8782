"""Abstract base class of execution engines.

::

    with as_engine("processes:4") as engine:
        ref = engine.publish({"weights": W})                      # once, whatever the number of workers
        reports, total = engine.fold(visit, lanes, add_up)        # partial results are combined in a fixed tree
        for result in engine.map(measure, files): ...             # in the order of the files

An engine decides where and when a function runs, never what it returns. Functions must be pure: an engine calls them
again after a worker was lost, and uses whichever result arrives first.

`as_completed_in_window` bounds how far ahead tasks are submitted. `FixedTree` combines partial results in an order
that depends only on the number of items, so that sums of floating-point numbers have the same bytes on every engine.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from os import PathLike
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from numpy.typing import NDArray

from manymill.engine.array_store import ArrayStore
from manymill.engine.spool import Ref, Spool
from manymill.errors import SettingsError
from manymill.events import WorkerLost, WorkerSilent
from manymill.log import ENGINE
from manymill.validation import is_number

Item = TypeVar("Item")
Result = TypeVar("Result")
Report = TypeVar("Report")
Partial = TypeVar("Partial")

Submit = Callable[[Item, int | None], "Future[Result]"]

# A worker without a sign of life for this long is replaced, unless the user sets another limit.
STALL_SECONDS = 45.0

_log = logging.getLogger(ENGINE)


class Engine(ABC):
    """Workers that run pure functions; a context manager.

    Parameters
    ----------
    width : int
        Number of workers.
    spool : path, optional
        Folder that ``publish`` writes to; the system's temporary folder if not given. Every host must see it.

    Attributes
    ----------
    width : int
        Number of workers.
    shares_memory : bool
        Whether workers use the objects of the driver directly.
    bytes_out, bytes_back : int
        Bytes sent to workers (calls and published arrays) and received from them (results); 0 if memory is shared.
    store : ArrayStore or None
        Store of arrays that outlive the engine; None unless all workers are on this host.
    on_loss : callable
        Called from any thread with the name of an item, why its worker was lost, and how often that has happened to
        the item, or 0 if the worker had not started it. Logs a warning by default.
    on_silence : callable
        Called from any thread with the name of an item, its worker, and for how many seconds the worker has given no
        sign of life, once this exceeds ten seconds. Logs a warning by default.
    """

    shares_memory = False

    def __init__(self, width: int, spool: str | PathLike[str] | None = None) -> None:
        self.width = width
        self.bytes_out = 0
        self.bytes_back = 0
        self.store: ArrayStore | None = None
        self.on_loss: Callable[[str, str, int], None] = warn_worker_lost
        self.on_silence: Callable[[str, str, float], None] = warn_worker_silent
        self._spool = Spool(spool)
        self._count_lock = threading.Lock()

    @abstractmethod
    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """Submit one call; calls with the same key go to the same worker if possible.

        Raises
        ------
        EngineError
            If the call cannot be pickled. The future raises it if the result cannot be pickled, or if the call lost
            too many workers.
        """

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        keys: Iterable[int | None] | None = None,
        look_ahead: int | None = None,
        on_done: Callable[[int, Result], None] | None = None,
    ) -> Generator[Result, None, None]:
        """Yield the results of a function in the order of the items.

        Parameters
        ----------
        function : callable
        items : iterable
        keys : iterable of int or None, optional
            See `submit`.
        look_ahead : int, optional
            How many items are submitted ahead of the oldest unfinished one; twice the width by default.
        on_done : callable, optional
            Called on this thread with (index, result) in the order of arrival.
        """
        early: dict[int, Result] = {}
        next_index = 0
        for index, result in as_completed_in_window(
            lambda item, key: self.submit(function, item, key=key),
            items,
            keys=keys,
            window=self._window if look_ahead is None else look_ahead,
        ):
            if on_done is not None:
                on_done(index, result)
            early[index] = result
            while next_index in early:
                yield early.pop(next_index)
                next_index += 1

    def fold(
        self,
        function: Callable[[Item], tuple[Report, Partial | None]],
        items: Iterable[Item],
        combine: Callable[[list[Any]], Partial],
        *,
        keys: Iterable[int | None] | None = None,
        fan_in: int = 4,
        on_done: Callable[[int, Report], None] | None = None,
    ) -> tuple[list[Report], Partial | None]:
        """Return the reports of all items, and their partial results combined in a fixed tree.

        Parameters
        ----------
        function : callable
            Returns (report, partial result) for an item; the partial result may be None.
        items : iterable
        combine : callable
            Combines two or more partial results. One that is alone in its group is passed on unchanged.
        keys : iterable of int or None, optional
            See `submit`.
        fan_in : int
            Number of consecutive items in a group; groups are grouped again in the same way. The grouping depends on
            nothing else, so sums of floating-point numbers have the same bytes on every engine.
        on_done : callable, optional
            Called on this thread with (index, report) in the order of arrival.
        """
        items = list(items)
        tree = FixedTree(len(items), fan_in, combine)
        reports: dict[int, Report] = {}
        for index, (report, partial) in as_completed_in_window(
            lambda item, key: self.submit(function, item, key=key), items, keys=keys, window=self._window
        ):
            reports[index] = report
            tree.add(index, partial)
            if on_done is not None:
                on_done(index, report)
        return [reports[index] for index in range(len(items))], tree.root()

    def workers_now(self) -> int:
        """Return the current number of workers, which may differ from `width` on a cluster that scales."""
        return self.width

    def publish(self, arrays: Mapping[str, NDArray[Any]]) -> Ref:
        """Return a small, picklable handle whose ``load()`` gives the arrays, read-only, on any worker.

        The arrays are written to one file that is named by its content: publishing the same bytes again writes
        nothing.

        Raises
        ------
        EngineError
            If the file cannot be written.
        """
        ref, n_bytes = self._spool.publish(arrays)
        self._count(out=n_bytes)
        return ref

    def count_out(self, n_bytes: int) -> None:
        """Add bytes that were written for the workers by other means than ``publish``."""
        self._count(out=n_bytes)

    def withdraw(self, ref: Ref) -> None:
        """Remove published arrays; workers that have loaded them can still use them."""
        self._spool.withdraw(ref)

    def close(self, *, cancel: bool = True) -> None:
        """Stop the workers that this engine started and remove what was published.

        Parameters
        ----------
        cancel : bool
            Whether to cancel unfinished calls instead of waiting for them.
        """
        try:
            self._end(cancel)
        finally:
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=True)

    @abstractmethod
    def _end(self, cancel: bool) -> None:
        """Stop the workers that this engine started."""

    @property
    def _window(self) -> int:
        return 2 * self.width

    def _count(self, *, out: int = 0, back: int = 0) -> None:
        with self._count_lock:
            self.bytes_out += out
            self.bytes_back += back


def as_completed_in_window(
    submit: Submit[Item, Result], items: Iterable[Item], *, keys: Iterable[int | None] | None, window: int
) -> Generator[tuple[int, Result], None, None]:
    """Yield (index, result) in the order of arrival; unfinished calls are cancelled if the generator ends early.

    The window starts at the oldest unfinished item, so it also bounds the results that wait for that item.

    Parameters
    ----------
    submit : callable
        Called with an item and its key.
    items : iterable
        Consumed at most ``window`` items ahead of the oldest unfinished one.
    keys : iterable of int or None, optional
        One per item.
    window : int
        1 or more.
    """
    if window < 1:
        raise ValueError(f"look_ahead={window!r} is invalid: expected 1 or more")
    finished: SimpleQueue[int] = SimpleQueue()
    unfinished: dict[int, Future[Result]] = {}
    pending = enumerate(zip(items, keys, strict=True) if keys is not None else _without_keys(items))
    following = next(pending, None)
    try:
        while unfinished or following is not None:
            # A dict is in order of insertion: its first key is the oldest unfinished item.
            while following is not None and following[0] < next(iter(unfinished), following[0]) + window:
                index, (item, key) = following
                unfinished[index] = submit(item, key)
                unfinished[index].add_done_callback(lambda _, index=index: finished.put(index))  # type: ignore[misc]
                following = next(pending, None)
            index = finished.get()
            yield index, unfinished.pop(index).result()
    finally:
        for future in unfinished.values():
            future.cancel()


class FixedTree(Generic[Partial]):
    """Reduction of ``n_items`` partial results in a fixed tree; they may be added in any order.

    ::

        items    0 1 2 3 | 4 5 6 7 | 8 9        groups of fan_in consecutive items, then groups of groups
        level 1     a         b       c
        level 2     a b c

    A group is combined as soon as it is complete.

    Parameters
    ----------
    n_items : int
    fan_in : int
        2 or more.
    combine : callable
        Combines two or more partial results. ``None`` is left out; a partial result alone in its group is passed on
        unchanged.
    """

    def __init__(self, n_items: int, fan_in: int, combine: Callable[[list[Partial]], Partial]) -> None:
        if fan_in < 2:
            raise ValueError(f"fan_in={fan_in!r} is invalid: expected 2 or more")
        self._combine = combine
        self._fan_in = fan_in
        self._sizes = [n_items]
        while self._sizes[-1] > 1:
            self._sizes.append(-(-self._sizes[-1] // fan_in))
        self._waiting: dict[tuple[int, int], Partial | None] = {}

    def add(self, index: int, partial: Partial | None) -> None:
        """Add the partial result of an item, and combine every group that it completes."""
        level = 0
        self._waiting[level, index] = partial
        while level + 1 < len(self._sizes):
            group = index // self._fan_in
            members = range(group * self._fan_in, min((group + 1) * self._fan_in, self._sizes[level]))
            if any((level, member) not in self._waiting for member in members):
                return
            partials = [self._waiting.pop((level, member)) for member in members]
            level, index = level + 1, group
            self._waiting[level, index] = self._combine_group(partials)

    def root(self) -> Partial | None:
        """Return the combined result once all have been added; None if all were None."""
        return self._waiting.get((len(self._sizes) - 1, 0))

    def _combine_group(self, partials: list[Partial | None]) -> Partial | None:
        present = [partial for partial in partials if partial is not None]
        return self._combine(present) if len(present) > 1 else next(iter(present), None)


def checked_stall_seconds(stall_seconds: float | None) -> float:
    """Return the limit as a number; None means that no worker is replaced because it is silent.

    Raises
    ------
    SettingsError
        If it is less than a second: a worker of a busy machine may be late by as much.
    """
    if stall_seconds is None:
        return float("inf")
    if not (is_number(stall_seconds) and stall_seconds >= 1):
        expected = "a number of 1 or more, where inf means no limit, or None"
        raise SettingsError.invalid("stall_seconds", stall_seconds, expected)
    return float(stall_seconds)


def warn_worker_lost(name: str, why: str, n_losses: int) -> None:
    """Log that a worker was lost: the default of ``Engine.on_loss``."""
    _log.warning("%s", WorkerLost(name, why, n_losses))


def warn_worker_silent(name: str, worker: str, seconds: float) -> None:
    """Log that a worker gives no sign of life: the default of ``Engine.on_silence``."""
    _log.warning("%s", WorkerSilent(name, worker, seconds))


def _without_keys(items: Iterable[Item]) -> Iterator[tuple[Item, None]]:
    return ((item, None) for item in items)
