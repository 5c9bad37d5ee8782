"""The rounds of a mixing: parts are learnt on an engine, their votes added up, the mean sent out again.

What a mixing tells of itself.
"""

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
    Shell,
    Votes,
    added,
    counted,
    mean_of,
    put_together,
    shell_of,
)
from manymill.parameter_mixing.fitting import Rows, balance_of, way_to_go_on
from manymill.parameter_mixing.worker import (
    MatrixPart,
    Part,
    Report,
    Task,
    count_classes,
    learn_all,
    learn_part,
    published_features,
    score_of,
)

# Between two scores R², a difference that is more than chance.
_R2_MARGIN = 0.01


class AveragingWarning(UserWarning):
    """The average is worse on held-out rows than the best part, or than a model that learnt all rows in turn.

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
        Held-out rows.
    parts : tuple of (float or None)
        Of each part's own model; None for one without a model.
    average : float
        Of the average.
    reference : float or None
        Of the estimator fitted on all rows; None if it was not asked for.
    """

    n_rows: int
    parts: tuple[float | None, ...]
    average: float
    reference: float | None = None

    def lost(self, *, classification: bool) -> str:
        """What the average lost against by more than chance, as a sentence; empty if it did not.

        For a share of rows, chance is one standard error of the average's; for R², 0.01.
        """
        known = [score for score in self.parts if score is not None]
        rivals = [("the best part", max(known))] if known else []
        if self.reference is not None:
            rivals.append(("the estimator fitted on all rows", self.reference))
        margin = _R2_MARGIN
        if classification:
            margin = math.sqrt(max(0.0, self.average * (1 - self.average)) / self.n_rows)
        worse = [f"{name} {score:.4f}" for name, score in rivals if score - self.average > margin]
        return (
            f"on {self.n_rows} held-out rows the average scores {self.average:.4f}, but {' and '.join(worse)}"
            if worse
            else ""
        )


