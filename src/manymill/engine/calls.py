"""Calls and replies as bytes: the worker's side of engines whose workers are other processes.

::

    driver                                    worker
    pack(function, arguments) ── bytes ──►    perform: unpack, call, capture the output
    unpack_result(reply, name) ◄── Reply ──   the value, or the error with its traceback, as bytes

``perform`` never raises. An exception of the executor itself therefore always means a failure of the machinery, such
as a dead worker, and never one of the function.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from manymill.engine.spool import Ref, ref_from_bytes
from manymill.errors import EngineError

# Printed output of one call that is sent back; the rest is dropped.
MAX_OUTPUT_CHARACTERS = 1 << 16
# Names of tasks appear in messages.
_MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """Outcome of a call: either ``value`` or ``error`` is set."""

    value: bytes | None
    error: bytes | None = None
    trace: str = ""  # the worker's traceback if the call failed
    output: tuple[tuple[str, str], ...] = ()  # ("stdout" or "stderr", text), in order

    @property
    def n_bytes(self) -> int:
        """Bytes sent back."""
        return len(self.value or b"") + len(self.error or b"") + len(self.trace)


class RemoteTraceback(Exception):
    """Traceback of an error in another process: the cause of the error that is raised here."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace)
        self.trace = trace

    def __str__(self) -> str:
        return f"\n\n{self.trace}"


def task_name(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """Return the name of a call in messages: ``name`` of the first argument, else its ``str``, else the function's."""
    if not arguments:
        return getattr(function, "__name__", repr(function))
    name = str(getattr(arguments[0], "name", arguments[0]))
    return name if len(name) <= _MAX_NAME_CHARACTERS else f"{name[:_MAX_NAME_CHARACTERS]}…"


def pack(
    function: Callable[..., Any], arguments: tuple[Any, ...], name: str, *, refs: dict[str, Ref] | None = None
) -> bytes:
    """Pickle a call; functions of ``__main__`` and lambdas are pickled by value.

    Parameters
    ----------
    function : callable
    arguments : tuple
    name : str
        Name of the task, for the error.
    refs : dict, optional
        Filled with the handles among the arguments, by digest: `perform` then needs their bytes in ``published``.

    Raises
    ------
    EngineError
        If the function or an argument cannot be pickled.
    """
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        def persistent_id(self, value: Any) -> str | None:
            if not isinstance(value, Ref) or refs is None:
                return None
            refs[value.digest] = value
            return value.digest

    try:
        call = (os.getpid(), function, arguments)
        if refs is None:
            return bytes(cloudpickle.dumps(call))
        buffer = io.BytesIO()
        Pickler(buffer).dump(call)
        return buffer.getvalue()
    except Exception as error:
        raise EngineError(
            f"The work on {name} cannot be sent to another process: {error}",
            "pass picklable arguments (paths instead of open files, functions of a module), or use threads",
        ) from error


class _Unpickler(pickle.Unpickler):
    """Unpickler of calls from our own driver, which runs code here anyway; resolves handles to published bytes."""

    def __init__(self, payload: bytes, published: Mapping[str, bytes]) -> None:
        super().__init__(io.BytesIO(payload))
        self._published = published

    def persistent_load(self, digest: str) -> Ref:
        return ref_from_bytes(digest, self._published[digest])


def perform(
    payload: bytes,
    *more: Any,
    transform: Callable[[Any], Any] | None = None,
    published: Mapping[str, bytes] | None = None,
) -> Reply:
    """Run a packed call on the worker; the reply holds its value or its error.

    Parameters
    ----------
    payload : bytes
        From `pack`.
    *more : object
        Further arguments, which are on the worker already.
    transform : callable, optional
        Applied to the value; the driver receives what it returns. The value itself is sent if not given.
    published : mapping, optional
        Bytes of the handles that `pack` collected, by digest.
    """
    output: list[tuple[str, str]] = []
    try:
        driver, function, arguments = _Unpickler(payload, published or {}).load()
        with _CaptureOutput(output, driver):
            value = function(*arguments, *more)
            if transform is not None:
                value = transform(value)
        return Reply(pack_result(value), output=tuple(output))
    except BaseException as error:
        return _failure(error, tuple(output))


def pack_result(value: Any) -> bytes:
    """Pickle a result.

    Raises
    ------
    EngineError
        If it cannot be pickled.
    """
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(value))
    except Exception as error:
        kind = type(value).__qualname__
        raise EngineError(
            f"The result, of type {kind}, cannot be sent back from the worker: {error}",
            "return arrays, numbers, text or containers of them",
        ) from error


def unpack_result(reply: Reply, name: str) -> Any:
    """Return the value of a reply on the driver, after printing what the worker printed.

    Raises
    ------
    Exception
        The error of the function, with the worker's traceback as its cause and a note that names the task.
    """
    for stream, text in reply.output:
        (sys.stdout if stream == "stdout" else sys.stderr).write(text)
    if reply.value is not None:
        return pickle.loads(reply.value)
    error = pickle.loads(reply.error or b"")
    error.__cause__ = RemoteTraceback(reply.trace)
    raise with_task_note(error, name)


def with_task_note(error: BaseException, name: str) -> BaseException:
    """Add a note to an error that names the task that failed."""
    error.add_note(f"while working on {name}")
    return error


def _failure(error: BaseException, output: tuple[tuple[str, str], ...]) -> Reply:
    """Return the reply of an error; an ``EngineError`` replaces one that does not pickle or would end the driver."""
    import cloudpickle

    trace = "".join(traceback.format_exception(error))
    try:
        if not isinstance(error, Exception):
            raise TypeError("it would end the driver as well")
        pickled = bytes(cloudpickle.dumps(error))
        pickle.loads(pickled)
    except Exception:
        pickled = pickle.dumps(EngineError(f"The worker raised {type(error).__qualname__}: {error}"))
    return Reply(None, pickled, trace, output)


_thread = threading.local()


class _CapturingStream:
    """Standard stream that captures what is written by threads that run a call, and passes on everything else."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        output: list[tuple[str, str]] | None = getattr(_thread, "output", None)
        if output is None:
            return int(self._stream.write(text))
        n_left = MAX_OUTPUT_CHARACTERS - sum(len(captured) for _, captured in output)
        if n_left > 0:
            output.append((self._name, text[:n_left]))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _CaptureOutput:
    """Context in which the output of this thread goes to a list; does nothing in the driver process itself."""

    def __init__(self, output: list[tuple[str, str]], driver: int) -> None:
        self._output = output
        self._captures = os.getpid() != driver

    def __enter__(self) -> None:
        if not self._captures:
            return
        for name in ("stdout", "stderr"):
            if not isinstance(getattr(sys, name), _CapturingStream):
                setattr(sys, name, _CapturingStream(getattr(sys, name), name))
        _thread.output = self._output

    def __exit__(self, *exception: object) -> None:
        _thread.output = None
