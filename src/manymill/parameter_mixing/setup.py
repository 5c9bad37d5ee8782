"""Validate the parameters of mixing estimators, and turn rows or datasets into jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from manymill.data.dataset import Plan
from manymill.engine.base import Engine
from manymill.errors import PlanError, SchemaError, SettingsError
from manymill.estimator_support import check_is_estimator
from manymill.parameter_mixing.fitting import PartRows
from manymill.parameter_mixing.parts import (
    PARTITIONINGS,
    BatchEncoder,
    BlockPart,
    Partitioning,
    assign_parts,
    block_parts,
    can_assign_blocks,
    read_batches,
    read_held_out_rows,
    split_held_out,
)
from manymill.parameter_mixing.rounds import MixingJob
from manymill.parameter_mixing.sklearn_private import check_sample_weight, requires_fit
from manymill.parameter_mixing.worker import matrix_parts
from manymill.validation import check, check_bool, check_choice, check_integer, is_number

# The least number of rows of a part: most smaller parts would have rows of a single class.
LEAST_ROWS = 5

_WEIGHTINGS = ("rows", "uniform")
# Held-out rows by default, as in TextClassifier: the share, its bound, and the number of rows from which on.
_HELD_OUT_SHARE, _MAX_HELD_OUT_ROWS, _LEAST_ROWS_TO_HOLD_OUT = 0.02, 20_000, 5_000
# The share for a reference if there are fewer rows.
_REFERENCE_SHARE = 0.1
# Random streams of a seed; those of parts have two numbers.
_PARTS_STREAM, _HELD_OUT_STREAM = 0, 1


# ---- parameters


def check_parameters(mixing: Any) -> None:
    """Validate the parameters of an estimator, before any row is read.

    Raises
    ------
    SettingsError
    """
    check_is_estimator(mixing._estimator(), classification=mixing._classification)
    if mixing.vectorizer is not None:
        valid = hasattr(mixing.vectorizer, "transform") and not isinstance(mixing.vectorizer, type)
        check(valid, "vectorizer", mixing.vectorizer, "a transformer of scikit-learn, or None")
    check_bool(mixing.reference, "reference")
    for name in ("n_partitions", "rounds"):
        check_integer(getattr(mixing, name), name, 1)
    check_choice(mixing.partitioning, "partitioning", PARTITIONINGS)
    check_choice(mixing.weighting, "weighting", _WEIGHTINGS)
    share = mixing.validation_fraction
    valid = share is None or (is_number(share) and 0 <= float(share) < 1)
    check(valid, "validation_fraction", share, "a share from 0 to below 1, or None")
    if mixing.reference and share == 0:
        raise SettingsError(
            "reference=True compares scores on held-out rows, but validation_fraction=0",
            "hold out some rows",
        )
    if mixing.partitioning == "stratified" and not mixing._classification:
        raise SettingsError(
            'partitioning="stratified" needs classes, and a regression has none', 'use "shuffled"'
        )


def check_vectorizer(vectorizer: Any) -> None:
    """Refuse a vectorizer that must be fitted first and is not.

    Raises
    ------
    SettingsError
    """
    if not requires_fit(vectorizer):
        return
    try:
        check_is_fitted(vectorizer)
    except NotFittedError as error:
        raise SettingsError(
            f"{type(vectorizer).__name__} must be fitted first, as parts are vectorized independently",
            "give HashingVectorizer, which needs no fitting, or a fitted vectorizer",
        ) from error


def check_weights(
    sample_weight: ArrayLike | None, X: Any
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """The positive weights of rows, and a mask of the rows that have one (None for all).

    Raises
    ------
    SchemaError
        If a weight is negative, or all are zero.
    """
    if sample_weight is None:
        return None, None
    weight = np.asarray(check_sample_weight(sample_weight, X, dtype=np.float64))
    if (weight < 0).any():
        raise SchemaError("sample_weight contains a negative weight", "weights must be 0 or more")
    positive = weight > 0
    if positive.all():
        return weight, None
    if not positive.any():
        raise SchemaError("sample_weight is zero for every row", "give a positive weight to some rows")
    return weight[positive], positive


# ---- jobs


@dataclass(frozen=True, slots=True, eq=False)
class MixingRequest:
    """The parameters of a mixing."""

    estimator: Any
    n_parts: int
    rounds: int
    partitioning: Partitioning
    weight_by_rows: bool
    validation_fraction: float | None
    reference: bool
    seed: int

    def held_out_share(self, n_rows: int) -> float:
        """The share of rows to hold out, out of about ``n_rows``."""
        if self.validation_fraction is not None:
            return float(self.validation_fraction)
        if n_rows < _LEAST_ROWS_TO_HOLD_OUT:
            return _REFERENCE_SHARE if self.reference else 0.0
        return min(_HELD_OUT_SHARE, _MAX_HELD_OUT_ROWS / n_rows)

    def stream(self, number: int) -> np.random.Generator:
        """One of the random streams of the seed."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))


