"""Results in the order of arrival, with a bounded number of submitted items."""

from concurrent.futures import Future

import pytest

from manymill.engine.base import as_completed_in_window


class Desk:
    """Notes what is asked of it; the test says when each is done."""

    def __init__(self) -> None:
        self.futures: list[Future[int]] = []
        self.keys: list[int | None] = []

    def submit(self, item: int, key: int | None) -> Future[int]:
        self.futures.append(Future())
        self.keys.append(key)
        return self.futures[-1]

    def finish(self, index: int) -> None:
        self.futures[index].set_result(-index)


class Prompt(Desk):
    """Does everything at once."""

    def submit(self, item: int, key: int | None) -> Future[int]:
        future = super().submit(item, key)
        future.set_result(item * item)
        return future


def test_results_come_as_they_arrive_and_no_more_is_handed_out_than_the_window() -> None:
    desk = Desk()

    def submit(item: int, key: int | None) -> Future[int]:
        future = desk.submit(item, key)
        if item == 2:  # the third of the first window is the first to be done
            desk.finish(2)
        return future

    results = as_completed_in_window(submit, range(9), keys=None, window=3)
    assert next(results) == (2, -2)
    desk.finish(1)
    assert next(results) == (1, -1)
    assert len(desk.futures) == 3  # the oldest is unfinished: nothing further ahead of it
    desk.finish(0)
    assert next(results) == (0, 0)


def test_every_item_is_done_once_with_its_key() -> None:
    desk = Prompt()
    assert sorted(as_completed_in_window(desk.submit, range(5), keys=range(5), window=2)) == [
        (n, n * n) for n in range(5)
    ]
    assert desk.keys == list(range(5))


def test_as_many_keys_as_items_are_asked_for() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(as_completed_in_window(Prompt().submit, range(5), keys=[0], window=2))


def test_what_is_out_is_cancelled_when_one_fails() -> None:
    desk = Desk()

    def submit(item: int, key: int | None) -> Future[int]:
        future = desk.submit(item, key)
        if item == 2:
            desk.futures[0].set_exception(ZeroDivisionError())
        return future

    with pytest.raises(ZeroDivisionError):
        next(as_completed_in_window(submit, range(9), keys=None, window=3))
    assert [future.cancelled() for future in desk.futures] == [False, True, True]


def test_a_window_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        list(as_completed_in_window(Prompt().submit, range(5), keys=None, window=0))
