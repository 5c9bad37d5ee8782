"""A Dask cluster as an engine.

::

    fold:   keep(item) ─┬─ reply of it ──► driver (the report)
                        └─ part, which stays on the worker ─┐
            keep(item) ... ─────────────────────────────────┴─ combine, on a worker ─► … ─► the last one ──► driver

What a lost worker held is computed again by Dask from the calls, which are all the scheduler knows; nothing is
scattered, because what is scattered is lost with its worker.
"""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any, cast
from urllib.parse import urlsplit

from manymill.engine import calls
from manymill.engine.arrivals import arrivals
from manymill.engine.folding import FixedTree
from manymill.engine.seam import DEATHS, Engine, Item, Part, Report, Result
from manymill.errors import EngineError

# A host that was cut off is given up after so long. With Dask's own 30 s a run ended 41 s after the cut, so 23 s;
# 5 s is refused.
_TIMEOUT = "12s"
_INSTALL = "pip install 'manymill[cluster]'"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What stays on a worker: a part, and the reply that says what became of it."""

    reply: calls.Reply
    part: Any


class DaskEngine(Engine):
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    spool : path, optional
        Where published arrays are written: a folder that every host sees.
    ours : bool
        Whether the client is closed with the engine.
    """

    def __init__(self, client: Any, *, spool: str | PathLike[str] | None = None, ours: bool = False) -> None:
        threads = client.nthreads()
        if not threads:
            raise EngineError("The Dask cluster has no worker", "start some with `dask worker`")
        _check_versions(client)
        super().__init__(sum(threads.values()), spool)
        self._client = client
        self._ours = ours
        self._out: dict[Future[Any], Any] = {}  # Dask drops the work of a future that nobody holds
        self._places: dict[int, str] = {}

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        name = calls.name_of(function, arguments)
        payload = calls.pack(function, arguments, name)
        return self._awaited(self._start(calls.perform, payload, place=self._place(key)), name)

    def fold(
        self,
        function: Callable[[Item], tuple[Report, Part | None]],
        items: Iterable[Item],
        combine: Callable[[list[Part]], Part],
        *,
        keys: Iterable[int | None] | None = None,
        fan_in: int = 4,
        on_done: Callable[[int, Report], None] | None = None,
    ) -> tuple[list[Report], Part | None]:
        """See `Engine.fold`; parts stay on the workers and are combined there."""
        items = list(items)
        payload = calls.pack(combine, (), "the parts")
        tree: FixedTree[Any] = FixedTree(
            len(items), fan_in, lambda parts: self._start(_combine, payload, *parts)
        )
        reports: dict[int, Report] = {}
        kept: dict[int, Any] = {}
        order = iter(range(len(items)))

        def begin(item: Item, key: int | None) -> Future[tuple[Report, bool]]:
            name = calls.name_of(function, (item,))
            call = calls.pack(function, (item,), name)
            part = kept[next(order)] = self._start(_keep, call, place=self._place(key))
            return self._awaited(self._start(_reply, part), name)

        for index, (report, has_part) in arrivals(begin, items, keys=keys, window=self._ahead):
            reports[index] = report
            part = kept.pop(index)
            tree.add(index, part if has_part else None)
            if on_done is not None:
                on_done(index, report)
        root = tree.root()
        last = None if root is None else self._awaited(self._start(_bring, root), "the parts").result()
        return [reports[index] for index in range(len(items))], last

    def _start(self, function: Callable[..., Any], *arguments: Any, place: str | None = None) -> Any:
        """The Dask future of a call; the first argument is its payload if it is bytes."""
        if isinstance(arguments[0], bytes):
            self._count(out=len(arguments[0]))
        where = {} if place is None else {"workers": [place], "allow_other_workers": True}
        return self._client.submit(function, *arguments, pure=False, retries=DEATHS, **where)

    def _awaited(self, inner: Any, name: str) -> Future[Any]:
        """A future of the standard library for a Dask future of a reply."""
        outer: Future[Any] = Future()
        self._out[outer] = inner
        outer.add_done_callback(self._drop)
        inner.add_done_callback(partial(self._settle, outer, name))
        return outer

    def _drop(self, outer: Future[Any]) -> None:
        inner = self._out.pop(outer, None)
        if inner is not None and outer.cancelled():
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
        for outer in list(self._out):
            if cancel:
                outer.cancel()
            else:
                outer.exception()
        if self._ours:
            self._client.close()


