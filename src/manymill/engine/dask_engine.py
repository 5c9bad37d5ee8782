"""A Dask cluster as an engine.

::

    fold:   keep(item) ─┬─ reply of it ──► driver (the report)
                        └─ part, which stays on the worker ─┐
            keep(item) ... ─────────────────────────────────┴─ combine, on a worker ─► … ─► the last one ──► driver

What a lost worker held is computed again by Dask from the calls, which are all the scheduler knows; nothing is
scattered, because what is scattered is lost with its worker.

Parts that stay on a worker of a cluster, and what is done with them there.

Whether anybody is there to work: a cluster that has lost all its workers is waited for, but not in silence.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from manymill.engine import calls
from manymill.engine.base import DEATHS, Engine, FixedTree, Item, Part, Report, Result, arrivals
from manymill.engine.dask_workers import DaskWorkers, Heartbeats
from manymill.engine.heartbeat import STALL_SECONDS, checked_stall
from manymill.engine.spool import Ref
from manymill.errors import EngineError
from manymill.log import ENGINE


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays on a worker: a part, and the reply that says what became of it."""

    reply: calls.Reply
    part: Any


def keep(payload: bytes, *, published: Mapping[str, bytes]) -> Kept:
    """The part of an item, kept where it was made."""
    parts = []

    def take(value: tuple[Any, Any]) -> tuple[Any, bool]:
        report, part = value
        parts.append(part)
        return report, part is not None

    reply = calls.perform(payload, take=take, published=published)
    return Kept(reply, parts[0] if parts else None)


def combine(payload: bytes, *kept: Kept) -> Kept:
    """One part of several; the first failure passes as it is."""
    failed = next((one for one in kept if one.reply.error is not None), None)
    if failed is not None:
        return failed
    parts: list[Any] = []
    reply = calls.perform(payload, [one.part for one in kept], take=parts.append)
    return Kept(reply, parts[0] if parts else None)


def reply_of(kept: Kept) -> calls.Reply:
    """What is brought back of an item that was kept."""
    return kept.reply


def bring(kept: Kept) -> calls.Reply:
    """The part itself."""
    return kept.reply if kept.reply.error is not None else calls.Reply(calls.packed(kept.part))


_log = logging.getLogger(ENGINE)

# Workers come and go within seconds where a cluster is resized.
LOOK_SECONDS = 5.0


class Presence:
    """Looks for workers now and then, on a thread of its own, and tells once that there are none.

    Parameters
    ----------
    count : callable
        The number of workers; what it raises ends the looking.
    waits : callable
        Whether somebody waits for them.
    look_closer : callable, optional
        Called at each look at which there are workers that somebody waits for.
    seconds : float
        From look to look.
    """

    def __init__(
        self,
        count: Callable[[], int],
        waits: Callable[[], bool],
        *,
        look_closer: Callable[[], None] = lambda: None,
        seconds: float = LOOK_SECONDS,
    ) -> None:
        self._count, self._waits, self._seconds = count, waits, seconds
        self._look_closer = look_closer
        self._gone = 0  # looks at which nobody was there
        self._ended = threading.Event()
        threading.Thread(target=self._look_on, name="manymill-presence", daemon=True).start()

    def look(self) -> None:
        """Look once."""
        if not self._waits():
            self._gone = 0
        elif self._count():
            if self._gone > 1:
                _log.warning("The cluster has workers again; the work goes on")
            self._gone = 0
            self._look_closer()
        else:
            self._gone += 1
            if self._gone == 2:  # at one look they may be on their way
                _log.warning(
                    "The cluster has no worker any more; the work waits for some: start them with `dask worker`"
                )

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _look_on(self) -> None:
        has_told = False
        while not self._ended.wait(self._seconds):
            try:
                self.look()
            except Exception as error:  # where the scheduler is gone, whoever waits is told
                if not (has_told or self._ended.is_set()):
                    _log.warning("The workers of the cluster cannot be looked at: %s", error)
                has_told = True


