"""The recipe "auto": a choice of features, weights, loss and regularisation before training, on a sample of the rows.

::

    sample ─► a dozen candidates ─► a quarter of the rows ─► half of them ─► all rows ─► better than standard?
                                     └─ the better half goes on; standard always does

The candidates differ from the recipe standard in one or two of the parameters that are ``"auto"``; a parameter given by
hand is never changed. Each candidate learns rows of the sample once, with weights counted on these rows, and is judged
by its correctness on other rows: weights that were counted on the rows that judge would look better than they are.
Candidates are compared row by row, and standard stays unless another is better by two standard errors of the mean
difference: a dozen candidates on few rows always have a winner by chance.

The choice depends on data, plan, parameters and seed only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.dataset import Plan
from manymill.engine import interrupts
from manymill.engine.local import map_in_order, workers
from manymill.events import RecipeChosen
from manymill.hash_form import Form
from manymill.linear.candidates import LARGE, Candidate, candidates_of, most_candidates
from manymill.linear.choice_sample import MIN_JUDGING, MIN_TRAINING, Sample, part_of, sample_rows
from manymill.linear.feature_weights import feature_table
from manymill.linear.recipe import MAX_LEARNERS
from manymill.linear.row_stream import Slice, SliceHasher
from manymill.linear.settings import Settings
from manymill.linear.state import new_learner
from manymill.model import Analyzer, choose_classes

# Shares of the rows to learn and of the rows that judge in each round.
_ROUNDS = ((0.25, 0.5), (0.5, 1.0), (1.0, 1.0))

# The share of the candidates besides standard that goes on to the next round.
_GO_ON = 0.45

# Passes in the last round, unless there are many rows, of which the choice may take less time: noise that one pass does
# not fit, a second one does.
_MAX_PASSES = 2

# Standard errors of the mean difference by which a candidate must be better.
_STANDARD_ERRORS = 2.0

# A smaller gain is not worth another model than everyone's.
_LEAST_GAIN = 0.001

# Text for each hash bucket: a table of weights is made in the time of the buckets, and collisions harm all candidates.
_BYTES_PER_BUCKET = 4


@dataclass(frozen=True, slots=True)
class _Result:
    """A candidate in its last round, compared with the recipe standard in the same round."""

    candidate: Candidate
    n_training: int
    accuracy: float
    difference: float  # of accuracies, by rows
    standard_error: float  # of the difference

    @property
    def is_better(self) -> bool:
        """Whether the difference is no chance."""
        return self.difference >= max(_STANDARD_ERRORS * self.standard_error, _LEAST_GAIN)

    def to_json(self) -> dict[str, Any]:
        """A row of the table of candidates."""
        return {**self.candidate.values(), **{name: getattr(self, name) for name in _FIGURES}}


_FIGURES = ("n_training", "accuracy", "difference", "standard_error")


def with_choice(
    plan: Plan, settings: Settings, *, threads: int, classes: Sequence[str] = ()
) -> tuple[Settings, RecipeChosen | None]:
    """Settings whose recipe is ``"auto"`` with the values that are best on a sample of the rows.

    Parameters
    ----------
    plan : Plan
        The rows of the training.
    settings : Settings
        Other recipes choose nothing.
    threads : int
        Threads that read, hash and learn; the choice does not depend on them.
    classes : sequence of str, optional
        Known classes, besides those of the plan.

    Returns
    -------
    settings : Settings
        With the chosen values in place of ``"auto"``.
    choice : RecipeChosen or None
        What was chosen and why; None with another recipe.
    """
    if settings.recipe != "auto":
        return settings, None
    candidates = candidates_of(settings, one_form=plan.is_hashed)
    candidates = candidates[: most_candidates(plan.n_rows)]
    if len(candidates) == 1:
        return _kept(plan, settings, candidates[0], "every parameter is given by hand")
    with workers(threads) as executor:
        sample = sample_rows(plan, settings, classes, executor, 2 * threads)
        if sample is None:
            needed = f"{MIN_TRAINING:,} to learn and {MIN_JUDGING:,} to judge"
            return _kept(
                plan, settings, candidates[0], f"there are too few rows to compare: {needed} are needed"
            )
        results = _Comparison(plan, settings, sample, executor, threads).run(candidates)
    best = max(results[1:], key=lambda result: (result.n_training, result.is_better, result.difference))
    chosen = best.candidate if best.is_better else candidates[0]
    margin = f"{100 * best.difference:+.2f} ± {100 * best.standard_error:.2f} points against standard"
    reason = (
        margin if best.is_better else f"no candidate is better by two standard errors: the best is {margin}"
    )
    return chosen.applied(settings, plan.n_rows), RecipeChosen(
        values=chosen.values(),
        is_standard=not best.is_better,
        reason=reason,
        n_training=sample.n_training,
        n_judging=sample.n_judging,
        candidates=tuple(result.to_json() for result in results),
    )


def _kept(plan: Plan, settings: Settings, standard: Candidate, reason: str) -> tuple[Settings, RecipeChosen]:
    choice = RecipeChosen(standard.values(), True, reason, 0, 0, ())
    return standard.applied(settings, plan.n_rows), choice


def choice_facts(choice: RecipeChosen | None) -> dict[str, Any]:
    """What the facts of a model say about a choice."""
    return {} if choice is None else {"choice": asdict(choice)}


class _Comparison:
    """Rounds of candidates on one sample, of which the better half goes on."""

    def __init__(
        self, plan: Plan, settings: Settings, sample: Sample, executor: Executor, threads: int
    ) -> None:
        # The candidates learn in one lane: steps and regularisation of lanes follow those of one.
        self._settings, self._sample = replace(settings, lanes=1), sample
        self._executor, self._threads = executor, threads
        self._n_classes = max(2, len(sample.index))
        self._last_passes = 1 if plan.n_rows >= LARGE else min(_MAX_PASSES, settings.n_passes)
        # All rows in the form of the recipe standard, which every round needs.
        self._standard_form: Form | None = None
        self._kept_rows: dict[int, list[_core.Rows]] = {}
        # Which of the rows that judge a candidate predicts right, by the share of the training rows.
        self._known: dict[tuple[Candidate, float], NDArray[np.bool_]] = {}

    def run(self, candidates: Sequence[Candidate]) -> list[_Result]:
        """The last result of each candidate, in their order; the first one is the recipe standard.

        If a candidate of stronger regularisation is better in the last round, the next stronger one follows.
        """
        standard, results = candidates[0], dict[Candidate, _Result]()
        self._standard_form = standard.applied(self._settings, 1).form
        playing = list(candidates)
        for share, judging_share in _ROUNDS:
            compared = self._round(playing, standard, share, judging_share)
            results.update(compared)
            others = sorted(playing[1:], key=lambda each: -results[each].difference)
            others = others[: max(1, round(_GO_ON * len(others)))]
            if judging_share == 1.0:  # the same rows will judge again: the gain must show
                others = [each for each in others if results[each].difference > results[each].standard_error]
            if not others:
                break
            playing = [standard, *others]
        else:
            best = playing[1]
            if results[best].is_better and best.stronger is not None:
                results.update(self._round([standard, best, best.stronger], standard, *_ROUNDS[-1]))
        return list(results.values())

    def _round(
        self, playing: Sequence[Candidate], standard: Candidate, share: float, judging_share: float
    ) -> dict[Candidate, _Result]:
        """Candidates after a share of the training rows, on a share of the rows that judge."""
        training = [_first_rows(part, share) for part in self._sample.training]
        judging = [_first_rows(part, judging_share) for part in self._sample.judging]
        passes = self._last_passes if share == 1.0 else 1
        missing = [each for each in playing if (each, share) not in self._known]
        self._known.update(
            ((each, share), right) for each, right in self._right(missing, training, judging, passes).items()
        )
        n_training = sum(len(part.classes) for part in training)
        weights = np.concatenate([_weights(part) for part in judging])
        right = {each: self._known[each, share] for each in playing}
        return {each: _compared(each, n_training, right[each], right[standard], weights) for each in playing}

    def _right(
        self, candidates: Sequence[Candidate], training: list[Slice], judging: list[Slice], passes: int
    ) -> dict[Candidate, NDArray[np.bool_]]:
        """Which of the judging rows each candidate predicts right after the training rows."""
        right: dict[Candidate, NDArray[np.bool_]] = {}
        n_rows = sum(len(part.classes) for part in training)
        text_bytes = self._sample.text_bytes * n_rows // (self._sample.n_training * _BYTES_PER_BUCKET)
        resolved = {
            each: each.applied(self._settings, n_rows).resolve(self._n_classes, n_rows, text_bytes)
            for each in candidates
        }
        for same_form in _grouped(candidates, lambda each: resolved[each].form):
            analyzer = resolved[same_form[0]].analyzer
            keeps = analyzer.form == self._standard_form
            learnt = self._hashed(analyzer, self._sample.training, training, keeps=keeps)
            judges = self._hashed(analyzer, self._sample.judging, judging, keeps=keeps)
            counts = _core.FeatureCounts(analyzer.n_features, self._n_classes, by_class=True)
            for rows, part in zip(learnt, training, strict=True):
                interrupts.raise_if_requested()
                counts.add(rows, part.classes, part.weights)
            for same_weights in _grouped(same_form, lambda each: resolved[each].feature_weights):
                table = _table(resolved[same_weights[0]], counts)
                learn = _Learn(
                    table,
                    self._n_classes,
                    passes,
                    training,
                    judging,
                    self._mapped(learnt, table),
                    self._mapped(judges, table),
                )
                learners = map_in_order(
                    learn.right,
                    [resolved[each] for each in same_weights],
                    executor=self._executor,
                    look_ahead=min(self._threads, MAX_LEARNERS),
                )
                for each, which in zip(same_weights, learners, strict=True):
                    interrupts.raise_if_requested()
                    right[each] = which
        return right

    def _hashed(
        self, analyzer: Analyzer, whole: list[Slice], parts: list[Slice], *, keeps: bool
    ) -> list[_core.Rows]:
        """The rows of hashed features of the first rows of slices; those to keep are hashed once, all of them."""
        hasher = SliceHasher(replace(analyzer, norm=None), self._executor, 2 * self._threads)
        if not keeps:
            return [rows for _, rows in hasher.hash_all(parts)]
        kept = self._kept_rows.get(id(whole))
        if kept is None:
            kept = self._kept_rows[id(whole)] = [rows for _, rows in hasher.hash_all(whole)]
        sizes = [len(part.classes) for part in parts]
        return [
            rows if n == len(rows) else rows.take(np.arange(n, dtype=np.uint32))
            for rows, n in zip(kept, sizes, strict=True)
        ]

    def _mapped(self, rows: list[_core.Rows], table: _core.FeatureTable) -> list[_core.Rows]:
        """The rows in the columns of a table, weighted."""
        norm = self._settings.norm
        return list(self._executor.map(lambda each: each.mapped(table, norm), rows))


@dataclass(frozen=True, slots=True)
class _Learn:
    """Learns and judges mapped rows, with one learner for each call."""

    table: _core.FeatureTable
    n_classes: int
    passes: int
    training: list[Slice]
    judging: list[Slice]
    training_rows: list[_core.Rows]
    judging_rows: list[_core.Rows]

    def right(self, settings: Settings) -> NDArray[np.bool_]:
        """Which of the judging rows settings predict right; none if the weights diverge."""
        learner = new_learner(settings, self.n_classes, self.table)
        try:
            for _ in range(self.passes):
                for rows, part in zip(self.training_rows, self.training, strict=True):
                    learner.learn(rows, part.classes, part.weights)
                learner.settle()
        except FloatingPointError:
            return np.zeros(sum(map(len, self.judging_rows)), np.bool_)
        chosen = [choose_classes(learner.scores(rows)) for rows in self.judging_rows]
        classes = np.concatenate([part.classes for part in self.judging])
        return np.asarray(np.concatenate(chosen) == classes)


def _table(settings: Settings, counts: _core.FeatureCounts) -> _core.FeatureTable:
    """The features in use, with the weights of the settings."""
    if settings.feature_weights is None:
        features = counts.table("idf").features
        return _core.FeatureTable.from_arrays(settings.analyzer.n_features, features, None)
    return feature_table(settings, counts, lambda event: None, time.monotonic(), learners=MAX_LEARNERS)


def _compared(
    candidate: Candidate,
    n_training: int,
    right: NDArray[np.bool_],
    standard: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> _Result:
    """The result of a candidate from the rows that it and the recipe standard predict right."""
    total = weights.sum()
    differences = right.astype(np.float64) - standard
    mean = float(weights @ differences / total)
    error = math.sqrt(float(np.square(weights * (differences - mean)).sum())) / float(total)
    return _Result(candidate, n_training, float(weights @ right / total), mean, error)


def _first_rows(part: Slice, share: float) -> Slice:
    return part_of(part, slice(math.ceil(share * len(part.classes))))


def _weights(part: Slice) -> NDArray[np.float64]:
    return np.ones(len(part.classes)) if part.weights is None else part.weights.astype(np.float64)


def _grouped(candidates: Sequence[Candidate], key: Callable[[Candidate], Hashable]) -> list[list[Candidate]]:
    """Candidates with the same key, in the order of the first of each."""
    groups: dict[Hashable, list[Candidate]] = {}
    for each in candidates:
        groups.setdefault(key(each), []).append(each)
    return list(groups.values())
