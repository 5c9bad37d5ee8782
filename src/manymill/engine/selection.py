"""Creation of the engine that a parameter or a command-line option names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from os import PathLike
from typing import Any

from manymill.engine.base import STALL_SECONDS, Engine, checked_stall_seconds
from manymill.engine.local import available_threads
from manymill.errors import SettingsError
from manymill.validation import check, check_integer, is_integer

_NAMES = "threads, a number of threads, processes, processes:4, dask://cluster.json or dask://host:port"
_KNOWN = 'None, a number of threads, "processes", "processes:4", "dask://cluster.json", "dask://host:port", an Executor'


def as_engine(
    engine: object = None,
    *,
    threads: int | None = None,
    spool: str | PathLike[str] | None = None,
    stall_seconds: float | None = STALL_SECONDS,
) -> Engine:
    """Return the engine that a value stands for.

    Parameters
    ----------
    engine : None, int, str, Executor, distributed.Client or Engine
        None: threads. A number: this many threads. ``"processes"``: one process per processor; ``"processes:4"``:
        four. ``"dask://cluster.json"``: the Dask cluster of a scheduler file; ``"dask://host:port"`` or
        ``"tls://host:port"``: of an address. An executor or a client stays open when the engine is closed. An engine
        is returned unchanged.
    threads : int, optional
        Threads or processes if ``engine`` does not give a number; one per processor if neither does.
    spool : path, optional
        Folder that published arrays are written to; on a cluster a folder that every host sees.
    stall_seconds : float or None
        Processes and Dask clusters: a worker without a heartbeat for this long is replaced and its item is run again;
        None: never. How long a call takes does not matter.

    Raises
    ------
    SettingsError
        If the engine is unknown, or a number is out of range, or ``stall_seconds`` is given for an engine that does not
        watch its workers.
    EngineError
        If the package of the engine is not installed, or the engine does not respond.
    """
    from manymill.engine.threads import ThreadEngine

    checked_stall_seconds(stall_seconds)
    if threads is not None:
        check_integer(threads, "threads", 1, also=", or None for all processors")
    if isinstance(engine, EngineName):
        stall_seconds = engine.stall_seconds
    if stall_seconds not in (None, STALL_SECONDS) and not (_is_watched(engine) or _is_client(engine)):
        raise SettingsError(
            f"stall_seconds={stall_seconds:g} has no effect on {engine!r}",
            'leave it out, or choose an engine that watches its workers: "processes", "dask://cluster.json"',
        )
    if isinstance(engine, Engine):
        return engine
    if engine is None:
        return ThreadEngine(threads or available_threads())
    if is_integer(engine):
        return ThreadEngine(_width(engine, engine))
    if isinstance(engine, str):
        return _engine_by_name(engine, threads, spool, stall_seconds)
    if isinstance(engine, Executor):
        return _engine_on_executor(engine, spool)
    if _is_client(engine):
        from manymill.engine.dask_client import engine_on_client

        return engine_on_client(engine, spool=spool, stall_seconds=stall_seconds)
    raise _invalid(engine)


@contextmanager
def engine_for(engine: object = None, *, threads: int | None = None) -> Iterator[Engine]:
    """Open the engine that a value stands for, and close it again; an `Engine` stays open."""
    if isinstance(engine, Engine):
        yield engine
        return
    with as_engine(engine, threads=threads) as created:
        yield created


class EngineName(str):
    """Name of an engine with a stall limit for its workers; `as_engine` accepts it.

    Parameters
    ----------
    name : str
    stall_seconds : float
        See `as_engine`.
    """

    stall_seconds: float

    def __new__(cls, name: str, stall_seconds: float) -> EngineName:
        """Create a string with an attribute."""
        instance = super().__new__(cls, name)
        instance.stall_seconds = stall_seconds
        return instance

    def __getnewargs__(self) -> tuple[str, float]:  # type: ignore[override]
        return str(self), self.stall_seconds


def engine_name(
    engine: str | None, *, workers: int | None = None, stall_seconds: float | None = None
) -> str | None:
    """Merge the command-line options of an engine into one name.

    Parameters
    ----------
    engine : str or None
    workers : int, optional
        For an engine whose name does not give a number of workers.
    stall_seconds : float, optional
        See `as_engine`.

    Raises
    ------
    SettingsError
        If the name is not that of an engine, ``stall_seconds`` is below 1, or an option has no effect on that engine.
    """
    parsed = None if engine is None else _parse_name(engine)
    check(engine is None or (parsed is not None and parsed[1] != 0), "engine", engine, _NAMES)
    if workers is not None:
        if engine in (None, "threads"):
            engine = str(workers)
        elif engine == "processes":
            engine = f"processes:{workers}"
        else:
            raise SettingsError(f"--workers has no effect on --engine {engine}", "leave out one of them")
    if stall_seconds is None:
        return engine
    checked_stall_seconds(stall_seconds)
    if engine is None or not _is_watched(engine):
        raise SettingsError(
            f"--stall-seconds has no effect on {'threads' if engine is None else repr(engine)}",
            "also choose an engine that watches its workers: --engine processes, --engine dask://cluster.json",
        )
    return EngineName(engine, stall_seconds)


def _parse_name(name: str) -> tuple[str, int | None] | None:
    """Return the kind of an engine, and its number of workers if the name gives one; None for another name."""
    kind, colon, rest = name.partition(":")
    if name == "threads":
        return "threads", None
    if name.isdecimal():
        return "threads", int(name)
    if kind == "processes" and (not colon or rest.isdecimal()):
        return "processes", int(rest) if rest else None
    if kind in {"dask", "tls"} and rest.startswith("//") and len(rest) > 2:
        return "dask", None
    return None


def _is_watched(engine: object) -> bool:
    """Whether a name is that of an engine that notices silent workers."""
    return isinstance(engine, str) and engine.partition(":")[0] in {"processes", "dask", "tls"}


def _engine_by_name(
    name: str, threads: int | None, spool: str | PathLike[str] | None, stall_seconds: float | None
) -> Engine:
    parsed = _parse_name(name)
    if parsed is None:
        raise _invalid(name)
    kind, workers = parsed
    if kind == "dask":
        from manymill.engine.dask_client import connect

        return connect(name, spool=spool, stall_seconds=stall_seconds)
    width = threads or available_threads() if workers is None else _width(workers, name)
    if kind == "threads":
        from manymill.engine.threads import ThreadEngine

        return ThreadEngine(width)
    from manymill.engine.processes import ProcessEngine

    return ProcessEngine(width, spool=spool, stall_seconds=stall_seconds)


def _engine_on_executor(executor: Executor, spool: str | PathLike[str] | None) -> Engine:
    # An InterpreterPoolExecutor is a ThreadPoolExecutor whose threads share nothing.
    if isinstance(executor, ThreadPoolExecutor) and type(executor).__name__ != "InterpreterPoolExecutor":
        from manymill.engine.threads import ThreadEngine

        return ThreadEngine(executor._max_workers, executor=executor)
    from manymill.engine.executor import ExecutorEngine

    return ExecutorEngine(executor, spool=spool)


def _is_client(engine: Any) -> bool:
    distributed = sys.modules.get("distributed")  # a client exists only if it has been imported
    return distributed is not None and isinstance(engine, distributed.Client)


def _width(workers: Any, engine: object) -> int:
    """Return the number of workers that an engine requests."""
    check(workers >= 1, "engine", engine, "1 worker or more")
    return int(workers)


def _invalid(engine: object) -> SettingsError:
    return SettingsError.invalid("engine", engine, _KNOWN)