def connect(name: str, *, spool: str | PathLike[str] | None = None) -> DaskEngine:
    """The engine of a running cluster.

    Parameters
    ----------
    name : str
        ``dask://`` and the path of a scheduler file, or a host and a port; ``tls://host:port``.
    spool : path, optional
        See `DaskEngine`.

    Raises
    ------
    EngineError
        If distributed is not installed, the file is none, the address is not of this machine and not encrypted,
        or nothing answers.
    """
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise EngineError("A Dask cluster needs the package distributed", _INSTALL) from error
    address = _address(name)
    dask.config.set({f"distributed.comm.timeouts.{kind}": _TIMEOUT for kind in ("tcp", "connect")})
    try:
        client = cast(Any, Client)(address, timeout=_TIMEOUT, set_as_default=False)
    except Exception as error:  # of any kind: no answer, no certificate, another protocol
        what = f"No Dask scheduler can be reached at {address}: {error}"
        raise EngineError(what, "start one with `dask scheduler`, or see its certificates") from error
    try:
        return DaskEngine(client, spool=spool, ours=True)
    except BaseException:
        client.close()
        raise


def _address(name: str) -> str:
    """The address that Dask understands.

    Raises
    ------
    EngineError
        If it would send calls in the clear over a network: who can write to that port runs code on the cluster.
    """
    scheme, _, rest = name.partition("://")
    if scheme == "dask" and not rest.rpartition(":")[2].isdecimal():
        try:
            with open(rest, encoding="utf-8") as file:
                address = str(json.load(file)["address"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            what = f"{rest} is no scheduler file: {error}"
            raise EngineError(what, "name the file that `dask scheduler --scheduler-file` wrote") from error
    else:
        address = f"tls://{rest}" if scheme == "tls" or not _is_loopback(f"tcp://{rest}") else f"tcp://{rest}"
    if not address.startswith(("tls://", "inproc://")) and not _is_loopback(address):
        raise EngineError(
            f"The scheduler at {address} speaks without encryption, and is not on this machine",
            "start it with certificates (tls://), see https://distributed.dask.org/en/stable/tls.html",
        )
    return address


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _version() -> str:
    from importlib.metadata import version

    return version("manymill")


def _check_versions(client: Any) -> None:
    """Refuse workers that have another manymill than this process, or none."""
    try:
        there = client.run(_version)
    except Exception as error:
        raise EngineError(f"A worker of the cluster cannot import manymill: {error}", _INSTALL) from error
    for place, version in there.items():
        if version != _version():
            what = f"The worker {place} has manymill {version}, this process {_version()}"
            raise EngineError(what, "install the same version everywhere")


def _explained(error: Exception, name: str) -> Exception:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        what = f"Workers were lost on {name} each time it was tried: {error}"
        hint = "look at that item: it may need more memory than there is, or crash a library"
        explained = EngineError(what, hint)
        explained.__cause__ = error
        return explained
    return error


def _resolve(future: Future[Any], *, value: Any = None, error: BaseException | None = None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def _keep(payload: bytes) -> _Kept:
    """On a worker: the part of an item."""
    parts = []

    def take(value: tuple[Any, Any]) -> tuple[Any, bool]:
        report, part = value
        parts.append(part)
        return report, part is not None

    reply = calls.perform(payload, take=take)
    return _Kept(reply, parts[0] if parts else None)


def _combine(payload: bytes, *kept: _Kept) -> _Kept:
    """On a worker: one part of several; the first failure passes as it is."""
    failed = next((one for one in kept if one.reply.error is not None), None)
    if failed is not None:
        return failed
    parts: list[Any] = []
    reply = calls.perform(payload, [one.part for one in kept], take=parts.append)
    return _Kept(reply, parts[0] if parts else None)


def _reply(kept: _Kept) -> calls.Reply:
    return kept.reply


def _bring(kept: _Kept) -> calls.Reply:
    return kept.reply if kept.reply.error is not None else calls.Reply(calls.packed(kept.part))
