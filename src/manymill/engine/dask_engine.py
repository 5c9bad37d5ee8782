"""Engine on the workers of a Dask cluster.

::

    fold:   run_and_keep(item) ─┬─ reply_of ──► driver (the report)
                                └─ partial result, which stays on the worker ─┐
            run_and_keep(item) ... ───────────────────────────────────────────┴─ combine_parts ─► … ─► fetch ──► driver

Dask computes results of a lost worker again from their calls, which the scheduler keeps. Nothing is scattered, because
scattered data is lost with its worker.

If a cluster has lost all its workers, the engine waits for new ones and logs a warning.
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

from manymill.constants import MAX_LOSSES
from manymill.engine import calls
from manymill.engine.base import (
    STALL_SECONDS,
    Engine,
    FixedTree,
    Item,
    Partial,
    Report,
    Result,
    as_completed_in_window,
    checked_stall_seconds,
)
from manymill.engine.dask_workers import DaskWorkers, HeartbeatMonitor
from manymill.engine.spool import Ref
from manymill.errors import EngineError
from manymill.log import ENGINE

# A host that was cut off is given up after this long. With Dask's default of 30 s a run ended 41 s after the cut, with
# this value after 23 s; Dask refuses 5 s.
TIMEOUT = "12s"

# Workers come and go within seconds when a cluster is resized.
POLL_SECONDS = 5.0

# Checks of a silent worker before it is given up.
_MIN_CHECKS = 4

_log = logging.getLogger(ENGINE)


class DaskEngine(Engine):
    """Workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    spool : path, optional
        Folder that published arrays are written to; every host must see it.
    stall_seconds : float or None
        A worker without a heartbeat for this long is given up, and its calls go to others; None: never. If the worker
        has a nanny, CPU time counts as a sign of life as well.
    owns_client : bool
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
        owns_client: bool = False,
    ) -> None:
        limit = checked_stall_seconds(stall_seconds)
        threads = _threads_by_worker(client)
        super().__init__(sum(threads.values()), spool)
        self._client = client
        self._owns_client = owns_client
        # Our future to Dask's, of unfinished calls: Dask drops calls whose futures are not referenced.
        self._unfinished: dict[Future[Any], Any] = {}
        self._worker_by_key: dict[int, str] = {}
        self._sees_spool: bool | None = (
            None  # whether all workers see the spool; checked at the first publication
        )
        self._sent: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # items of unfinished calls, by Dask's keys
        self.workers = DaskWorkers(client)
        poll_seconds = min(POLL_SECONDS, limit / _MIN_CHECKS)
        heartbeats = HeartbeatMonitor(
            self.workers,
            self._names,
            stall_seconds=limit,
            poll_seconds=poll_seconds,
            on_silence=lambda *silence: self.on_silence(*silence),
            on_loss=lambda *loss: self.on_loss(*loss),
        )
        self._worker_watch = WorkerWatch(
            lambda: len(client.nthreads()),
            lambda: bool(self._unfinished) or self.workers.is_querying_all,
            check_workers=heartbeats.check,
            seconds=poll_seconds,
        )

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        name = calls.task_name(function, arguments)
        return self._future(self._submit_call(calls.perform, function, arguments, name, key), name)

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
        """See `Engine.fold`; partial results are combined on the workers, unless they all fit into one group."""
        items = list(items)
        if len(items) <= fan_in:
            # Saves two transfers: of a partial result to another worker, and of the larger sum to the driver.
            return super().fold(function, items, combine, keys=keys, fan_in=fan_in, on_done=on_done)
        payload = calls.pack(combine, (), "the parts")

        def combine_on_worker(parts: list[Any]) -> Any:
            self._count(out=len(payload))
            return self._submit(combine_parts, payload, *parts)

        tree: FixedTree[Any] = FixedTree(len(items), fan_in, combine_on_worker)
        reports: dict[int, Report] = {}
        parts: dict[int, Any] = {}
        indices = iter(range(len(items)))

        def submit_item(item: Item, key: int | None) -> Future[tuple[Report, bool]]:
            name = calls.task_name(function, (item,))
            part = parts[next(indices)] = self._submit_call(run_and_keep, function, (item,), name, key)
            return self._future(self._submit(reply_of, part), name)

        for index, (report, has_part) in as_completed_in_window(
            submit_item, items, keys=keys, window=self._window
        ):
            reports[index] = report
            part = parts.pop(index)
            self._names.pop(part.key, None)
            tree.add(index, part if has_part else None)
            if on_done is not None:
                on_done(index, report)
        root = tree.root()
        total = None if root is None else self._future(self._submit(fetch, root), "the parts").result()
        return [reports[index] for index in range(len(items))], total

    def workers_now(self) -> int:
        """See `Engine.workers_now`; queries the scheduler."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def publish(self, arrays: Mapping[str, NDArray[Any]]) -> Ref:
        """See `Engine.publish`; if a worker does not see the spool folder, the bytes are sent with the calls."""
        ref = super().publish(arrays)
        if self._sees_spool is None:
            self._sees_spool = all(self.workers.run_on_all(os.path.exists, ref.path).values())
        if not self._sees_spool and ref.digest not in self._sent:
            self._sent[ref.digest] = self._send(ref)
        return ref

    def withdraw(self, ref: Ref) -> None:
        """See `Engine.withdraw`."""
        self._sent.pop(ref.digest, None)
        super().withdraw(ref)

    def _send(self, ref: Ref) -> Any:
        """Return the Dask future of a file's bytes; the scheduler can recreate them where they are lost."""
        import dask

        assert ref.path is not None
        data = Path(ref.path).read_bytes()
        self._count(out=len(data))
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2 * len(data) + 1_000_000}):
            return self._client.submit(bytes, data, key=f"manymill-{ref.digest}", retries=MAX_LOSSES)

    def _submit_call(
        self,
        perform: Callable[..., Any],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        name: str,
        key: int | None,
    ) -> Any:
        """Pack a call and submit it; ``perform`` runs it on the worker. Returns the Dask future."""
        refs: dict[str, Ref] | None = {} if self._sent else None
        payload = calls.pack(function, arguments, name, refs=refs)
        self._count(out=len(payload))
        try:
            published = {digest: self._sent[digest] for digest in refs or {}}
        except KeyError as error:
            raise EngineError(f"The work on {name} needs arrays that were withdrawn") from error
        worker = self._preferred_worker(key)
        dask_future = self._submit(perform, payload, preferred_worker=worker, published=published)
        self._names[dask_future.key] = name
        return dask_future

    def _submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        preferred_worker: str | None = None,
        **options: Any,
    ) -> Any:
        if preferred_worker is not None:
            options |= {"workers": [preferred_worker], "allow_other_workers": True}
        return self._client.submit(function, *arguments, pure=False, retries=MAX_LOSSES, **options)

    def _future(self, dask_future: Any, name: str) -> Future[Any]:
        """Return a standard future of the value in a Dask future's reply."""
        future: Future[Any] = Future()
        self._unfinished[future] = dask_future
        future.add_done_callback(self._release)
        dask_future.add_done_callback(partial(self._settle, future, name))
        return future

    def _release(self, future: Future[Any]) -> None:
        dask_future = self._unfinished.pop(future, None)
        if dask_future is None:
            return
        self._names.pop(dask_future.key, None)
        if future.cancelled():
            dask_future.cancel()

    def _settle(self, future: Future[Any], name: str, dask_future: Any) -> None:
        if future.cancelled():
            return
        try:
            reply = dask_future.result()
            self._count(back=reply.n_bytes)
            value = calls.unpack_result(reply, name)
        except CancelledError as error:
            lost: Exception = EngineError(
                f"The Dask scheduler lost the work on {name}: {error}",
                "check whether the scheduler still runs; a run with a checkpoint can resume on another cluster",
            )
            _resolve(future, error=lost)
        except Exception as error:
            _resolve(future, error=_explained(error, name))
        else:
            _resolve(future, value=value)

    def _preferred_worker(self, key: int | None) -> str | None:
        """Return the worker of a key: the same as before, else the one with the fewest keys per thread."""
        if key is None:
            return None
        if key not in self._worker_by_key:
            threads = self._client.nthreads()
            self._worker_by_key = {
                k: worker for k, worker in self._worker_by_key.items() if worker in threads
            }
            if not threads:
                return None
            n_keys = Counter(self._worker_by_key.values())
            self._worker_by_key[key] = min(
                threads, key=lambda worker: (n_keys[worker] / threads[worker], worker)
            )
        return self._worker_by_key[key]

    def _end(self, cancel: bool) -> None:
        self._worker_watch.end()
        for future in list(self._unfinished):
            if cancel:
                future.cancel()
            else:
                future.exception()
        if self._owns_client:
            self._client.close()


