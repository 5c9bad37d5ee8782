"""Lessons read ahead are those that would be read later."""

from collections.abc import Iterator

import numpy as np

from manymill import _core
from manymill.linear.lanes.worker import Ahead
from manymill.linear.row_stream import Lesson


def lessons(n_values: int, count: int) -> Iterator[Lesson]:
    for number in range(count):
        rows = _core.Rows.from_arrays(
            np.array([0, n_values]), np.arange(n_values, dtype=np.uint32), np.ones(n_values, np.float32)
        )
        yield Lesson(rows, np.array([number], np.int32), None, 2, 0.0)


def numbers(ahead: Ahead) -> list[int]:
    return [int(lesson.classes[0]) for lesson in ahead.lessons()]


def test_all_lessons_come_in_their_order_whether_read_ahead_or_not() -> None:
    ahead, late = Ahead((0, 1), lessons(1 << 20, 6)), Ahead((0, 1), lessons(1 << 20, 6))
    ahead.fill()
    assert ahead.stop()
    assert numbers(ahead) == numbers(late) == list(range(6))


def test_no_more_is_read_ahead_than_fits() -> None:
    source = lessons(1 << 20, 6)
    Ahead((0, 1), source).fill()
    assert 1 <= len(list(source)) <= 5


def test_nothing_is_read_ahead_once_the_round_has_begun() -> None:
    source = lessons(1, 2)
    ahead = Ahead((0, 1), source)
    ahead.stop()
    ahead.fill()
    assert len(list(source)) == 2


def test_lessons_that_failed_are_to_be_read_again() -> None:
    def failing() -> Iterator[Lesson]:
        yield from lessons(1, 1)
        raise OSError("gone")

    ahead = Ahead((0, 1), failing())
    ahead.fill()
    assert not ahead.stop()
