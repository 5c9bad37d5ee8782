"""The counting pass: a lane's rows are counted once, and weighed by what was counted from then on."""

from __future__ import annotations

from manymill import _core
from manymill.engine import stopping
from manymill.linear.counting import counts_for, feature_weights
from manymill.linear.lane import Lane
from manymill.model.linear import FeatureWeights


def weigh(lane: Lane, kind: FeatureWeights, n_features: int) -> None:
    """Count the rows that a lane learns, and have it multiply their values by the weights of their features."""
    counts = count(lane, kind, n_features)
    lane.weigh(feature_weights(kind, counts))


def count(lane: Lane, kind: FeatureWeights, n_features: int) -> _core.FeatureCounts:
    """The counts of the rows that a lane learns; rows that are held out are not counted."""
    counts = counts_for(kind, n_features, max(1, len(lane.index)))
    for lesson in lane.lessons(0):
        stopping.check()
        if lesson.n_classes > len(counts.rows):
            counts.grow(lesson.n_classes)
        counts.add(lesson.rows, lesson.classes, lesson.weights)
    return counts
