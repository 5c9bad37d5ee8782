"""Requests to stop: the first raises, several at once change nothing, and repeated ones end the process."""

import contextlib
import signal
import subprocess
import sys
import threading

import pytest

from manymill.engine import interrupts


@pytest.fixture(autouse=True)
def signals(monkeypatch):
    """The handlers that are set, instead of those of this process; nothing has been asked."""
    handlers = {}
    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    # Who runs the tests may ignore the end of a terminal, as nohup has it.
    monkeypatch.setattr("signal.getsignal", lambda number: signal.SIG_DFL)
    monkeypatch.delattr("signal.setitimer", raising=False)
    monkeypatch.setattr("atexit.register", lambda function: None)
    interrupts.install_handlers()
    yield handlers
    interrupts.install_handlers()


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    seconds = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    return lambda more: seconds.__setitem__(0, seconds[0] + more)


def press(number=signal.SIGINT):
    """Whether a signal raised."""
    try:
        interrupts.handle_signal(number, None)
    except KeyboardInterrupt:
        return True
    return False


def test_a_stop_that_was_dropped_is_met_at_every_check():
    interrupts.raise_if_requested()
    with contextlib.suppress(KeyboardInterrupt):  # as Python does in a finaliser
        interrupts.handle_signal(signal.SIGINT, None)
    assert interrupts.stop_requested()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interrupts.raise_if_requested()


DROPPED = """
import os, signal, sys, time, weakref
from manymill.engine import interrupts

class Thing:
    def __del__(self):
        if sys.argv[1] == "finaliser":
            press()

def press(*ignored):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):
        pass  # the handler runs here

interrupts.install_handlers()
thing = Thing()
watched = weakref.ref(thing, press) if sys.argv[1] == "callback" else None
try:
    with interrupts.defer_interrupts() if sys.argv[2] == "deferred" else open(os.devnull):
        del thing
        if sys.argv[2] == "deferred":
            time.sleep(0.1)
            print("saved")
    time.sleep(60)
except KeyboardInterrupt:
    interrupts.finish()
    print("stopped")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a timer of the system")
@pytest.mark.parametrize("how", ["at once", "deferred"])
@pytest.mark.parametrize("where", ["finaliser", "callback"])
def test_a_stop_that_python_drops_is_raised_again(where, how):
    done = subprocess.run(
        [sys.executable, "-c", DROPPED, where, how], capture_output=True, text=True, timeout=50
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split() == (["saved", "stopped"] if how == "deferred" else ["stopped"])


def test_all_requests_to_end_are_listened_to(signals):
    assert signals == dict.fromkeys([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], interrupts.handle_signal)


def test_a_closed_terminal_that_is_ignored_from_the_start_stays_ignored(signals, monkeypatch):
    signals.clear()
    monkeypatch.setattr("signal.getsignal", lambda number: signal.SIG_IGN)
    interrupts.install_handlers()
    assert signals == dict.fromkeys([signal.SIGINT, signal.SIGTERM], interrupts.handle_signal)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_burst_raises_once_and_says_once_what_more_would_do(clock, first, capfd):
    assert press(first)
    for _ in range(3):
        clock(0.05)
        assert not press()
        assert not press(signal.SIGTERM)
        assert not press(signal.SIGHUP)
    (line,) = capfd.readouterr().err.splitlines()
    assert line == "stopping cleanly; press Ctrl-C again in 5 s or later to discard unsaved work"


def test_ctrl_c_after_some_seconds_gives_the_saving_up_and_one_more_ends_at_once(clock, monkeypatch):
    ended = []
    monkeypatch.setattr("os._exit", ended.append)
    assert press()
    clock(interrupts.PATIENCE_SECONDS)
    assert press()
    assert ended == []
    press()
    assert ended == [130]


def test_a_system_that_repeats_itself_never_breaks_into_the_saving(clock):
    assert press(signal.SIGTERM)
    clock(3600.0)
    assert not press(signal.SIGTERM)
    assert not press(signal.SIGHUP)


@pytest.fixture
def save():
    """Calls functions while requests are deferred."""

    def save(*parts):
        with interrupts.defer_interrupts():
            for part in parts:
                part()

    return save


def test_a_request_waits_for_what_must_not_be_half_done(save):
    done = []
    with pytest.raises(KeyboardInterrupt):
        save(press, lambda: save(press), lambda: done.append("all of it"))
    assert done == ["all of it"]
    save(lambda: done.append("more"))  # a request is met once
    assert done == ["all of it", "more"]


def test_who_insists_is_not_put_off(save, clock):
    done = []
    with pytest.raises(KeyboardInterrupt):
        save(
            press,
            lambda: clock(interrupts.PATIENCE_SECONDS),
            lambda: interrupts.handle_signal(signal.SIGINT, None),
            lambda: done.append("all of it"),
        )
    assert done == []
    save(lambda: done.append("more"))
    assert done == ["more"]


def test_an_error_of_what_was_waited_for_goes_first(save):
    def fail():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        save(press, fail)


def test_other_threads_put_nothing_off():
    raised = []
    entered, go = threading.Event(), threading.Event()

    def save():
        with interrupts.defer_interrupts():
            entered.set()
            go.wait(10)

    thread = threading.Thread(target=save)
    thread.start()
    entered.wait(10)
    raised.append(press())
    go.set()
    thread.join()
    assert raised == [True]


def test_at_the_end_requests_change_nothing_but_who_insists_is_obeyed(clock, monkeypatch, capfd):
    ended = []
    monkeypatch.setattr("os._exit", ended.append)
    interrupts.finish()
    assert not interrupts.stop_requested()
    assert not press()
    assert (ended, capfd.readouterr().err) == ([], "")
    clock(interrupts.PATIENCE_SECONDS)
    press()
    assert ended == [130]
