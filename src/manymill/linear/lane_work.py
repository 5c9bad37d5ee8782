"""What a worker does for a lane in one round: it brings its state up to date, learns, gives back what changed.

::

    broadcast (what the last rounds changed, or everything) ──► learner, as the driver's state is
    the lane's blocks of this round ──► rows ──► learner ──► what changed ──► sums to be merged
                                                    └── put back as it was: the next lane starts from the same state
"""

from __future__ import annotations

import copy
import time
from dataclasses import replace

import numpy as np

from manymill import _core
from manymill.data.ledger import Ledger
from manymill.linear.counting import counts_for
from manymill.linear.lane_place import place_of
from manymill.linear.lane_tasks import CountTask, LaneReport, LaneTask


def learn_round(task: LaneTask) -> tuple[LaneReport, _core.MergeSums | None]:
    """Learn a lane's rows of one round.

    Raises
    ------
    SourceError, RowError
        As reading does.
    FloatingPointError
        If the weights grow without bound.
    """
    started = time.monotonic()
    place = place_of(task.work)
    rows = place.rows(task.lane)
    n_rows, weight_sum, loss_sum, n_correct = 0, 0.0, 0.0, 0
    class_rows = np.zeros(max(2, len(task.work.classes)), np.int64)
    with place.learner(task.broadcast) as learner:
        learner.begin_changes()
        for lesson in rows.lessons(task.pass_number, task.round_number):
            place.check()
            stats = learner.learn(lesson.rows, lesson.classes, lesson.weights)
            n_rows += stats.n_rows
            weight_sum += stats.weight_sum
            loss_sum += stats.loss_sum
            n_correct += stats.n_correct
            class_rows += np.bincount(lesson.classes, minlength=len(class_rows))
        sums = _core.MergeSums.of(learner, n_rows, task.work.rules)
    told = rows.told(task.pass_number, task.round_number)
    seconds = time.monotonic() - started
    return replace(
        told,
        n_rows=n_rows,
        weight_sum=weight_sum,
        loss_sum=loss_sum,
        n_correct=n_correct,
        seconds=seconds,
        class_rows=tuple(class_rows.tolist()),
    ), sums if n_rows else None


def read_ahead(task: LaneTask) -> None:
    """Read the first lessons of a lane's round that has not begun; where memory is shared."""
    place_of(task.work).rows(task.lane).read_ahead(task.pass_number, task.round_number)


def count_lane(task: CountTask) -> tuple[None, _core.FeatureCounts | None]:
    """Count the features of a lane's rows, for the weights of features."""
    place, lane = place_of(task.work), task.lane
    kind = task.work.settings.feature_weights
    assert kind is not None
    counts = counts_for(kind, task.work.settings.analyzer.n_features, max(1, len(task.work.classes)))
    for number in range(place.lanes.rounds):
        rows = place.lane(lane, number, ledger=Ledger(), first=True, weights=None)
        for lesson in rows.read(0, place.lanes.of_round(lane, 0, number)):
            place.check()
            counts.add(lesson.rows, lesson.classes, lesson.weights)
    return None, counts


def add_counts(parts: list[_core.FeatureCounts]) -> _core.FeatureCounts:
    """The counts of several lanes; whole numbers, so that no order changes them."""
    # A copy: on a cluster the parts may be asked for again.
    counts = copy.copy(parts[0])
    for part in parts[1:]:
        counts.merge(part)
    return counts


def add_up(parts: list[_core.MergeSums]) -> _core.MergeSums:
    """The sums of several lanes, in their order."""
    return _core.MergeSums.combine(parts)
