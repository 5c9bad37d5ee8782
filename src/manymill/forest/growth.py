"""Run one forest fit: trees from the engine or from a checkpoint are scored, checkpointed and reported.

::

    checkpoint ──┐
                 ├─► write checkpoint ─► in order of the trees: update the score ─► converged? stop
    engine ──────┘
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manymill.engine import interrupts
from manymill.engine.base import Engine, as_completed_in_window
from manymill.errors import SettingsError
from manymill.events import ForestGrown, Observer, TreeGrown, Warned
from manymill.forest.checkpoints import TreeFolder
from manymill.forest.parameters import is_bagging
from manymill.forest.reports import ForestReport, ForestWarning, PartReport
from manymill.forest.rows import TrainingRows
from manymill.forest.sklearn_fit import GrownTree
from manymill.forest.sklearn_private import rows_not_drawn
from manymill.forest.tasks import GrowthPlan
from manymill.metrics import cramers_v

# Cramér's V of partitions and classes from which on the fit warns; for shuffled rows it is about
# sqrt((classes - 1) / rows of a partition).
_SKEWED = 0.3

ForestFactory = Callable[[list[GrownTree]], Any]


class ForestFit:
    """One fit of a forest; other threads may read `members` at any time.

    Parameters
    ----------
    plan : GrowthPlan
    scoring : ForestScoring
    observe : callable
        Called with each event.
    folder : TreeFolder or None
        Checkpoint of the trees.
    """

    def __init__(
        self, plan: GrowthPlan, scoring: ForestScoring, observe: Observer, folder: TreeFolder | None
    ) -> None:
        self.plan, self.scoring = plan, scoring
        self._observe, self._folder = observe, folder
        self._trees = OrderedTrees(plan.earlier)
        self._start = time.perf_counter()
        self.converged = self.interrupted = False

    @property
    def members(self) -> list[GrownTree]:
        """The trees so far, in order."""
        return self._trees.members

    @property
    def n_trees(self) -> int:
        """Number of trees of the complete forest."""
        return len(self.plan.earlier) + len(self.plan.tasks)

    def run(self, engine: Engine) -> None:
        """Grow the missing trees; Ctrl-C stops the fit with the trees so far.

        Raises
        ------
        KeyboardInterrupt
            If there is no tree yet.
        """
        for member in self.plan.earlier:
            self.scoring.add(member)
        stored = self._read_checkpoint()
        if self.converged:
            return
        missing = [
            pair for pair in zip(self.plan.tasks, self.plan.keys, strict=True) if pair[0].number not in stored
        ]
        tasks, keys = [task for task, _ in missing], [key for _, key in missing]
        try:
            grow_trees(tasks, engine, self._receive, keys=keys)
        except KeyboardInterrupt:
            self.interrupted = True
            if not self.members:
                raise
            self._warn(f"the fit was interrupted: the forest has {len(self.members)} of {self.n_trees} trees")

    def report(self, mode: str) -> ForestReport:
        """Report on the fit, and warn of what is wrong with its partitions."""
        members, held_out = self.members, self.scoring.held_out
        counts = self.plan.class_counts
        report = ForestReport(
            mode=mode,
            n_trees=len(members),
            n_nodes=sum(member.n_nodes for member in members),
            n_held_out=0 if held_out is None else len(held_out.rows),
            score=None if held_out is None else held_out.sums.score(),
            parts=self._report_partitions(members),
            cramers_v=None if counts is None else cramers_v(counts),
            settled=self.converged,
            interrupted=self.interrupted,
            seconds=time.perf_counter() - self._start,
        )
        self._warn_of_partitions(report)
        self._observe(
            ForestGrown(
                report.n_trees,
                report.n_nodes,
                report.score,
                report.settled,
                report.interrupted,
                report.seconds,
            )
        )
        return report

    def _read_checkpoint(self) -> set[int]:
        """Add the trees of an earlier run and return their numbers."""
        if self._folder is None:
            return set()
        wanted = {task.number for task in self.plan.tasks}
        trees = self._folder.trees(self.plan.ensemble, self._warn)
        stored = [grown for grown in trees if grown.number in wanted]
        for grown in stored:
            self._add(grown)
        return {grown.number for grown in stored}

    def _receive(self, grown: GrownTree) -> bool:
        # Ctrl-C waits until the tree is added: a user who stops when a tree is shown gets that tree.
        with interrupts.defer_interrupts():
            if self._folder is not None:
                self._folder.add(grown)
            partition = None if grown.partition is None else grown.partition + 1
            seconds = round(grown.seconds, 4)
            self._observe(TreeGrown(grown.number + 1, self.n_trees, partition, grown.n_nodes, seconds))
            return self._add(grown)

    def _add(self, grown: GrownTree) -> bool:
        """Add a tree; whether more are needed."""
        more = self._trees.add(grown, self.scoring.add)
        self.converged = self.converged or not more
        return more

    def _report_partitions(self, members: list[GrownTree]) -> tuple[PartReport, ...]:
        plan, held_out = self.plan, self.scoring.held_out
        trees = np.bincount(
            [member.partition for member in members if member.partition is not None],
            minlength=len(plan.partitions),
        )
        return tuple(
            PartReport(
                partition.n_rows,
                int(trees[partition.number]),
                None if held_out is None else held_out.partition_sums[partition.number].score(),
                () if plan.class_counts is None else tuple(plan.class_counts[partition.number].tolist()),
            )
            for partition in plan.partitions
        )

    def _warn_of_partitions(self, report: ForestReport) -> None:
        unused = sum(part.n_trees == 0 for part in report.parts)
        if unused and not report.interrupted:
            self._warn(
                f"{unused} of {len(report.parts)} partitions have no tree, so their rows are not used; "
                "increase n_estimators or decrease n_partitions"
            )
        if report.cramers_v is not None and report.cramers_v >= _SKEWED:
            self._warn(
                f"the partitions differ in their classes (Cramér's V {report.cramers_v:.2f}), so their forest is "
                'worse than one on all rows; use mode="patches", which draws rows from all partitions, '
                "or shuffle the rows"
            )

    def _warn(self, message: str) -> None:
        warnings.warn(message, ForestWarning, stacklevel=5)
        self._observe(Warned(message))


# ---- tasks and trees


class GrowTask(Protocol):
    """Grows one tree on a worker; can be pickled."""

    @property
    def number(self) -> int:
        """Index of the tree, from 0."""

    def grow(self) -> GrownTree:
        """Grow the tree."""


def grow_trees(
    tasks: Sequence[GrowTask],
    engine: Engine,
    receive: Callable[[GrownTree], bool],
    *,
    keys: Sequence[int | None] | None = None,
) -> None:
    """Run tasks on an engine until all are done or ``receive`` returns false.

    Parameters
    ----------
    tasks : sequence of GrowTask
    engine : Engine
    receive : callable
        Called on this thread with each tree, in the order of arrival; returns whether more trees are needed.
    keys : sequence of int or None, optional
        Tasks with the same key run on the same worker where possible.
    """

    def submit(task: GrowTask, key: int | None) -> Future[GrownTree]:
        return engine.submit(_grow, task, key=key)

    with closing(as_completed_in_window(submit, tasks, keys=keys, window=2 * engine.width)) as results:
        for _, grown in results:
            if not receive(grown):
                return


def _grow(task: GrowTask) -> GrownTree:
    return task.grow()


class OrderedTrees:
    """The trees of a fit, in order and without gaps; other threads may read them.

    A tree that arrives before an earlier one waits for it. So the trees of a fit that is stopped are those of a fit
    with fewer trees.

    Parameters
    ----------
    earlier : sequence of GrownTree
        The first trees.
    """

    def __init__(self, earlier: Sequence[GrownTree] = ()) -> None:
        self._waiting: dict[int, GrownTree] = {}
        self._members = list(earlier)
        self._complete = False
        self._lock = threading.Lock()

    @property
    def members(self) -> list[GrownTree]:
        """The trees up to the first gap."""
        with self._lock:
            return list(self._members)

    def add(self, grown: GrownTree, is_last: Callable[[GrownTree], bool]) -> bool:
        """Add a tree and return whether more are needed.

        Parameters
        ----------
        grown : GrownTree
        is_last : callable
            Called with each tree in order; the first tree for which it returns true is the last one, even if later
            trees have arrived.
        """
        self._waiting[grown.number] = grown
        while not self._complete and (member := self._waiting.pop(len(self._members), None)) is not None:
            with self._lock:
                self._members.append(member)
            self._complete = is_last(member)
        return not self._complete


# ---- scores


@dataclass(slots=True, eq=False)
class ForestScoring:
    """Scores of the trees so far.

    Parameters
    ----------
    held_out : HeldOutScorer or None
    out_of_bag : OutOfBagScorer or None
    convergence : Convergence or None
        None without early stopping.
    """

    held_out: HeldOutScorer | None = None
    out_of_bag: OutOfBagScorer | None = None
    convergence: Convergence | None = None

    def add(self, member: GrownTree) -> bool:
        """Add one more tree to the scores; whether they have converged."""
        score = None if self.out_of_bag is None else self.out_of_bag.add(member)
        if self.held_out is not None:
            score = self.held_out.add(member)
        return self.convergence is not None and self.convergence.add(score)


def plan_scoring(
    plan: GrowthPlan,
    rows: TrainingRows,
    held_out: TrainingRows | None,
    *,
    tol: float,
    n_trees: int,
    early_stopping: bool,
    out_of_bag: bool,
) -> ForestScoring:
    """Decide which scores of the trees to compute.

    Parameters
    ----------
    plan : GrowthPlan
    rows : TrainingRows
        Rows that trees are grown on, with the original labels.
    held_out : TrainingRows or None
        Rows to score with, with the original labels.
    tol, n_trees
        See `Convergence`.
    early_stopping : bool
        Whether the fit stops when the score has converged.
    out_of_bag : bool
        Whether to compute the out-of-bag score in any case.

    Raises
    ------
    SettingsError
        If an out-of-bag score is needed, and the ensemble has none.
    """
    needs_out_of_bag = out_of_bag or (early_stopping and held_out is None)
    if needs_out_of_bag and not can_score_out_of_bag(plan.ensemble):
        raise SettingsError(
            f"the out-of-bag score of {type(plan.ensemble).__name__} cannot be computed: it does not tell which rows "
            "its trees have not drawn",
            "give validation=(X, y) or validation_fraction, or a forest with bootstrap=True",
        )
    classes = plan.classes
    scoring = ForestScoring()
    if held_out is not None:
        scoring.held_out = HeldOutScorer(plan.forest, held_out, classes, len(plan.partitions))
    if needs_out_of_bag:
        weighted = TrainingRows(rows.X, rows.y, plan.weight)
        scoring.out_of_bag = OutOfBagScorer(plan.forest, plan.ensemble, weighted, plan.rows_of, classes)
    if early_stopping:
        scoring.convergence = Convergence(tol, n_trees)
    return scoring


def can_score_out_of_bag(ensemble: Any) -> bool:
    """Whether the rows that a tree has not drawn can be computed."""
    return not is_bagging(ensemble) and bool(ensemble.bootstrap)


class Convergence:
    """Whether a score has converged: over the last trees it changed by no more than a tolerance."""

    def __init__(self, tol: float, n_trees: int) -> None:
        self._tol, self._n_trees = tol, n_trees
        self._scores: list[float] = []

    def add(self, score: float | None) -> bool:
        """Add the score after one more tree; whether it has converged."""
        if score is None:
            return False
        self._scores = [*self._scores[-self._n_trees :], score]
        return len(self._scores) > self._n_trees and max(self._scores) - min(self._scores) <= self._tol


class PredictionSums:
    """Sums of the predictions of trees, and the score of their mean.

    Parameters
    ----------
    classes : list of ndarray or None
        Of each output; None for regression.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        True labels or targets.
    """

    def __init__(self, classes: list[NDArray[Any]] | None, y: NDArray[Any]) -> None:
        self._classes = classes
        self._y = y.reshape(len(y), -1)
        n_outputs = self._y.shape[1]
        widths = [len(names) for names in classes] if classes else [1] * n_outputs
        self._sums = [np.zeros((len(y), width)) for width in widths]
        self._n_trees = np.zeros(len(y), np.int64)

    def add(self, predicted: list[NDArray[np.float64]], rows: Any = slice(None)) -> None:
        """Add what one tree predicts (see `predict_outputs`) for some rows."""
        for total, one in zip(self._sums, predicted, strict=True):
            total[rows] += one
        self._n_trees[rows] += 1

    def score(self) -> float | None:
        """Accuracy or R² over the rows with a prediction; None if there are none."""
        known = self._n_trees > 0
        if not known.any():
            return None
        y = self._y[known]
        if self._classes is not None:
            correct = np.ones(len(y), bool)
            for output, (total, names) in enumerate(zip(self._sums, self._classes, strict=True)):
                correct &= names[np.argmax(total[known], axis=1)] == y[:, output]
            return float(correct.mean())
        means = np.hstack(self._sums)[known] / self._n_trees[known, None]
        variance = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        errors = ((y - means) ** 2).sum(axis=0)
        return float(np.mean(np.where(variance > 0, 1 - errors / np.where(variance > 0, variance, 1), 0.0)))


def predict_outputs(forest: Any, X: Any, *, classification: bool) -> list[NDArray[np.float64]]:
    """Predictions for each output: probabilities ``(n_rows, n_classes)``, or values ``(n_rows, 1)``."""
    if classification:
        predicted = forest.predict_proba(X)
        return list(predicted) if isinstance(predicted, list) else [predicted]
    predicted = np.asarray(forest.predict(X), np.float64).reshape(X.shape[0], -1)
    return [predicted[:, [output]] for output in range(predicted.shape[1])]


class OutOfBagScorer:
    """Score trees on the rows of their sample's source that they have not drawn.

    Parameters
    ----------
    forest : callable
        Makes a forest of members.
    ensemble : BaseForest
        With ``bootstrap``.
    rows : TrainingRows
        All rows, with the original labels and the weights that trees use.
    rows_of : callable
        The rows that a member draws its sample from, sorted or as a slice.
    classes : list of ndarray or None
    """

    def __init__(
        self,
        forest: ForestFactory,
        ensemble: Any,
        rows: TrainingRows,
        rows_of: Callable[[GrownTree], Any],
        classes: list[NDArray[Any]] | None,
    ) -> None:
        self._forest, self._ensemble, self._rows, self._rows_of = forest, ensemble, rows, rows_of
        self._classification = classes is not None
        self.sums = PredictionSums(classes, rows.y)

    def add(self, member: GrownTree) -> float | None:
        """Add the predictions of a tree and return the score so far."""
        source = self._rows_of(member)
        indices = np.arange(len(self._rows))[source] if isinstance(source, slice) else source
        weight = None if self._rows.weight is None else self._rows.weight[source]
        unseen = indices[rows_not_drawn(self._ensemble, member.tree, len(indices), weight)]
        if len(unseen):
            forest, X = self._forest([member]), self._rows.X[unseen]
            self.sums.add(predict_outputs(forest, X, classification=self._classification), unseen)
        return self.sums.score()


class HeldOutScorer:
    """Score all trees, and those of each partition, on held-out rows.

    Parameters
    ----------
    forest : callable
        Makes a forest of members.
    rows : TrainingRows
        Held-out rows, with the original labels.
    classes : list of ndarray or None
    n_partitions : int
    """

    def __init__(
        self,
        forest: ForestFactory,
        rows: TrainingRows,
        classes: list[NDArray[Any]] | None,
        n_partitions: int,
    ) -> None:
        self._forest, self.rows, self._classification = forest, rows, classes is not None
        self.sums = PredictionSums(classes, rows.y)
        self.partition_sums = [PredictionSums(classes, rows.y) for _ in range(n_partitions)]

    def add(self, member: GrownTree) -> float | None:
        """Add the predictions of a tree and return the score so far."""
        predicted = predict_outputs(self._forest([member]), self.rows.X, classification=self._classification)
        self.sums.add(predicted)
        if member.partition is not None:
            self.partition_sums[member.partition].add(predicted)
        return self.sums.score()
