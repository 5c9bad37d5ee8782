import threading
from concurrent.futures import Executor, Future

import pytest

from manymill.engine.local import available_threads, map_in_order, workers


class Counting(Executor):
    """Does the work at once, and counts what was asked of it."""

    def __init__(self):
        self.n_submitted = 0

    def submit(self, function, *arguments):
        self.n_submitted += 1
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_results_come_in_the_order_of_the_items_whoever_is_first_done():
    last_is_done = threading.Event()

    def work(item):
        if item == 3:
            last_is_done.set()
        assert last_is_done.wait(10)
        return item

    with workers(4) as executor:
        assert list(map_in_order(work, range(4), executor=executor, look_ahead=4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("look_ahead", [1, 2, 5, 100])
def test_at_most_so_many_items_are_taken_ahead(look_ahead):
    executor = Counting()
    for taken, _ in enumerate(map_in_order(str, range(20), executor=executor, look_ahead=look_ahead)):
        assert executor.n_submitted <= taken + look_ahead
    assert executor.n_submitted == 20


def test_an_error_comes_where_its_result_would_have_come():
    with workers(2) as executor:
        results = map_in_order(lambda item: 1 // item, [1, 1, 0, 1], executor=executor, look_ahead=4)
        assert [next(results), next(results)] == [1, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_what_has_not_begun_is_dropped_when_the_work_is_broken_off():
    begun, go_on = [], threading.Event()

    def work(item):
        begun.append(item)
        assert go_on.wait(10)

    def broken_off():
        with workers(1) as executor:
            for item in range(50):
                executor.submit(work, item)
            # The one that runs is let go only after the others could have been dropped.
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert len(begun) <= 1


def test_there_is_a_thread_at_least():
    assert available_threads() >= 1
