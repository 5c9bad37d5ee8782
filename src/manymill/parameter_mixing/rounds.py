"""Run the rounds of a mixing: fit parts on an engine, average their models, and send the mean to the next round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from manymill.engine.base import Engine
from manymill.errors import PlanError
from manymill.parameter_mixing.averaging import (
    Arrays,
    MeanSums,
    ModelTemplate,
    add_sums,
    join_arrays,
    set_counters,
    split_arrays,
    weighted_mean,
)
from manymill.parameter_mixing.fitting import PartRows, balanced_weights, choose_method
from manymill.parameter_mixing.sklearn_private import set_classes
from manymill.parameter_mixing.worker import (
    MatrixPart,
    Part,
    PartFit,
    PartFitReport,
    count_classes,
    matrix_parts,
    run_part_fit,
    score_model,
    score_reference,
)

# A difference between two scores R² that is significant.
_R2_MARGIN = 0.01


class AveragingWarning(UserWarning):
    """The average scores lower on held-out rows than the best part, or than a model fitted on all rows.

    Examples
    --------
    >>> import warnings
    >>> from manymill import AveragingWarning
    >>> warnings.simplefilter("error", AveragingWarning)
    """


@dataclass(frozen=True, slots=True)
class MixingScores:
    """Scores on held-out rows: accuracy, or R² for regression.

    Parameters
    ----------
    n_rows : int
        Number of held-out rows.
    parts : tuple of (float or None)
        Score of the model of each part; None for a part without a model.
    average : float
        Score of the average.
    reference : float or None
        Score of the estimator fitted on all rows; None without ``reference=True``.
    """

    n_rows: int
    parts: tuple[float | None, ...]
    average: float
    reference: float | None = None

    def lost(self, *, classification: bool) -> str:
        """A sentence on the models that score significantly higher than the average; empty if there are none.

        For accuracies, a difference is significant above one standard error of the average; for R², above 0.01.
        """
        known = [score for score in self.parts if score is not None]
        rivals = [("the best part", max(known))] if known else []
        if self.reference is not None:
            rivals.append(("the estimator fitted on all rows", self.reference))
        margin = _R2_MARGIN
        if classification:
            margin = math.sqrt(max(0.0, self.average * (1 - self.average)) / self.n_rows)
        better = [f"{name} {score:.4f}" for name, score in rivals if score - self.average > margin]
        return (
            f"on {self.n_rows} held-out rows the average scores {self.average:.4f}, but {' and '.join(better)}"
            if better
            else ""
        )


@dataclass(frozen=True, slots=True)
class MixingRound:
    """Report of one round.

    Parameters
    ----------
    number : int
        From 1.
    n_rows : tuple of int
        Number of rows of each part.
    weights : tuple of float
        Weight of each part in the mean; 0 for a part without a model.
    change : float
        Norm of the change of the coefficients in this round, divided by their norm; 1 in the first round.
    scores : MixingScores or None
        None if no rows are held out.
    """

    number: int
    n_rows: tuple[int, ...]
    weights: tuple[float, ...]
    change: float
    scores: MixingScores | None


@dataclass(frozen=True, slots=True, eq=False)
class MixingJob:
    """Everything that the rounds need.

    Parameters
    ----------
    estimator : estimator
        Not fitted.
    classes : ndarray or None
        All classes; None for regression.
    parts : sequence of Part
    all_rows : Part
        All training rows, for the reference.
    held_out : PartRows or None
        The held-out rows.
    rounds : int
    weight_by_rows : bool
        Whether the weight of a part is that of its rows.
    seed : int
    use_own_seed : bool
        Whether the estimator's own ``random_state`` is used.
    reference : bool
        Whether the estimator is fitted on all rows as well.
    """

    estimator: Any
    classes: NDArray[Any] | None
    parts: Sequence[Part]
    all_rows: Part
    held_out: PartRows | None
    rounds: int
    weight_by_rows: bool
    seed: int
    use_own_seed: bool
    reference: bool

    def seed_of(self, part: int, number: int) -> int | None:
        """Random state of a part in a round, on any worker; None for the estimator's own."""
        if self.use_own_seed:
            return None
        # Below 2^31, which every estimator accepts.
        return int(np.random.SeedSequence(self.seed, spawn_key=(number, part)).generate_state(1)[0] >> 1)


