from types import SimpleNamespace

import pytest

from manymill.events import PROGRESS_SECONDS
from manymill.linear.holdout import HoldoutMetrics
from manymill.linear.trainers import PassStats

NOTHING = HoldoutMetrics(0, None, None)


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests move."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("manymill.linear.trainers.time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def stats(n_rows, n_correct, loss_sum, weight_sum=None):
    return SimpleNamespace(
        n_rows=n_rows, n_correct=n_correct, loss_sum=loss_sum, weight_sum=weight_sum or float(n_rows)
    )


def test_the_loss_of_a_pass_is_the_mean_by_weight_and_the_accuracy_by_rows(clock):
    tally = PassStats(1, 3, 1000)
    tally.add(stats(10, 4, 30.0, weight_sum=20.0))
    tally.add(stats(30, 26, 10.0, weight_sum=20.0))
    clock.seconds += 7
    ended = tally.ended(2, HoldoutMetrics(5, 0.5, 0.8), kept=True)
    assert (ended.n_rows, ended.n_bad, ended.loss, ended.accuracy, ended.seconds) == (40, 2, 1.0, 0.75, 7)
    assert (ended.holdout_rows, ended.holdout_loss, ended.holdout_accuracy, ended.kept) == (5, 0.5, 0.8, True)


def test_progress_is_due_only_after_a_while(clock):
    tally = PassStats(1, 1, 1000)
    tally.add(stats(1, 1, 0.0))
    assert not tally.is_due()
    clock.seconds += PROGRESS_SECONDS
    assert tally.is_due()
    assert tally.progress(0.2, 0.75).holdout_accuracy == 0.75
    assert not tally.is_due()


def test_progress_shows_the_loss_since_the_last_record(clock):
    tally = PassStats(1, 1, 1000)
    for loss, n_correct in ((20.0, 2), (5.0, 9)):
        tally.add(stats(10, n_correct, loss))
        clock.seconds += PROGRESS_SECONDS
        progress = tally.progress(0.5, None)
    assert (progress.loss, progress.accuracy, progress.n_rows) == (0.5, 0.9, 20)


def test_speed_and_time_left_follow_from_the_share_that_is_over(clock):
    tally = PassStats(2, 3, 40_000_000)
    tally.add(stats(100, 50, 1.0))
    clock.seconds += 10
    progress = tally.progress(0.25, None)
    assert progress.megabytes_per_second == pytest.approx(1.0)
    assert progress.rows_per_second == pytest.approx(10)
    # 30 s of this pass, and one more of 40 s.
    assert progress.eta_seconds == pytest.approx(70)


def test_a_pass_without_rows_or_weights_divides_by_nothing(clock):
    assert PassStats(1, 1, 0).ended(0, NOTHING, kept=False).loss == 0
    tally = PassStats(1, 1, 0)
    clock.seconds += 1
    assert tally.progress(0.0, None).accuracy == 0


def test_what_is_counted_again_has_the_sums_of_its_order(clock):
    parts = [stats(1, 1, 0.1), stats(1, 0, 0.2), stats(1, 1, 0.3)]
    ordered, arrived = PassStats(1, 1, 10), PassStats(1, 1, 10)
    for part in parts:
        ordered.add(part)
    before = arrived.sums()
    for part in reversed(parts):
        arrived.add(part)
    assert arrived.sums() != ordered.sums()
    arrived.add_in_order(before, parts)
    assert arrived.sums() == ordered.sums()
