"""The seam between the work and who does it: four verbs that every engine has.

::

    with as_engine("processes:4") as engine:
        ref = engine.publish({"weights": W})                    # once, whatever the number of workers
        reports, part = engine.fold(visit, lanes, add_up)       # parts are combined in a fixed tree
        for result in engine.map(measure, files): ...           # in the order of the files

An engine decides where and when; never what comes out. Functions are pure: they may be called again after a worker
was lost, and whichever call is answered first counts.

Results as they arrive, of work handed out a bounded way ahead.

The window is counted from the oldest item that is unfinished, not by how many are out: so what waits for an item
before it is bounded as well.

Parts combined in a fixed tree, whoever made them and in whatever order they arrive.

::

    items    0 1 2 3 | 4 5 6 7 | 8 9        groups of fan_in consecutive items, then groups of groups:
    level 1     a         b       c         floating-point sums come out the same bytes every time
    level 2     a b c
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
from manymill.log import ENGINE

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


Part = TypeVar("Part")


class FixedTree(Generic[Part]):
    """A tree over ``n_items`` parts that are added in any order; a group is combined as soon as it is whole.

    Parameters
    ----------
    n_items : int
    fan_in : int
        2 or more.
    combine : callable
        Makes one part of two or more. What is ``None`` is left out, and a part alone in its group passes as it is.
    """

    def __init__(self, n_items: int, fan_in: int, combine: Callable[[list[Part]], Part]) -> None:
        if fan_in < 2:
            raise ValueError(f"fan_in must be 2 or more, not {fan_in}")
        self._combine = combine
        self._fan_in = fan_in
        self._sizes = [n_items]
        while self._sizes[-1] > 1:
            self._sizes.append(-(-self._sizes[-1] // fan_in))
        self._held: dict[tuple[int, int], Part | None] = {}

    def add(self, index: int, part: Part | None) -> None:
        """Add the part of an item; combines every group that becomes whole by it."""
        level = 0
        self._held[level, index] = part
        while level + 1 < len(self._sizes):
            group = index // self._fan_in
            members = range(group * self._fan_in, min((group + 1) * self._fan_in, self._sizes[level]))
            if any((level, member) not in self._held for member in members):
                return
            parts = [self._held.pop((level, member)) for member in members]
            level, index = level + 1, group
            self._held[level, index] = self._one(parts)

    def root(self) -> Part | None:
        """The combined part, once all have been added; None if there was none."""
        return self._held.get((len(self._sizes) - 1, 0))

    def _one(self, parts: list[Part | None]) -> Part | None:
        there = [part for part in parts if part is not None]
        return self._combine(there) if len(there) > 1 else next(iter(there), None)


Item = TypeVar("Item")
Result = TypeVar("Result")
Report = TypeVar("Report")

# Deaths of workers that one item may cause before it is held to be the reason.
DEATHS = 3

_log = logging.getLogger(ENGINE)


def warn_of_loss(name: str, why: str, death: int) -> None:
    """Say that a worker was lost: what an engine does unless it is given something else to do."""
    if death:
        _log.warning("%s: %s; it is tried again (loss %d of %d)", name, why, death, DEATHS)
    else:
        _log.warning("%s: %s; another is started", name, why)


def warn_of_silence(name: str, worker: str, seconds: float) -> None:
    """Say that a worker gives no sign of life: what an engine does unless it is given something else to do."""
    _log.warning("%s: no sign of life from its worker (%s) for %.0f s", name, worker, seconds)


class Engine(ABC):
    """Workers that do pure functions; a context manager.

    Parameters
    ----------
    width : int
        Workers.
    spool : path, optional
        Where ``publish`` writes; the system's folder for temporary files if not given. Every host must see it.

    Attributes
    ----------
    width : int
        Workers.
    shares_memory : bool
        Whether workers see the objects of the driver themselves.
    bytes_out, bytes_back : int
        What has travelled: calls and published arrays; results. 0 where memory is shared.
    store : ArrayStore or None
        Where arrays are kept that outlive the engine; None unless all workers are on this host.
    on_loss : callable
        Called with the name of an item, why its worker was lost, and how many times that has happened to it;
        0 if the worker had not begun the item. From any thread. Logs a warning unless replaced.
    on_silence : callable
        Called with the name of an item, its worker, and the seconds for which that has given no sign of life, once
        there are ten of them; from any thread. Logs a warning unless replaced.
    """

    shares_memory = False

    def __init__(self, width: int, spool: str | PathLike[str] | None = None) -> None:
        self.width = width
        self.bytes_out = 0
        self.bytes_back = 0
        self.store: ArrayStore | None = None
        self.on_loss: Callable[[str, str, int], None] = warn_of_loss
        self.on_silence: Callable[[str, str, float], None] = warn_of_silence
        self._spool = Spool(spool)
        self._counting = threading.Lock()

    @abstractmethod
    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """The future of one call; the same key goes to the same worker where that is possible.

        Raises
        ------
        EngineError
            Here, if the call cannot be pickled. From the future, if the result cannot, or if workers died of it.
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
        """The results of a function, in the order of the items.

        Parameters
        ----------
        function : callable
        items : iterable
        keys : iterable of int or None, optional
            See `submit`.
        look_ahead : int, optional
            How far ahead of the oldest unfinished item work is handed out; twice the width if not given.
        on_done : callable, optional
            Called with (index, result) in the order of arrival, on this thread.
        """
        held: dict[int, Result] = {}
        due = 0
        for index, result in arrivals(
            lambda item, key: self.submit(function, item, key=key),
            items,
            keys=keys,
            window=self._ahead if look_ahead is None else look_ahead,
        ):
            if on_done is not None:
                on_done(index, result)
            held[index] = result
            while due in held:
                yield held.pop(due)
                due += 1

    def fold(
        self,
        function: Callable[[Item], tuple[Report, Part | None]],
        items: Iterable[Item],
        combine: Callable[[list[Any]], Part],
        *,
        keys: Iterable[int | None] | None = None,
        fan_in: int = 4,
        on_done: Callable[[int, Report], None] | None = None,
    ) -> tuple[list[Report], Part | None]:
        """The reports of all items, and their parts combined in a fixed tree.

        Parameters
        ----------
        function : callable
            Gives (report, part) for an item; the part may be None.
        items : iterable
        combine : callable
            Makes one part of two or more; a part alone in its group passes as it is.
        keys : iterable of int or None, optional
            See `submit`.
        fan_in : int
            Groups of so many consecutive items are combined, then groups of groups. The grouping depends on
            nothing else, so sums of floating-point numbers have the same bytes on every engine.
        on_done : callable, optional
            Called with (index, report) in the order of arrival, on this thread.
        """
        items = list(items)
        tree = FixedTree(len(items), fan_in, combine)
        reports: dict[int, Report] = {}
        for index, (report, part) in arrivals(
            lambda item, key: self.submit(function, item, key=key), items, keys=keys, window=self._ahead
        ):
            reports[index] = report
            tree.add(index, part)
            if on_done is not None:
                on_done(index, report)
        return [reports[index] for index in range(len(items))], tree.root()

    def workers_now(self) -> int:
        """Workers at this moment: on a cluster that grows and shrinks not always as many as `width` says."""
        return self.width

    def publish(self, arrays: Mapping[str, NDArray[Any]]) -> Ref:
        """A small handle that pickles; its ``load()`` gives the arrays, read-only, on any worker.

        They are written to one file that is named by its content: publishing the same bytes again writes nothing.

        Raises
        ------
        EngineError
            If the file cannot be written.
        """
        ref, n_bytes = self._spool.publish(arrays)
        self._count(out=n_bytes)
        return ref

    def count_out(self, n_bytes: int) -> None:
        """Count what was written for the workers otherwise than by ``publish``."""
        self._count(out=n_bytes)

    def withdraw(self, ref: Ref) -> None:
        """Forget what was published; workers that have loaded it keep it."""
        self._spool.withdraw(ref)

    def close(self, *, cancel: bool = True) -> None:
        """End the workers that are ours and remove what was published.

        Parameters
        ----------
        cancel : bool
            Whether to drop what is unfinished rather than wait for it.
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
        """End the workers that are ours."""

    @property
    def _ahead(self) -> int:
        return 2 * self.width

    def _count(self, *, out: int = 0, back: int = 0) -> None:
        with self._counting:
            self.bytes_out += out
            self.bytes_back += back
