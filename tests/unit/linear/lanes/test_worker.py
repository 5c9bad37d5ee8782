"""Prefetched feature batches equal those that would be read later."""

from collections.abc import Iterator

import numpy as np

from manymill import _core
from manymill.linear.lanes.worker import Prefetch
from manymill.linear.row_stream import FeatureBatch


def feature_batches(n_values: int, count: int) -> Iterator[FeatureBatch]:
    for number in range(count):
        rows = _core.Rows.from_arrays(
            np.array([0, n_values]), np.arange(n_values, dtype=np.uint32), np.ones(n_values, np.float32)
        )
        yield FeatureBatch(rows, np.array([number], np.int32), None, 2, 0.0)


def numbers(prefetch: Prefetch) -> list[int]:
    return [int(batch.classes[0]) for batch in prefetch.feature_batches()]


def test_all_lessons_come_in_their_order_whether_read_ahead_or_not() -> None:
    prefetch, late = (
        Prefetch((0, 1), feature_batches(1 << 20, 6)),
        Prefetch((0, 1), feature_batches(1 << 20, 6)),
    )
    prefetch.fill()
    assert prefetch.stop()
    assert numbers(prefetch) == numbers(late) == list(range(6))


def test_no_more_is_read_ahead_than_fits() -> None:
    source = feature_batches(1 << 20, 6)
    Prefetch((0, 1), source).fill()
    assert 1 <= len(list(source)) <= 5


def test_nothing_is_read_ahead_once_the_round_has_begun() -> None:
    source = feature_batches(1, 2)
    prefetch = Prefetch((0, 1), source)
    prefetch.stop()
    prefetch.fill()
    assert len(list(source)) == 2


def test_lessons_that_failed_are_to_be_read_again() -> None:
    def failing() -> Iterator[FeatureBatch]:
        yield from feature_batches(1, 1)
        raise OSError("gone")

    prefetch = Prefetch((0, 1), failing())
    prefetch.fill()
    assert not prefetch.stop()
