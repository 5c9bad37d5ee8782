"""What is asked for, and the rows, as work: parts, held-out rows, seeds.

The parameters of the estimators, checked, and what they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from manymill.data.dataset import Plan
from manymill.engine.base import Engine
from manymill.errors import PlanError, SchemaError, SettingsError
from manymill.parameter_mixing.fitting import Rows
from manymill.parameter_mixing.parts import (
    PARTITIONINGS,
    BlockPart,
    Partitioning,
    TextRows,
    batches_of,
    block_parts,
    can_be_dealt,
    held_out_rows,
    parts_of,
    split_off,
)
from manymill.parameter_mixing.rounds import Work, matrix_parts
from manymill.validation import check, check_choice, check_integer, is_number

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


_WEIGHTINGS = ("rows", "uniform")


def check_parameters(mixing: Any) -> None:
    """Validate the parameters of an estimator, before any row is read.

    Raises
    ------
    SettingsError
    """
    for name in ("n_partitions", "rounds"):
        check_integer(getattr(mixing, name), name, 1)
    check_choice(mixing.partitioning, "partitioning", PARTITIONINGS)
    check_choice(mixing.weighting, "weighting", _WEIGHTINGS)
    share = mixing.validation_fraction
    valid = share is None or (is_number(share) and 0 <= float(share) < 1)
    check(valid, "validation_fraction", share, "a share from 0 to below 1, or None")
    if mixing.reference and share == 0:
        raise SettingsError(
            "reference=True compares on held-out rows, but validation_fraction=0", "hold some rows out"
        )
    if mixing.partitioning == "stratified" and not mixing._classification:
        raise SettingsError("targets of a regression have no classes to be dealt by", 'use "shuffled"')


def check_vectorizer(vectorizer: Any) -> None:
    """Refuse a vectorizer that would have to learn from all the text first.

    Raises
    ------
    SettingsError
    """
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.feature_extraction.text import HashingVectorizer

    # The tags of these two say that no fit is needed only from scikit-learn 1.8 on.
    if isinstance(vectorizer, FeatureHasher | HashingVectorizer) or not get_tags(vectorizer).requires_fit:
        return
    try:
        check_is_fitted(vectorizer)
    except NotFittedError as error:
        raise SettingsError(
            f"{type(vectorizer).__name__} has to be fitted, and parts are vectorized apart from each other",
            "give HashingVectorizer, which needs no fitting, or a vectorizer that has been fitted",
        ) from error


def positive_weights(
    sample_weight: ArrayLike | None, X: Any
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """Weights of the rows that count, and which rows these are; None for all.

    Raises
    ------
    SchemaError
        If a weight is negative, or all are zero.
    """
    if sample_weight is None:
        return None, None
    weight = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64))
    if (weight < 0).any():
        raise SchemaError("sample_weight holds a negative weight", "weights are 0 or more")
    counts = weight > 0
    if counts.all():
        return weight, None
    if not counts.any():
        raise SchemaError("sample_weight is zero for every row")
    return weight[counts], counts
