import contextlib
import signal

import pytest

from manymill.engine import stopping


@pytest.fixture(autouse=True)
def unasked(monkeypatch):
    monkeypatch.setattr(stopping, "_asked", False)


def test_a_stop_that_was_dropped_is_met_at_the_next_check_and_once_only():
    with contextlib.suppress(KeyboardInterrupt):  # as Python does in a finaliser
        stopping.stop(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        stopping.check()
    stopping.check()


def test_both_signals_are_listened_to(monkeypatch):
    handlers = {}
    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    stopping.listen()
    assert handlers == {signal.SIGINT: stopping.stop, signal.SIGTERM: stopping.stop}