class WorkerWatch:
    """Thread that polls the workers of a cluster, and logs when there are none while calls wait.

    Parameters
    ----------
    count : callable
        Returns the number of workers.
    is_waiting : callable
        Returns whether calls wait for workers.
    check_workers : callable, optional
        Called at each poll that finds workers while calls wait.
    seconds : float
        Time between two polls.
    """

    def __init__(
        self,
        count: Callable[[], int],
        is_waiting: Callable[[], bool],
        *,
        check_workers: Callable[[], None] = lambda: None,
        seconds: float = POLL_SECONDS,
    ) -> None:
        self._count, self._is_waiting, self._seconds = count, is_waiting, seconds
        self._check_workers = check_workers
        self._n_empty = 0  # polls in a row that found no worker
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="manymill-worker-watch", daemon=True).start()

    def poll(self) -> None:
        """Poll once."""
        if not self._is_waiting():
            self._n_empty = 0
        elif self._count():
            if self._n_empty > 1:
                _log.warning("The cluster has workers again; the work continues")
            self._n_empty = 0
            self._check_workers()
        else:
            self._n_empty += 1
            if self._n_empty == 2:  # after one poll, new workers may be starting
                _log.warning(
                    "The cluster has no worker any more; the work waits for one: start some with `dask worker`"
                )

    def end(self) -> None:
        """Stop polling."""
        self._ended.set()

    def _run(self) -> None:
        has_warned = False
        while not self._ended.wait(self._seconds):
            try:
                self.poll()
            except Exception as error:  # if the scheduler is gone, the futures raise
                if not (has_warned or self._ended.is_set()):
                    _log.warning("The workers of the cluster cannot be queried: %s", error)
                has_warned = True