def job_from_rows(
    rows: PartRows, classes: NDArray[Any] | None, request: MixingRequest, engine: Engine
) -> MixingJob:
    """The job of rows in memory, or mapped into it; publishes them."""
    train, held_out = split_held_out(
        len(rows), request.held_out_share(len(rows)), request.stream(_HELD_OUT_STREAM)
    )
    codes = None if classes is None else rows.y[train]
    n_parts = min(request.n_parts, max(1, len(train) // LEAST_ROWS))
    assigned = assign_parts(len(train), n_parts, request.partitioning, request.stream(_PARTS_STREAM), codes)
    parts, all_rows = matrix_parts(rows, [train[part] for part in assigned], engine)
    return MixingJob(
        parts=parts,
        all_rows=all_rows,
        held_out=rows.subset(held_out) if len(held_out) else None,
        **_job_settings(request, classes, n_parts),
    )


def job_from_plan(
    plan: Plan,
    vectorizer: Any,
    names: tuple[str, ...] | None,
    classes: NDArray[Any] | None,
    request: MixingRequest,
    engine: Engine,
) -> MixingJob:
    """The job of a dataset: workers read its blocks; a dataset that cannot be split is read once here.

    Parameters
    ----------
    plan : Plan
    vectorizer : transformer
    names : tuple of str or None
        The classes as strings; None for regression.
    classes : ndarray or None
        The classes as labels of the model.
    request : MixingRequest
    engine : Engine

    Raises
    ------
    SettingsError
        If blocks would have to be stratified.
    PlanError
        If there are no rows.
    """
    if not can_assign_blocks(plan, request.n_parts):
        rows = BatchEncoder(vectorizer, names, 0.0).rows(read_batches(plan), held_out=None)
        if not len(rows):
            raise PlanError("there are no rows to fit", "check the labels and texts of the files")
        return job_from_rows(rows, classes, request, engine)
    if request.partitioning == "stratified":
        raise SettingsError(
            'partitioning="stratified" is not supported for files, whose blocks are assigned to parts without being '
            "read",
            'use partitioning="shuffled"',
        )
    encoder = BatchEncoder(vectorizer, names, request.held_out_share(plan.n_rows))
    stream = request.stream(_PARTS_STREAM)
    assigned = assign_parts(len(plan.blocks), request.n_parts, request.partitioning, stream)
    held_out = read_held_out_rows(plan, encoder) if encoder.share else None
    return MixingJob(
        parts=block_parts(plan, assigned, encoder),
        all_rows=BlockPart("all rows", plan, tuple(range(len(plan.blocks))), encoder),
        held_out=held_out if held_out is not None and len(held_out) else None,
        **_job_settings(request, classes, request.n_parts),
    )


def _job_settings(request: MixingRequest, classes: NDArray[Any] | None, n_parts: int) -> dict[str, Any]:
    # A single part in a single round equals the estimator's own fit, so its random state is used if there is one.
    plain_fit = n_parts == 1 and request.rounds == 1
    return {
        "estimator": request.estimator,
        "classes": classes,
        "rounds": request.rounds,
        "weight_by_rows": request.weight_by_rows,
        "seed": request.seed,
        "use_own_seed": plain_fit and getattr(request.estimator, "random_state", None) is not None,
        "reference": request.reference,
    }