# A host that was cut off is given up after so long. With Dask's own 30 s a run ended 41 s after the cut, so 23 s;
# 5 s is refused.
TIMEOUT = "12s"

# Looks at a worker before it is given up.
_LOOKS = 4


class DaskEngine(Engine):
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    spool : path, optional
        Where published arrays are written: a folder that every host sees.
    stall_seconds : float or None
        A worker without a heartbeat for so long is given up, and its calls are done by others; None: never. Where it
        has a nanny, work of its processor counts as well.
    ours : bool
        Whether the client is closed with the engine.

    Attributes
    ----------
    workers : DaskWorkers
    """

    def __init__(
        self,
        client: Any,
        *,
        spool: str | PathLike[str] | None = None,
        stall_seconds: float | None = STALL_SECONDS,
        ours: bool = False,
    ) -> None:
        limit = checked_stall(stall_seconds)
        threads = _threads(client)
        super().__init__(sum(threads.values()), spool)
        self._client = client
        self._ours = ours
        self._out: dict[Future[Any], Any] = {}  # Dask drops the work of a future that nobody holds
        self._places: dict[int, str] = {}
        self._sees_spool: bool | None = None  # whether every worker does; found out at the first publication
        self._sent: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # of the items of calls that are out, by Dask's keys
        self.workers = DaskWorkers(client)
        look_seconds = min(LOOK_SECONDS, limit / _LOOKS)
        heartbeats = Heartbeats(
            self.workers,
            self._names,
            stall_seconds=limit,
            look_seconds=look_seconds,
            on_silence=lambda *silence: self.on_silence(*silence),
            on_loss=lambda *loss: self.on_loss(*loss),
        )
        self._presence = Presence(
            lambda: len(client.nthreads()),
            lambda: bool(self._out) or self.workers.all_are_asked,
            look_closer=heartbeats.look,
            seconds=look_seconds,
        )

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        name = calls.name_of(function, arguments)
        return self._awaited(self._begin(calls.perform, function, arguments, name, key), name)

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
        """See `Engine.fold`; parts stay on the workers and are combined there, unless one group holds them all."""
        items = list(items)
        if len(items) <= fan_in:
            # Two steps less on the way: a part moved to another worker, and the sums, which are larger, moved here.
            return super().fold(function, items, combine, keys=keys, fan_in=fan_in, on_done=on_done)
        payload = calls.pack(combine, (), "the parts")

        def together(parts: list[Any]) -> Any:
            self._count(out=len(payload))
            return self._start(combine, payload, *parts)

        tree: FixedTree[Any] = FixedTree(len(items), fan_in, together)
        reports: dict[int, Report] = {}
        waiting: dict[int, Any] = {}
        order = iter(range(len(items)))

        def begin(item: Item, key: int | None) -> Future[tuple[Report, bool]]:
            name = calls.name_of(function, (item,))
            part = waiting[next(order)] = self._begin(keep, function, (item,), name, key)
            return self._awaited(self._start(reply_of, part), name)

        for index, (report, has_part) in arrivals(begin, items, keys=keys, window=self._ahead):
            reports[index] = report
            part = waiting.pop(index)
            self._names.pop(part.key, None)
            tree.add(index, part if has_part else None)
            if on_done is not None:
                on_done(index, report)
        root = tree.root()
        last = None if root is None else self._awaited(self._start(bring, root), "the parts").result()
        return [reports[index] for index in range(len(items))], last

    def workers_now(self) -> int:
        """See `Engine.workers_now`; asks the scheduler."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def publish(self, arrays: Mapping[str, NDArray[Any]]) -> Ref:
        """See `Engine.publish`; where a worker does not see the spool folder, the bytes travel with the calls."""
        ref = super().publish(arrays)
        if self._sees_spool is None:
            self._sees_spool = all(self.workers.ask(os.path.exists, ref.path).values())
        if not self._sees_spool and ref.digest not in self._sent:
            self._sent[ref.digest] = self._send(ref)
        return ref

    def withdraw(self, ref: Ref) -> None:
        """See `Engine.withdraw`."""
        self._sent.pop(ref.digest, None)
        super().withdraw(ref)

    def _send(self, ref: Ref) -> Any:
        """The Dask future of a file's bytes: the scheduler can have them made anew wherever they are lost."""
        import dask

        assert ref.path is not None
        data = Path(ref.path).read_bytes()
        self._count(out=len(data))
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2 * len(data) + 1_000_000}):
            return self._client.submit(bytes, data, key=f"manymill-{ref.digest}", retries=DEATHS)

    def _begin(
        self,
        perform: Callable[..., Any],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        name: str,
        key: int | None,
    ) -> Any:
        """The Dask future of a packed call that a function of ours does on a worker."""
        refs: dict[str, Ref] | None = {} if self._sent else None
        payload = calls.pack(function, arguments, name, refs=refs)
        self._count(out=len(payload))
        try:
            published = {digest: self._sent[digest] for digest in refs or {}}
        except KeyError as error:
            raise EngineError(f"The work on {name} needs arrays that were withdrawn") from error
        inner = self._start(perform, payload, place=self._place(key), published=published)
        self._names[inner.key] = name
        return inner

    def _start(
        self, function: Callable[..., Any], *arguments: Any, place: str | None = None, **options: Any
    ) -> Any:
        if place is not None:
            options |= {"workers": [place], "allow_other_workers": True}
        return self._client.submit(function, *arguments, pure=False, retries=DEATHS, **options)

    def _awaited(self, inner: Any, name: str) -> Future[Any]:
        """A future of the standard library for a Dask future of a reply."""
        outer: Future[Any] = Future()
        self._out[outer] = inner
        outer.add_done_callback(self._drop)
        inner.add_done_callback(partial(self._settle, outer, name))
        return outer

    def _drop(self, outer: Future[Any]) -> None:
        inner = self._out.pop(outer, None)
        if inner is None:
            return
        self._names.pop(inner.key, None)
        if outer.cancelled():
            inner.cancel()

    def _settle(self, outer: Future[Any], name: str, inner: Any) -> None:
        if outer.cancelled():
            return
        try:
            reply = inner.result()
            self._count(back=reply.n_bytes)
            value = calls.result(reply, name)
        except CancelledError as error:
            lost: Exception = EngineError(
                f"The Dask scheduler lost the work on {name}: {error}",
                "see whether the scheduler still runs; what was saved can be resumed on another cluster",
            )
            _resolve(outer, error=lost)
        except Exception as error:
            _resolve(outer, error=_explained(error, name))
        else:
            _resolve(outer, value=value)

    def _place(self, key: int | None) -> str | None:
        """The worker of a key: the one it had, or the one with the fewest keys a thread."""
        if key is None:
            return None
        if key not in self._places:
            threads = self._client.nthreads()
            self._places = {key: place for key, place in self._places.items() if place in threads}
            if not threads:
                return None
            held = Counter(self._places.values())
            self._places[key] = min(threads, key=lambda place: (held[place] / threads[place], place))
        return self._places[key]

    def _end(self, cancel: bool) -> None:
        self._presence.end()
        for outer in list(self._out):
            if cancel:
                outer.cancel()
            else:
                outer.exception()
        if self._ours:
            self._client.close()


def _explained(error: Exception, name: str) -> Exception:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        what = f"Workers were lost on {name} each time it was tried: {error}"
        hint = "look at that item: it may need more memory than there is, or crash a library"
        explained = EngineError(what, hint)
        explained.__cause__ = error
        return explained
    return error


def _threads(client: Any) -> dict[str, int]:
    """Workers and their threads."""
    try:
        client.wait_for_workers(1, timeout=TIMEOUT)
    except TimeoutError as error:
        raise EngineError("The Dask cluster has no worker", "start some with `dask worker`") from error
    threads: dict[str, int] = client.nthreads()
    return threads


def _resolve(future: Future[Any], *, value: Any = None, error: BaseException | None = None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