@dataclass(frozen=True, slots=True)
class RemotePart:
    """Partial result that stays on a worker, and the reply with the report."""

    reply: calls.Reply
    part: Any


def run_and_keep(payload: bytes, *, published: Mapping[str, bytes]) -> RemotePart:
    """Run the call of an item; its partial result stays on this worker."""
    parts = []

    def split(value: tuple[Any, Any]) -> tuple[Any, bool]:
        report, part = value
        parts.append(part)
        return report, part is not None

    reply = calls.perform(payload, transform=split, published=published)
    return RemotePart(reply, parts[0] if parts else None)


def combine_parts(payload: bytes, *parts: RemotePart) -> RemotePart:
    """Combine partial results; the first failure is passed on unchanged."""
    failed = next((part for part in parts if part.reply.error is not None), None)
    if failed is not None:
        return failed
    combined: list[Any] = []
    reply = calls.perform(payload, [part.part for part in parts], transform=combined.append)
    return RemotePart(reply, combined[0] if combined else None)


def reply_of(part: RemotePart) -> calls.Reply:
    """Return the reply with the report of an item."""
    return part.reply


def fetch(part: RemotePart) -> calls.Reply:
    """Return a reply with the partial result itself."""
    return part.reply if part.reply.error is not None else calls.Reply(calls.pack_result(part.part))


def _explained(error: Exception, name: str) -> Exception:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        what = f"Workers were lost on {name} at each attempt: {error}"
        hint = "look at that item: it may need more memory than there is, or crash a library"
        explained = EngineError(what, hint)
        explained.__cause__ = error
        return explained
    return error


def _threads_by_worker(client: Any) -> dict[str, int]:
    """Wait for a worker, and return the number of threads of each worker by address."""
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
