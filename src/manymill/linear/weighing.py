"""The counting pass: a lane's rows are counted once, and weighed by what was counted from then on."""

from __future__ import annotations

from manymill import _core
from manymill.engine import interrupts
from manymill.errors import MemoryLimitError
from manymill.linear.counting import counts_for, feature_weights
from manymill.linear.lane import Lane
from manymill.model.linear import FeatureWeights


def weigh(lane: Lane, kind: FeatureWeights, n_features: int) -> None:
    """Count the rows that a lane learns, and have it multiply their values by the weights of their features.

    If the lane is refused further classes, the rows before them are counted: the pass that learns is refused at the
    same place, and has learnt something by then.
    """
    counts = counts_for(kind, n_features, max(1, len(lane.index)))
    try:
        count(lane, counts)
    except MemoryLimitError:
        if lane.refusal is None or not counts.rows.any():
            raise
        lane.begin_again()
    lane.weigh(feature_weights(kind, counts))


def count(lane: Lane, counts: _core.FeatureCounts) -> None:
    """Count the rows that a lane learns; rows that are held out are not counted."""
    for lesson in lane.lessons(0):
        interrupts.check()
        if lesson.n_classes > len(counts.rows):
            counts.grow(lesson.n_classes)
        counts.add(lesson.rows, lesson.classes, lesson.weights)