def run_mixing(job: MixingJob, engine: Engine) -> tuple[Any, tuple[MixingRound, ...]]:
    """Run all rounds: the averaged estimator, and a report of each round.

    Raises
    ------
    PlanError
        If no part has a model, or none has rows of some class.
    SettingsError
        If the estimator cannot be averaged, or does not support several rounds.
    """
    template = _task_template(job, engine)
    try:
        return _run_rounds(job, template, engine)
    finally:
        for part in (job.all_rows, template.held_out):
            if isinstance(part, MatrixPart):  # the engine may be used for other work afterwards
                engine.withdraw(part.ref)


def _task_template(job: MixingJob, engine: Engine) -> PartFit:
    """A task with everything that all parts have in common."""
    method = choose_method(job.estimator, job.rounds)
    class_weights = None
    if method == "partial_fit" and getattr(job.estimator, "class_weight", None) == "balanced":
        assert job.classes is not None
        count = partial(count_classes, n_classes=len(job.classes))
        class_weights = balanced_weights(np.sum(list(engine.map(count, job.parts)), axis=0))
    held_out = None
    if job.held_out is not None:
        _, held_out = matrix_parts(job.held_out, [np.arange(len(job.held_out))], engine)
    return PartFit(
        job.parts[0],
        held_out,
        job.estimator,
        job.classes,
        method,
        None,
        job.weight_by_rows and len(job.parts) > 1,
        class_weights=class_weights,
        remote=not engine.shares_memory,
    )


def _run_rounds(job: MixingJob, template: PartFit, engine: Engine) -> tuple[Any, tuple[MixingRound, ...]]:
    reference = None
    if job.reference:
        task = replace(template, part=job.all_rows, method="fit", seed=job.seed_of(len(job.parts), 0))
        reference = engine.submit(score_reference, task)
    history: list[MixingRound] = []
    model, arrays, start = None, Arrays(), None
    for number in range(job.rounds):
        tasks = [
            replace(template, part=part, seed=job.seed_of(index, number), start=start)
            for index, part in enumerate(job.parts)
        ]
        reports, total = engine.fold(run_part_fit, tasks, add_sums)
        if start is not None:
            engine.withdraw(start[1])
        model = _average(job, reports, total)
        before, (model_template, arrays) = arrays, split_arrays(model)
        history.append(_report_round(job, number + 1, reports, model, _change(before, arrays)))
        if number + 1 < job.rounds:
            start = (model_template, engine.publish(arrays))
    if reference is not None:
        score = reference.result()
        history = [_with_reference(report, score) for report in history]
    return model, tuple(history)


def _average(job: MixingJob, reports: Sequence[PartFitReport], total: MeanSums | None) -> Any:
    if total is None:
        raise PlanError(
            "the rows of every part have a single class, so no part can be fitted",
            'use partitioning="shuffled" or "stratified", or fewer parts',
        )
    if not np.all(total.weights > 0):
        index = int(np.argmin(total.weights))
        name = "an output" if job.classes is None else f"the class {job.classes.tolist()[index]!r}"
        raise PlanError(
            f"no part has a model of {name}: its rows are in parts without other classes, or have no weight",
            'use partitioning="stratified", or fewer parts',
        )
    fitted = [(report.n_classes, report.template) for report in reports if report.template is not None]
    _, fullest = max(fitted, key=lambda pair: pair[0])
    model = join_arrays(_with_all_classes(fullest, job.classes), weighted_mean(total))
    # Parts have other seeds, and maybe warm_start: restore the parameters of the user's estimator.
    model.set_params(**clone(job.estimator).get_params(deep=False))
    set_counters(model, [template.model for _, template in fitted])
    return model


def _with_all_classes(template: ModelTemplate, classes: NDArray[Any] | None) -> ModelTemplate:
    if classes is not None and not np.array_equal(template.model.classes_, classes):
        set_classes(template.model, classes)
    return template


def _change(before: Arrays, after: Arrays) -> float:
    if not before:
        return 1.0
    norm = float(np.linalg.norm(after["coef_"]))
    return float(np.linalg.norm(after["coef_"] - before["coef_"])) / norm if norm else 0.0


def _report_round(
    job: MixingJob, number: int, reports: Sequence[PartFitReport], model: Any, change: float
) -> MixingRound:
    scores = None
    if job.held_out is not None:
        parts = tuple(report.score for report in reports)
        scores = MixingScores(len(job.held_out), parts, score_model(model, job.held_out, job.classes))
    n_rows = tuple(report.n_rows for report in reports)
    return MixingRound(number, n_rows, tuple(report.weight for report in reports), change, scores)


def _with_reference(report: MixingRound, score: float | None) -> MixingRound:
    if report.scores is None:
        return report
    return replace(report, scores=replace(report.scores, reference=score))
