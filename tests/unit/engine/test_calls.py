import pickle
import threading

import pytest

from manymill.engine import calls
from manymill.errors import EngineError


def perform(function, *arguments):
    return calls.perform(calls.pack(function, arguments, "it"))


def test_a_call_comes_back_as_its_value() -> None:
    assert calls.unpack_result(perform(lambda a, b: a + b, 1, 2), "it") == 3


def test_what_is_there_already_comes_after_what_was_packed() -> None:
    reply = calls.perform(calls.pack(divmod, (7,), "it"), 2, transform=lambda value: value[1])
    assert calls.unpack_result(reply, "it") == 1


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt()])
def test_what_would_end_a_process_does_not_end_the_driver(end: BaseException) -> None:
    def raising() -> None:
        raise end

    with pytest.raises(EngineError, match=f"The worker raised {type(end).__name__}"):
        calls.unpack_result(perform(raising), "it")


class Awkward(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()  # does not pickle


def test_an_error_that_cannot_be_brought_back_is_told_with_its_traceback() -> None:
    def raising() -> None:
        raise Awkward("1 and 2")

    with pytest.raises(EngineError, match="The worker raised Awkward: 1 and 2") as caught:
        calls.unpack_result(perform(raising), "it")
    assert "in raising" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((), "len"),
        ((3,), "3"),
        ((Exception("e" * 500),), "e" * 200 + "…"),
        ((slice(1, 2), 5), "slice(1, 2, None)"),
    ],
)
def test_a_call_is_named_by_its_first_argument(arguments: tuple[object, ...], name: str) -> None:
    assert calls.task_name(len, arguments) == name


def test_a_reply_is_small_and_pickles() -> None:
    reply = perform(abs, -1)
    assert pickle.loads(pickle.dumps(reply)) == reply
    assert reply.n_bytes < 100
