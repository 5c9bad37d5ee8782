"""Which Dask cluster is meant, and whether it may be spoken to.

A scheduler runs what it is sent: over a network it is spoken to with certificates only.
"""

from __future__ import annotations

import ipaddress
import json
from os import PathLike
from typing import Any, cast
from urllib.parse import urlsplit

from manymill.engine.dask_engine import TIMEOUT, DaskEngine
from manymill.engine.heartbeat import STALL_SECONDS
from manymill.errors import EngineError

_THEIR_TIMEOUT = "30s"  # Dask's own; whoever has set another one keeps it
_INSTALL = "pip install 'manymill[cluster]'"


def connect(
    name: str,
    *,
    spool: str | PathLike[str] | None = None,
    stall_seconds: float | None = STALL_SECONDS,
) -> DaskEngine:
    """The engine of a running cluster.

    Parameters
    ----------
    name : str
        ``dask://`` and the path of a scheduler file, or a host and a port; ``tls://host:port``.
    spool, stall_seconds
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
    address = address_of(name)
    for timeout in ("distributed.comm.timeouts.tcp", "distributed.comm.timeouts.connect"):
        if dask.config.get(timeout) == _THEIR_TIMEOUT:
            dask.config.set({timeout: TIMEOUT})
    try:
        client = cast(Any, Client)(address, timeout=TIMEOUT, set_as_default=False)
    except Exception as error:  # of any kind: no answer, no certificate, another protocol
        what = f"No Dask scheduler can be reached at {address}: {error}"
        raise EngineError(what, "start one with `dask scheduler`, or see its certificates") from error
    try:
        return engine_of(client, spool=spool, stall_seconds=stall_seconds, ours=True)
    except BaseException:
        client.close()
        raise


def engine_of(
    client: Any,
    *,
    spool: str | PathLike[str] | None = None,
    stall_seconds: float | None = STALL_SECONDS,
    ours: bool = False,
) -> DaskEngine:
    """The engine of a client, whose workers must have the same manymill as this process.

    Raises
    ------
    EngineError
        If there is no worker, or one has another version.
    """
    from manymill.engine.dask_plugin import ForgetLostPlaces

    engine = DaskEngine(client, spool=spool, stall_seconds=stall_seconds, ours=ours)
    _check_versions(engine)
    try:
        client.register_plugin(ForgetLostPlaces())
    except Exception as error:
        raise EngineError(
            f"The scheduler of the cluster cannot import manymill: {error}", _INSTALL
        ) from error
    return engine


def address_of(name: str) -> str:
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
            # As a URL, of which an error shows no credentials; what Python says would name the file as it is.
            reason = error.strerror if isinstance(error, OSError) else f"it holds no address ({error})"
            raise EngineError(
                f"{name} does not name a scheduler file: {reason}",
                "name the file that `dask scheduler --scheduler-file` wrote, or an address: dask://host:port",
            ) from None
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


def _check_versions(engine: DaskEngine) -> None:
    """Refuse workers that have another manymill than this process, or none."""
    try:
        there = engine.workers.ask(_version)
    except Exception as error:
        raise EngineError(f"A worker of the cluster cannot import manymill: {error}", _INSTALL) from error
    for place, version in there.items():
        if version != _version():
            what = f"The worker {place} has manymill {version}, this process {_version()}"
            raise EngineError(what, "install the same version everywhere")
