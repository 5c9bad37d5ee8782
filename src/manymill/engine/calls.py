"""A call as it travels to another process, and the reply that comes back: the worker's side of an engine.

::

    driver                                    worker
    pack(function, arguments) ── bytes ──►    perform: unpack, call, overhear what is printed
    result(reply, name)       ◄── Reply ──    the value, or the error with its traceback, as bytes

Whatever the call does, ``perform`` returns: an exception that an executor itself raises is then always one of
the machinery, such as a dead worker, and never one of the function.
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

from manymill.engine.spool import Ref, received
from manymill.errors import EngineError

# Of what one call prints, this much is brought back.
KEPT_CHARACTERS = 1 << 16
# A name is for a message.
_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call: one of ``value`` and ``error`` is there."""

    value: bytes | None
    error: bytes | None = None
    trace: str = ""  # the worker's traceback, if it failed
    said: tuple[tuple[str, str], ...] = ()  # ("stdout" or "stderr", text), in order

    @property
    def n_bytes(self) -> int:
        """Bytes that travelled back."""
        return len(self.value or b"") + len(self.error or b"") + len(self.trace)


class RemoteTraceback(Exception):
    """The traceback of an error in another process: the cause of the error that is raised here."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace)
        self.trace = trace

    def __str__(self) -> str:
        return f"\n\n{self.trace}"


def name_of(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """What a message calls the work: the first argument's ``name``, else how it prints, else the function."""
    if not arguments:
        return getattr(function, "__name__", repr(function))
    name = str(getattr(arguments[0], "name", arguments[0]))
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}…"


def pack(
    function: Callable[..., Any], arguments: tuple[Any, ...], name: str, *, refs: dict[str, Ref] | None = None
) -> bytes:
    """A call as bytes; functions of ``__main__`` and lambdas travel by value.

    Parameters
    ----------
    function : callable
    arguments : tuple
    name : str
        Of the work, for the error.
    refs : dict, optional
        Is filled with the handles among the arguments, by digest: `perform` must be given what they stand for.

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
        packed = io.BytesIO()
        Pickler(packed).dump(call)
        return packed.getvalue()
    except Exception as error:
        raise EngineError(
            f"The work on {name} cannot be sent to another process: {error}",
            "give it what pickles: paths instead of open files, functions of a module; or use threads",
        ) from error


class _Unpickler(pickle.Unpickler):
    """Reads a call of our own driver, which runs code here anyway; handles get the bytes they stand for."""

    def __init__(self, payload: bytes, published: Mapping[str, bytes]) -> None:
        super().__init__(io.BytesIO(payload))
        self._published = published

    def persistent_load(self, digest: str) -> Ref:
        return received(digest, self._published[digest])


def perform(
    payload: bytes,
    *more: Any,
    take: Callable[[Any], Any] | None = None,
    published: Mapping[str, bytes] | None = None,
) -> Reply:
    """Do a packed call, on the worker; whatever the function does, it is in the reply.

    Parameters
    ----------
    payload : bytes
        From `pack`.
    *more : object
        Arguments after the packed ones: what is on the worker already.
    take : callable, optional
        Makes of the value what is to be brought back; the value itself if not given.
    published : mapping, optional
        The files of the handles that `pack` set aside, by digest.
    """
    said: list[tuple[str, str]] = []
    try:
        driver, function, arguments = _Unpickler(payload, published or {}).load()
        with _Overhearing(said, driver):
            value = function(*arguments, *more)
            brought = value if take is None else take(value)
        return Reply(packed(brought), said=tuple(said))
    except BaseException as error:
        return _failure(error, tuple(said))


def packed(value: Any) -> bytes:
    """A result as bytes.

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
            f"The result, of type {kind}, cannot be brought back from the worker: {error}",
            "return arrays, numbers, text or containers of them",
        ) from error


def result(reply: Reply, name: str) -> Any:
    """The value of a reply, on the driver; what the worker printed is printed here first.

    Raises
    ------
    Exception
        The function's own, with the worker's traceback as its cause and a note that names the work.
    """
    for stream, text in reply.said:
        (sys.stdout if stream == "stdout" else sys.stderr).write(text)
    if reply.value is not None:
        return pickle.loads(reply.value)
    error = pickle.loads(reply.error or b"")
    error.__cause__ = RemoteTraceback(reply.trace)
    raise named(error, name)


def named(error: BaseException, name: str) -> BaseException:
    """The error with a note of what was worked on."""
    error.add_note(f"while working on {name}")
    return error


def _failure(error: BaseException, said: tuple[tuple[str, str], ...]) -> Reply:
    """An error as bytes that can be read back; a stand-in if it cannot, or if it would end the driver."""
    import cloudpickle

    trace = "".join(traceback.format_exception(error))
    try:
        if not isinstance(error, Exception):
            raise TypeError("it would end the driver as well")
        packed = bytes(cloudpickle.dumps(error))
        pickle.loads(packed)
    except Exception:
        packed = pickle.dumps(EngineError(f"The worker raised {type(error).__qualname__}: {error}"))
    return Reply(None, packed, trace, said)


_heard = threading.local()


class _PerThread:
    """A standard stream that notes what threads in a call write, and passes on everything else."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        said: list[tuple[str, str]] | None = getattr(_heard, "said", None)
        if said is None:
            return int(self._stream.write(text))
        room = KEPT_CHARACTERS - sum(len(kept) for _, kept in said)
        if room > 0:
            said.append((self._name, text[:room]))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Overhearing:
    """While it is entered, what this thread prints goes to a list, unless the thread is of the driver itself."""

    def __init__(self, said: list[tuple[str, str]], driver: int) -> None:
        self._said = said
        self._listens = os.getpid() != driver

    def __enter__(self) -> None:
        if not self._listens:
            return
        for name in ("stdout", "stderr"):
            if not isinstance(getattr(sys, name), _PerThread):
                setattr(sys, name, _PerThread(getattr(sys, name), name))
        _heard.said = self._said

    def __exit__(self, *exception: object) -> None:
        _heard.said = None
