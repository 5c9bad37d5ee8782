"""Warnings when a cluster loses all workers and gets new ones."""

import logging

import pytest

from manymill.engine.dask_engine import WorkerWatch


def warnings_logged(caplog, counts, *, waits=True):
    """The words of a watch that sees so many workers, look after look."""
    seen = iter(counts)
    watch = WorkerWatch(lambda: next(seen), lambda: waits, seconds=3600.0)
    with caplog.at_level(logging.WARNING, "manymill.engine"):
        for _ in counts:
            watch.poll()
    watch.end()
    return [record.getMessage() for record in caplog.records]


def test_a_cluster_without_workers_is_told_once_and_that_some_are_back(caplog):
    lost, back = warnings_logged(caplog, [2, 0, 0, 0, 0, 1, 1])
    assert "no worker any more" in lost
    assert "dask worker" in lost
    assert "workers again" in back


@pytest.mark.parametrize("counts", [[2, 0, 2, 0, 1], [1, 1, 1]])
def test_workers_that_are_on_their_way_are_no_matter(caplog, counts):
    assert warnings_logged(caplog, counts) == []


def test_nobody_is_missed_where_nobody_waits(caplog):
    assert warnings_logged(caplog, [0, 0, 0], waits=False) == []
