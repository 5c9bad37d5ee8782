"""The rows of a plan summed up by feature and class: one pass, any order, the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.engine.local import workers
from manymill.errors import MemoryLimitError, PlanError, SchemaError
from manymill.linear.class_limit import ClassLimit
from manymill.linear.lane import Lane
from manymill.linear.memory import BASE_BYTES, BYTES_PER_ENTRY
from manymill.linear.settings import Settings
from manymill.linear.sizes import row_bytes_per_byte
from manymill.linear.weighing import weigh


@dataclass(frozen=True, eq=False)
class Summed:
    """Sums of rows, and what they are sums of."""

    sums: _core.FeatureSums
    classes: tuple[str, ...] | tuple[int, ...]  # sorted, in the order of the sums
    feature_weights: NDArray[np.float32] | None  # (n_features,)
    refusal: MemoryLimitError | None = None  # why further classes and the rows after them are not in the sums


def sum_up(plan: Plan, settings: Settings, names: Sequence[str], *, threads: int) -> Summed:
    """The sums of all rows of a plan.

    Parameters
    ----------
    plan : Plan
    settings : Settings
        How documents become rows; the number of features must be known.
    names : sequence of str
        Classes known to exist, besides those of the plan's sample.
    threads : int
        Threads that read and hash.

    Raises
    ------
    PlanError
        If there is no row, or only one class.
    MemoryLimitError
        If there is not enough memory for the classes and nothing was summed up.
    SchemaError
        If the rows have weights.
    """
    if plan.columns.weight is not None:
        raise SchemaError("rows with weights cannot be summed up exactly", "read them without their weights")
    n_features = settings.analyzer.n_features
    n_planned = len({*names, *plan.class_counts})

    def need(n_classes: int, n_features: int) -> int:
        n_met = min(n_features, int(plan.text_bytes * row_bytes_per_byte(settings) / BYTES_PER_ENTRY))
        # Sums, twice while they are put in order; the weights of all features.
        return BASE_BYTES + 16 * n_classes * n_met + 4 * n_features * (1 + n_classes)

    limit = ClassLimit(need, n_features, n_planned, limit=None)
    refusal: MemoryLimitError | None = None
    with workers(threads) as executor:
        lane = Lane(
            plan,
            settings,
            executor=executor,
            threads=threads,
            classes=names,
            ledger=Ledger(strict=plan.dataset.strict),
            on_new_classes=limit.check,
        )
        if settings.feature_weights is not None:
            weigh(lane, settings.feature_weights, n_features)
        sums = _core.FeatureSums(n_features, max(1, len(lane.index)))
        try:
            for lesson in lane.lessons(0):
                sums.grow(lesson.n_classes)
                sums.add(lesson.rows, lesson.classes)
        except MemoryLimitError as error:
            refusal = error
            if np.count_nonzero(sums.rows) < 2:
                raise
    found = lane.index.names[: len(sums.rows)]
    if len(found) < 2:
        what = f"all rows have the same label, {found[0]!r}" if found else "there is no row to learn from"
        raise PlanError(what, "give data of two classes or more")
    as_integers = plan.labels_are_integers and lane.index.are_integers
    order = lane.index.sorted_order(as_integers=as_integers, first=len(found))
    classes = tuple(found[i] for i in order)
    return Summed(
        placed(sums, np.argsort(order), len(order)),
        tuple(map(int, classes)) if as_integers else classes,
        lane.feature_weights,
        refusal,
    )


def placed(sums: _core.FeatureSums, places: NDArray[np.intp], n_classes: int) -> _core.FeatureSums:
    """The same sums with class ``i`` as class ``places[i]`` of ``n_classes``."""
    features, old, old_rows, bound = sums.to_arrays()
    new = np.zeros((len(features), n_classes), np.uint64)
    rows = np.zeros(n_classes, np.uint64)
    new[:, places], rows[places] = old, old_rows
    return _core.FeatureSums.from_arrays(sums.n_features, features, new, rows, bound)
