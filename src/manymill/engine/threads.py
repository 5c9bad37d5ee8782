"""Engine on threads of this process: nothing is pickled or sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from os import PathLike
from typing import Any

from numpy.typing import NDArray

from manymill.engine.base import Engine, Result
from manymill.engine.calls import task_name, with_task_note
from manymill.engine.spool import Ref, local_ref


class ThreadEngine(Engine):
    """Threads of this process.

    Parameters
    ----------
    width : int
        Number of threads.
    executor : Executor, optional
        Thread pool of the caller, which stays open when the engine is closed; a new one if not given.
    spool : path, optional
        Not used: published arrays stay in memory.
    """

    shares_memory = True

    def __init__(
        self, width: int, *, executor: Executor | None = None, spool: str | PathLike[str] | None = None
    ) -> None:
        super().__init__(width, spool)
        self._is_borrowed = executor is not None
        self._executor = executor or ThreadPoolExecutor(width, thread_name_prefix="manymill")

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, key: int | None = None
    ) -> Future[Result]:
        """See `Engine.submit`."""
        return self._executor.submit(_call, function, arguments)

    def publish(self, arrays: Mapping[str, NDArray[Any]]) -> Ref:
        """Return a handle that holds the arrays themselves."""
        return local_ref(arrays)

    def _end(self, cancel: bool) -> None:
        if not self._is_borrowed:
            self._executor.shutdown(cancel_futures=cancel)


def _call(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    try:
        return function(*arguments)
    except Exception as error:
        with_task_note(error, task_name(function, arguments))
        raise
