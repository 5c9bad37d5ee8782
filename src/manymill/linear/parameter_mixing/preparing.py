"""What is asked for, and the rows, as work: parts, held-out rows, seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.data.dataset import Plan
from manymill.engine.base import Engine
from manymill.errors import PlanError, SettingsError
from manymill.linear.parameter_mixing.datasets import (
    BlockPart,
    TextRows,
    batches_of,
    block_parts,
    can_be_dealt,
    held_out_rows,
)
from manymill.linear.parameter_mixing.learning import Rows
from manymill.linear.parameter_mixing.mixing import Work, matrix_parts
from manymill.linear.parameter_mixing.partitioning import Partitioning, parts_of, split_off

# Held out unless told otherwise: the share and bounds of TextClassifier.
_HELD_SHARE, _HELD_ROWS, _ROWS_TO_HOLD_OUT = 0.02, 20_000, 5_000
# Where a comparison is asked for and there are few rows.
_REFERENCE_SHARE = 0.1
# Fewer rows than this are no part: most would be of one class.
LEAST_ROWS = 5
# The random streams of a seed; those of parts have two numbers.
_DEAL, _HOLD_OUT = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The parameters of a mixing."""

    estimator: Any
    n_parts: int
    rounds: int
    partitioning: Partitioning
    weigh: bool
    validation_fraction: float | None
    reference: bool
    seed: int

    def held_share(self, n_rows: int) -> float:
        """The share of rows held out of about so many."""
        if self.validation_fraction is not None:
            return float(self.validation_fraction)
        if n_rows < _ROWS_TO_HOLD_OUT:
            return _REFERENCE_SHARE if self.reference else 0.0
        return min(_HELD_SHARE, _HELD_ROWS / n_rows)

    def stream(self, number: int) -> np.random.Generator:
        """One of the seed's random streams."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))


def work_on_rows(rows: Rows, classes: NDArray[Any] | None, asked: Asked, engine: Engine) -> Work:
    """Rows in memory, or mapped into it."""
    learn, held = split_off(len(rows), asked.held_share(len(rows)), asked.stream(_HOLD_OUT))
    codes = None if classes is None else rows.y[learn]
    n_parts = min(asked.n_parts, max(1, len(learn) // LEAST_ROWS))
    dealt = parts_of(len(learn), n_parts, asked.partitioning, asked.stream(_DEAL), codes)
    parts, everything = matrix_parts(rows, [learn[part] for part in dealt], engine)
    return Work(
        parts=parts,
        everything=everything,
        held=_taken(rows, held) if len(held) else None,
        **_common(asked, classes, n_parts),
    )


def work_on_plan(
    plan: Plan,
    vectorizer: Any,
    names: tuple[str, ...] | None,
    classes: NDArray[Any] | None,
    asked: Asked,
    engine: Engine,
) -> Work:
    """A dataset: in blocks that workers read themselves, or read once here if it cannot be cut.

    Raises
    ------
    SettingsError
        If blocks are to be dealt by classes.
    PlanError
        If there is no row.
    """
    if not can_be_dealt(plan, asked.n_parts):
        rows = TextRows(vectorizer, names, 0.0).rows(batches_of(plan), held=None)
        if not len(rows):
            raise PlanError("there is no row to learn", "look at the labels and texts of the files")
        return work_on_rows(rows, classes, asked, engine)
    if asked.partitioning == "stratified":
        raise SettingsError(
            "blocks of a file are dealt without being read, so not by the classes of their rows",
            'use partitioning="shuffled"',
        )
    reading = TextRows(vectorizer, names, asked.held_share(plan.n_rows))
    dealt = parts_of(len(plan.blocks), asked.n_parts, asked.partitioning, asked.stream(_DEAL))
    held = held_out_rows(plan, reading) if reading.share else None
    return Work(
        parts=block_parts(plan, dealt, reading),
        everything=BlockPart("all rows", plan, tuple(range(len(plan.blocks))), reading),
        held=held if held is not None and len(held) else None,
        **_common(asked, classes, asked.n_parts),
    )


def _common(asked: Asked, classes: NDArray[Any] | None, n_parts: int) -> dict[str, Any]:
    # One part is the estimator's own fit, so it keeps its own random stream if it has one.
    alone = n_parts == 1 and asked.rounds == 1
    return {
        "estimator": asked.estimator,
        "classes": classes,
        "rounds": asked.rounds,
        "weigh": asked.weigh,
        "seed": asked.seed,
        "keep_seed": alone and getattr(asked.estimator, "random_state", None) is not None,
        "reference": asked.reference,
    }


def _taken(rows: Rows, numbers: NDArray[np.int64]) -> Rows:
    weight = None if rows.weight is None else rows.weight[numbers]
    return replace(rows, X=rows.X[numbers], y=rows.y[numbers], weight=weight)