@dataclass(frozen=True, slots=True)
class MixingRound:
    """One round.

    Parameters
    ----------
    number : int
        From 1.
    n_rows : tuple of int
        Rows of each part.
    weights : tuple of float
        What each part's vote weighed; 0 for a part without one.
    change : float
        How far the coefficients moved in this round, as a share of their norm; 1 in the first round.
    scores : MixingScores or None
        None if no rows are held out.
    """

    number: int
    n_rows: tuple[int, ...]
    weights: tuple[float, ...]
    change: float
    scores: MixingScores | None


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What is to be mixed.

    Parameters
    ----------
    estimator : estimator
        Not fitted.
    classes : ndarray or None
        All classes; None for regression.
    parts : sequence of Part
    everything : Part
        All rows to learn, for the reference.
    held : Rows or None
        The held-out rows.
    rounds : int
    weigh : bool
        Whether votes weigh as much as the rows behind them.
    seed : int
    keep_seed : bool
        Whether the estimator's own ``random_state`` is left as it is.
    reference : bool
        Whether the estimator is fitted on all rows, too.
    """

    estimator: Any
    classes: NDArray[Any] | None
    parts: Sequence[Part]
    everything: Part
    held: Rows | None
    rounds: int
    weigh: bool
    seed: int
    keep_seed: bool
    reference: bool


def mixed(work: Work, engine: Engine) -> tuple[Any, tuple[MixingRound, ...]]:
    """The averaged estimator, and a report of each round.

    Raises
    ------
    PlanError
        If no part has learnt anything of a class.
    SettingsError
        If the estimator cannot be averaged, or not in rounds.
    """
    first = _first_task(work, engine)
    try:
        return _in_rounds(work, first, engine)
    finally:
        for part in (work.everything, first.held):
            if isinstance(part, MatrixPart):  # the engine may outlive us
                engine.withdraw(part.ref)


def _in_rounds(work: Work, first: Task, engine: Engine) -> tuple[Any, tuple[MixingRound, ...]]:
    task = replace(first, part=work.everything, way="fit", seed=_seed(work, len(work.parts), 0))
    reference = engine.submit(learn_all, task) if work.reference else None
    history: list[MixingRound] = []
    model, arrays, start = None, Arrays(), None
    for number in range(work.rounds):
        tasks = [
            replace(first, part=part, seed=_seed(work, p, number), start=start)
            for p, part in enumerate(work.parts)
        ]
        reports, votes = engine.fold(learn_part, tasks, added)
        if start is not None:
            engine.withdraw(start[1])
        model = _averaged(work, reports, votes)
        before, (shell, arrays) = arrays, shell_of(model)
        scores = None
        if work.held is not None:
            parts = tuple(report.score for report in reports)
            scores = MixingScores(len(work.held), parts, score_of(model, work.held, work.classes))
        history.append(_round(number + 1, reports, _change(before, arrays), scores))
        if number + 1 < work.rounds:
            start = (shell, engine.publish(arrays))
    if reference is not None:
        history = [_with_reference(row, reference.result()) for row in history]
    return model, tuple(history)


def matrix_parts(
    rows: Rows, parts: Sequence[NDArray[np.int64]], engine: Engine
) -> tuple[list[MatrixPart], MatrixPart]:
    """Parts of rows in memory, published once; and a part of all their rows in the order of the data."""
    numbers = [*parts, np.sort(np.concatenate(parts))]
    arrays = {**published_features(rows.X), "y": rows.y, "numbers": np.concatenate(numbers)}
    if rows.weight is not None:
        arrays["weight"] = rows.weight
    ref = engine.publish(arrays)
    names = [f"part {number} of {len(parts)}" for number in range(1, len(parts) + 1)] + ["all rows"]
    stops = np.cumsum([len(part) for part in numbers]).tolist()
    *own, everything = (
        MatrixPart(name, ref, rows.X.shape, start, stop)
        for name, start, stop in zip(names, [0, *stops[:-1]], stops, strict=True)
    )
    return own, everything


def _first_task(work: Work, engine: Engine) -> Task:
    way = way_to_go_on(work.estimator, work.rounds)
    balance = None
    if way == "partial_fit" and getattr(work.estimator, "class_weight", None) == "balanced":
        assert work.classes is not None
        counting = partial(count_classes, n_classes=len(work.classes))
        balance = balance_of(np.sum(list(engine.map(counting, work.parts)), axis=0))
    held = None
    if work.held is not None:
        _, held = matrix_parts(work.held, [np.arange(len(work.held))], engine)
    weigh = work.weigh and len(work.parts) > 1
    away = not engine.shares_memory
    return Task(
        work.parts[0], held, work.estimator, work.classes, way, None, weigh, balance=balance, away=away
    )


def _seed(work: Work, part: int, number: int) -> int | None:
    """Of a part in a round, whoever learns it."""
    if work.keep_seed:
        return None
    # Below 2^31: what every estimator takes.
    return int(np.random.SeedSequence(work.seed, spawn_key=(number, part)).generate_state(1)[0] >> 1)


def _averaged(work: Work, reports: Sequence[Report], votes: Votes | None) -> Any:
    if votes is None:
        raise PlanError(
            "every part has rows of a single class, so none has learnt to tell classes apart",
            'let rows be dealt with partitioning="shuffled" or "stratified", or take fewer parts',
        )
    if not np.all(votes.weights > 0):
        which = int(np.argmin(votes.weights))
        name = "an output" if work.classes is None else f"the class {work.classes.tolist()[which]!r}"
        raise PlanError(
            f"no part has learnt anything of {name}: its rows are in parts that have no other class, or weigh nothing",
            'let rows be dealt with partitioning="stratified", or take fewer parts',
        )
    shells = [report.shell for report in reports if report.shell is not None]
    fullest = max(
        (report for report in reports if report.shell is not None), key=lambda report: report.n_classes
    )
    assert fullest.shell is not None
    model = put_together(_aligned(fullest.shell, work.classes), mean_of(votes))
    # Parts had seeds of their own, and maybe were told to start warm: the user's parameters come back.
    model.set_params(**clone(work.estimator).get_params(deep=False))
    return counted(model, [shell.model for shell in shells])


def _aligned(shell: Shell, classes: NDArray[Any] | None) -> Shell:
    """The shell of a model that knows all classes."""
    model = shell.model
    if classes is None or np.array_equal(model.classes_, classes):
        return shell
    if isinstance(getattr(type(model), "classes_", None), property):  # RidgeClassifier asks its binarizer
        model._label_binarizer.fit(classes)
    else:
        model.classes_ = classes.copy()
    return shell


def _change(before: Arrays, after: Arrays) -> float:
    if not before:
        return 1.0
    norm = float(np.linalg.norm(after["coef_"]))
    return float(np.linalg.norm(after["coef_"] - before["coef_"])) / norm if norm else 0.0


def _round(number: int, reports: Sequence[Report], change: float, scores: MixingScores | None) -> MixingRound:
    n_rows = tuple(report.n_rows for report in reports)
    return MixingRound(number, n_rows, tuple(report.weight for report in reports), change, scores)


def _with_reference(row: MixingRound, reference: float | None) -> MixingRound:
    return row if row.scores is None else replace(row, scores=replace(row.scores, reference=reference))
