"""Connections to Dask clusters: addresses, encryption, and the versions of the workers.

A Dask scheduler runs any code that it receives, so addresses outside this machine require TLS certificates.
"""

from __future__ import annotations

import ipaddress
import json
from os import PathLike
from typing import Any, cast
from urllib.parse import urlsplit

from manymill.engine.base import STALL_SECONDS
from manymill.engine.dask_engine import TIMEOUT, DaskEngine
from manymill.errors import EngineError

_DASK_TIMEOUT = "30s"  # Dask's default; a value that the user has set is not changed
_INSTALL = "pip install 'manymill[cluster]'"


def connect(
    name: str,
    *,
    spool: str | PathLike[str] | None = None,
    stall_seconds: float | None = STALL_SECONDS,
) -> DaskEngine:
    """Return the engine of a running cluster.

    Parameters
    ----------
    name : str
        ``dask://`` and the path of a scheduler file, or a host and a port; ``tls://host:port``.
    spool, stall_seconds
        See `DaskEngine`.

    Raises
    ------
    EngineError
        If distributed is not installed, the scheduler file cannot be read, the address is neither of this machine nor
        encrypted, or the scheduler does not respond.
    """
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise EngineError("A Dask cluster needs the package distributed", _INSTALL) from error
    address = address_of(name)
    for timeout in ("distributed.comm.timeouts.tcp", "distributed.comm.timeouts.connect"):
        if dask.config.get(timeout) == _DASK_TIMEOUT:
            dask.config.set({timeout: TIMEOUT})
    try:
        client = cast(Any, Client)(address, timeout=TIMEOUT, set_as_default=False)
    except Exception as error:  # no answer, no certificate, another protocol, …
        what = f"No Dask scheduler can be reached at {address}: {error}"
        raise EngineError(what, "start one with `dask scheduler`, or check its certificates") from error
    try:
        return engine_on_client(client, spool=spool, stall_seconds=stall_seconds, owns_client=True)
    except BaseException:
        client.close()
        raise


def engine_on_client(
    client: Any,
    *,
    spool: str | PathLike[str] | None = None,
    stall_seconds: float | None = STALL_SECONDS,
    owns_client: bool = False,
) -> DaskEngine:
    """Return the engine of a client, whose workers must have the same version of manymill as this process.

    Raises
    ------
    EngineError
        If there is no worker, or one has another version.
    """
    from manymill.engine.dask_plugin import DropLostWorkerPreference

    engine = DaskEngine(client, spool=spool, stall_seconds=stall_seconds, owns_client=owns_client)
    _check_versions(engine)
    try:
        client.register_plugin(DropLostWorkerPreference())
    except Exception as error:
        raise EngineError(
            f"The scheduler of the cluster cannot import manymill: {error}", _INSTALL
        ) from error
    return engine


def address_of(name: str) -> str:
    """Return the address of a cluster in Dask's form.

    Raises
    ------
    EngineError
        If it is neither of this machine nor encrypted: anyone who can write to that port can run code on the cluster.
    """
    scheme, _, rest = name.partition("://")
    if scheme == "dask" and not rest.rpartition(":")[2].isdecimal():
        try:
            with open(rest, encoding="utf-8") as file:
                address = str(json.load(file)["address"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            # Not Python's own message: it would quote the path, which may be a URL with credentials.
            reason = error.strerror if isinstance(error, OSError) else f"it contains no address ({error})"
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
    """Raise unless all workers have the same version of manymill as this process."""
    try:
        versions = engine.workers.run_on_all(_version)
    except Exception as error:
        raise EngineError(f"A worker of the cluster cannot import manymill: {error}", _INSTALL) from error
    for address, version in versions.items():
        if version != _version():
            what = f"The worker {address} has manymill {version}, this process {_version()}"
            raise EngineError(what, "install the same version everywhere")
