"""Feature weights: how much each feature counts in a row, from counts of a separate first pass.

::

    count rows by feature and class ──► features in use ──► FeatureTable: columns of the model, with a weight each

==========  ==================================================================================================
weights     formula
==========  ==================================================================================================
idf         ``ln((1 + n) / (1 + df)) + 1``, for ``df`` of ``n`` rows with the feature
nb          two classes: ``|ln(p / q)|``, the shares of the feature among those of each class (Wang and Manning 2012);
            more: the root of the divergence (Kullback and Leibler 1951) between the classes of the rows with the
            feature and those of all rows
nb-idf      ``sqrt(nb * idf)``
auto        nb-idf, or idf if one of two classes is rare
==========  ==================================================================================================

The counts are integers, which add up exactly (:class:`manymill._core.FeatureCounts`); weights are computed once and
passed on. The features in use become the columns of the model: hash buckets without rows cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import numpy as np

from manymill import _core
from manymill.constants import FEATURE_WEIGHTS, FeatureWeights
from manymill.engine import interrupts
from manymill.errors import MemoryLimitError
from manymill.events import PROGRESS_SECONDS, Counting, FeaturesCounted, Observer, Warned
from manymill.linear.recipe import max_table_features
from manymill.linear.row_stream import Lane
from manymill.linear.settings import Settings
from manymill.validation import is_auto

# Of two classes, one with a smaller share of the rows is rare.
_RARE = 0.06

# The greatest number of rows that a feature must be in for the table to fit.
_MAX_MIN_ROWS = 1 << 20

# Bucket 0 with weight 0: the table of rows without features.
_NO_FEATURE = np.zeros(1, np.uint32), np.zeros(1, np.float32)


def empty_counts(settings: Settings, n_classes: int) -> _core.FeatureCounts:
    """Counts without rows, in the shape that the weights need."""
    return _core.FeatureCounts(
        settings.analyzer.n_features, max(1, n_classes), by_class=settings.feature_weights != "idf"
    )


def weights_kind(settings: Settings, class_rows: Collection[int]) -> FeatureWeights:
    """The feature weights of the settings; ``"auto"`` is decided by the numbers of rows of the classes.

    Ratios of counts of a class with few rows are mostly noise.
    """
    kind = settings.feature_weights
    assert kind is not None
    if not is_auto(kind):
        return next(each for each in FEATURE_WEIGHTS if each == kind)
    is_rare = len(class_rows) == 2 and min(class_rows) < _RARE * sum(class_rows)
    return "idf" if is_rare else "nb-idf"


def feature_table(
    settings: Settings, counts: _core.FeatureCounts, observe: Observer, started: float, *, learners: int = 1
) -> _core.FeatureTable:
    """The features in use with their weights, without those in the fewest rows if there are too many for all classes.

    Parameters
    ----------
    settings : Settings
    counts : FeatureCounts
    observe : callable
        Called with what was counted, and a warning if features are left out.
    started : float
        When counting started, by the monotonic clock, in seconds.
    learners : int
        Number of learners that share the memory of one.
    """
    kind = weights_kind(settings, counts.rows.tolist())
    most = max_table_features(len(counts.rows)) // learners
    table = counts.table(kind)
    if len(table) > most:
        highest = min(_MAX_MIN_ROWS, 1 + int(counts.rows.sum()))
        by_rows = counts.frequencies(highest).astype(np.int64)
        at_least = by_rows[::-1].cumsum()[::-1]
        fits = at_least[1:] <= most
        min_rows = int(np.argmax(fits)) + 1 if fits.any() else highest
        lost = int(by_rows[:min_rows] @ np.arange(min_rows)) / int(counts.distinct.sum())
        n_all, table = len(table), counts.table(kind, min_rows=min_rows)
        observe(
            Warned(
                f"the model holds {len(table):,} of {n_all:,} features, those in {min_rows} rows or more: all of them, "
                f"for {len(counts.rows):,} classes, would need too much memory. The rows lose {lost:.1%} of their "
                f"features; fewer classes, or shorter n-grams, leave more of them in"
            )
        )
    n_rows, n_buckets = int(counts.rows.sum()), counts.n_features
    observe(FeaturesCounted(n_rows, len(table), n_buckets, kind, time.monotonic() - started))
    # A learner has at least one column.
    return table if len(table) else _core.FeatureTable.from_arrays(table.n_hashed, *_NO_FEATURE)


def every_bucket(table: _core.FeatureTable) -> _core.FeatureTable:
    """The table with a column for each hash bucket, of weight 0 if it is not in use."""
    weights = table.weights
    assert weights is not None
    dense = np.zeros(table.n_hashed, np.float32)
    dense[table.features] = weights
    return _core.FeatureTable.from_arrays(table.n_hashed, np.arange(table.n_hashed, dtype=np.uint32), dense)


def fit_feature_weights(
    lane: Lane,
    settings: Settings,
    observe: Observer,
    arranged: Callable[[_core.FeatureTable], _core.FeatureTable] = lambda table: table,
) -> None:
    """Count the features of a lane's training rows and apply the resulting table, as ``arranged``, to the lane.

    If there is no memory for further classes, the rows before them are counted: the training pass will stop at the
    same row.
    """
    counts, started = empty_counts(settings, len(lane.index)), time.monotonic()
    try:
        count_features(lane, counts, observe)
    except MemoryLimitError:
        if lane.refusal is None or not counts.rows.any():
            raise
        lane.reset()
    lane.use_table(arranged(feature_table(settings, counts, observe, started)))


def count_features(lane: Lane, counts: _core.FeatureCounts, observe: Observer = lambda event: None) -> None:
    """Count the features of a lane's training rows, without those that are held out."""
    started = shown = time.monotonic()
    for batch in lane.feature_batches(0):
        interrupts.raise_if_requested()
        if batch.n_classes > len(counts.rows):
            counts.grow(batch.n_classes)
        counts.add(batch.rows, batch.classes, batch.weights)
        if (now := time.monotonic()) - shown >= PROGRESS_SECONDS:
            shown, seconds = now, now - started
            observe(
                Counting(
                    share=batch.share,
                    n_rows=int(counts.rows.sum()),
                    megabytes_per_second=batch.share * lane.source_bytes / 1e6 / seconds,
                    eta_seconds=seconds / max(batch.share, 1e-9) - seconds,
                )
            )
