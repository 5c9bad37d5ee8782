"""How the silence of workers is measured, and what happens to silent workers of a cluster."""

import math

import pytest

from manymill.engine import heartbeat
from manymill.engine.base import checked_stall_seconds
from manymill.engine.dask_workers import HeartbeatMonitor
from manymill.engine.heartbeat import SilenceTimer
from manymill.errors import SettingsError


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    seconds = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    return lambda more: seconds.__setitem__(0, seconds[0] + more)


def test_silence_grows_from_look_to_look_and_ends_with_a_sign_of_life(clock):
    silence = SilenceTimer(1.0)
    for _ in range(4):
        clock(1.0)
        silence.update(False)
    assert silence.seconds == 4.0
    silence.update(True)
    assert silence.seconds == 0.0


def test_time_in_which_the_driver_was_stopped_itself_is_no_silence_of_a_worker(clock):
    silence = SilenceTimer(1.0)
    clock(3600.0)
    silence.update(False)
    assert silence.seconds == 2.0


def test_a_long_silence_is_news_once_and_again_after_a_sign_of_life(clock):
    silence = SilenceTimer(5.0)
    news = []
    for alive in (False, False, False, True, False, False):
        clock(5.0)
        silence.update(alive)
        news.append(silence.should_warn())
    assert news == [False, True, False, False, False, True]


def test_a_limit_is_a_second_or_more_or_none_at_all():
    assert checked_stall_seconds(None) == math.inf
    assert checked_stall_seconds(1) == 1.0
    for wrong in (0, 0.99, -1, math.nan):
        with pytest.raises(
            SettingsError, match=r"stall_seconds=.* is invalid: expected a number of 1 or more"
        ):
            checked_stall_seconds(wrong)


class Worker:
    """What a scheduler knows of a worker."""

    def __init__(self, *keys, has_nanny=False, holds_results=False):
        self.keys, self.has_nanny, self.holds_results = keys, has_nanny, holds_results
        self.last_seen = 0.0


class Workers:
    """Workers of no cluster; each look finds what the test has put there."""

    def __init__(self, **workers):
        self.there, self.given_up, self.worked, self.is_querying_all = workers, [], {}, False

    def states(self):
        return dict(self.there)

    def cpu_seconds(self, address):
        return self.worked.get(address)

    def give_up(self, address):
        self.given_up.append(address)
        del self.there[address]


@pytest.fixture
def look(clock):
    """Poll the workers every five seconds, and return the reports."""

    def look(workers, n_looks, each=lambda: None):
        reports = []
        heartbeats = HeartbeatMonitor(
            workers,
            {"key-1": "lane 1", "key-2": "lane 2"},
            stall_seconds=45,
            poll_seconds=5,
            on_silence=lambda *silence: reports.append(silence),
            on_loss=lambda *loss: reports.append(loss),
        )
        heartbeats.check()
        for _ in range(n_looks):
            clock(5.0)
            each()
            heartbeats.check()
        return reports

    return look


def test_a_silent_worker_of_a_cluster_is_told_and_then_given_up_with_its_items(look):
    workers = Workers(a=Worker("key-1", "key-2"))
    reports = look(workers, 20)
    assert workers.given_up == ["a"]
    why = "its worker (a) gave no sign of life for 45 s and was given up"
    tell = heartbeat.WARN_SECONDS
    assert reports[:2] == [("lane 1", "a", tell), ("lane 2", "a", tell)]
    assert reports[2:] == [("lane 1", why, 1), ("lane 2", why, 1)]


def test_a_worker_that_beats_is_left_alone(look):
    workers = Workers(a=Worker("key-1"))
    assert (
        look(workers, 20, lambda: setattr(workers.there["a"], "last_seen", workers.there["a"].last_seen + 1))
        == []
    )


def test_a_worker_without_heartbeats_that_uses_its_processor_is_left_alone_if_a_nanny_sees_it(look):
    def work():
        workers.worked["a"] = workers.worked["b"] = workers.worked.get("a", 0.0) + 4.0

    workers = Workers(a=Worker("key-1", has_nanny=True), b=Worker("key-2", has_nanny=False))
    look(workers, 20, work)
    assert workers.given_up == ["b"]


def test_a_silent_worker_for_which_nobody_waits_is_no_matter(look):
    workers = Workers(a=Worker())
    assert look(workers, 20) == []
    workers.is_querying_all = True
    assert look(workers, 20)[-1][0] == "results of earlier calls"


def test_a_silent_worker_that_holds_results_is_given_up(look):
    workers = Workers(a=Worker(holds_results=True))
    assert look(workers, 20)[-1][2] == 1
    assert workers.given_up == ["a"]
