"""Threads as an engine: nothing travels, and nothing is pickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from os import PathLike
from typing import Any

from numpy.typing import NDArray

from manymill.engine.base import Engine, Result
from manymill.engine.calls import name_of, named
from manymill.engine.spool import Ref, shared


class ThreadEngine(Engine):
    """Threads of this process.

    Parameters
    ----------
    width : int
        Threads.
    executor : Executor, optional
        Threads of somebody else, who ends them; our own if not given.
    spool : path, optional
        Not used: arrays are shared as they are.
    """

    shares_memory = True

    def __init__(
        self, width: int, *, executor: Executor | None = None, spool: str | PathLike[str] | None = None
    ) -> None:
        super().__init__(width, spool)
        self._borrowed = executor is not None
        self._executor = executor or ThreadPoolExecutor(width, thread_name_prefix="manymill")

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        return self._executor.submit(_call, function, arguments)

    def publish(self, arrays: Mapping[str, NDArray[Any]]) -> Ref:
        """A handle of the arrays themselves."""
        return shared(arrays)

    def _end(self, cancel: bool) -> None:
        if not self._borrowed:
            self._executor.shutdown(cancel_futures=cancel)


def _call(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    try:
        return function(*arguments)
    except Exception as error:
        named(error, name_of(function, arguments))
        raise
