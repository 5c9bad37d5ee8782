"""One fit: trees come from the engine or from an earlier run, are scored, written down, reported.

::

    stored trees ──┐
                   ├─► take ─► checkpoint ─► in its turn: score of the trees so far ─► settled? stop
    engine ────────┘

Trees as they are grown: handed out, brought back in order, counted, stopped.

Predictions added up tree by tree: the score of the trees so far, on rows that they have not seen.
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
from manymill.forest.rows import Rows
from manymill.forest.sklearn_fit import Grown, rows_not_drawn
from manymill.forest.tasks import Work
from manymill.metrics import cramers_v


class Task(Protocol):
    """What grows one tree on a worker; it pickles."""

    @property
    def number(self) -> int:
        """Of the tree, from 0."""

    def grow(self) -> Grown:
        """Grow it."""


class Growth:
    """The trees so far; another thread may look.

    The trees that count are those without a gap from the first on: a tree that came before its turn waits. So what
    has been grown when a fit is stopped is what a fit with fewer trees would have grown.

    Parameters
    ----------
    earlier : sequence of Grown
        The first trees.
    """

    def __init__(self, earlier: Sequence[Grown] = ()) -> None:
        self._ahead: dict[int, Grown] = {}
        self._members = list(earlier)
        self._over = False
        self._changing = threading.Lock()

    @property
    def members(self) -> list[Grown]:
        """Those in order, without a gap."""
        with self._changing:
            return list(self._members)

    def add(self, grown: Grown, last: Callable[[Grown], bool]) -> bool:
        """Take a tree, and give whether any more are wanted.

        Parameters
        ----------
        grown : Grown
        last : callable
            Asked for each tree in its turn; the first that it holds for is the last, whatever came before its turn.
        """
        self._ahead[grown.number] = grown
        while not self._over and (member := self._ahead.pop(len(self._members), None)) is not None:
            with self._changing:
                self._members.append(member)
            self._over = last(member)
        return not self._over


def grow(
    tasks: Sequence[Task],
    engine: Engine,
    take: Callable[[Grown], bool],
    *,
    keys: Sequence[int | None] | None = None,
) -> None:
    """Grow the trees of the tasks on an engine, as long as ``take``, which is given each, wants more.

    Parameters
    ----------
    tasks : sequence
    engine : Engine
    take : callable
        Called on this thread, in the order of arrival.
    keys : sequence of int or None, optional
        Which tasks go to the same worker where that is possible.
    """

    def submit(task: Task, key: int | None) -> Future[Grown]:
        return engine.submit(_grow, task, key=key)

    with closing(as_completed_in_window(submit, tasks, keys=keys, window=2 * engine.width)) as coming:
        for _, grown in coming:
            if not take(grown):
                return


def _grow(task: Task) -> Grown:
    return task.grow()


Forest = Callable[[list[Grown]], Any]


class Votes:
    """The votes of trees for rows, and how right they are.

    Parameters
    ----------
    classes : list of ndarray or None
        Of each output; None for regression.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        What is right.
    """

    def __init__(self, classes: list[NDArray[Any]] | None, y: NDArray[Any]) -> None:
        self._classes = classes
        self._y = y.reshape(len(y), -1)
        n_outputs = self._y.shape[1]
        widths = [len(names) for names in classes] if classes else [1] * n_outputs
        self._sums = [np.zeros((len(y), width)) for width in widths]
        self._trees = np.zeros(len(y), np.int64)

    def add(self, predicted: list[NDArray[np.float64]], rows: Any = slice(None)) -> None:
        """Add what one tree (see `predictions`) says of some rows."""
        for total, one in zip(self._sums, predicted, strict=True):
            total[rows] += one
        self._trees[rows] += 1

    def score(self) -> float | None:
        """Accuracy or R² over the rows with a vote; None if there is none."""
        voted = self._trees > 0
        if not voted.any():
            return None
        y = self._y[voted]
        if self._classes is not None:
            right = np.ones(len(y), bool)
            for output, (total, names) in enumerate(zip(self._sums, self._classes, strict=True)):
                right &= names[np.argmax(total[voted], axis=1)] == y[:, output]
            return float(right.mean())
        means = np.hstack(self._sums)[voted] / self._trees[voted, None]
        around = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        errors = ((y - means) ** 2).sum(axis=0)
        return float(np.mean(np.where(around > 0, 1 - errors / np.where(around > 0, around, 1), 0.0)))


def predictions(forest: Any, X: Any, *, classification: bool) -> list[NDArray[np.float64]]:
    """What a forest says of rows, an array of ``(n_rows, n_classes)`` or ``(n_rows, 1)`` for each output."""
    if classification:
        said = forest.predict_proba(X)
        return list(said) if isinstance(said, list) else [said]
    said = np.asarray(forest.predict(X), np.float64).reshape(X.shape[0], -1)
    return [said[:, [output]] for output in range(said.shape[1])]


class OutOfBag:
    """Votes of trees for those rows of their part that they have not drawn.

    Parameters
    ----------
    forest : callable
        Makes a forest of members.
    ensemble : BaseForest
        With ``bootstrap``.
    rows : Rows
        All; labels as ``classes`` has them.
    rows_of : callable
        The rows of the part that a member was grown on, sorted or as a slice.
    classes : list of ndarray or None
    """

    def __init__(
        self,
        forest: Forest,
        ensemble: Any,
        rows: Rows,
        rows_of: Callable[[Grown], Any],
        classes: list[NDArray[Any]] | None,
    ) -> None:
        self._forest, self._ensemble, self._rows, self._rows_of = forest, ensemble, rows, rows_of
        self._classification = classes is not None
        self.votes = Votes(classes, rows.y)

    def add(self, member: Grown) -> float | None:
        """Count a tree's votes; the score of all so far."""
        part = self._rows_of(member)
        numbers = np.arange(len(self._rows))[part] if isinstance(part, slice) else part
        weight = None if self._rows.weight is None else self._rows.weight[part]
        unseen = numbers[rows_not_drawn(self._ensemble, member.tree, len(numbers), weight)]
        if len(unseen):
            said = predictions(
                self._forest([member]), self._rows.X[unseen], classification=self._classification
            )
            self.votes.add(said, unseen)
        return self.votes.score()


class HeldOut:
    """Votes for held-out rows: of all trees, and of those of each partition.

    Parameters
    ----------
    forest : callable
        Makes a forest of members.
    rows : Rows
        Held out; labels as ``classes`` has them.
    classes : list of ndarray or None
    n_parts : int
    """

    def __init__(self, forest: Forest, rows: Rows, classes: list[NDArray[Any]] | None, n_parts: int) -> None:
        self._forest, self.rows, self._classification = forest, rows, classes is not None
        self.votes = Votes(classes, rows.y)
        self.parts = [Votes(classes, rows.y) for _ in range(n_parts)]

    def add(self, member: Grown) -> float | None:
        """Count a tree's votes; the score of all so far."""
        said = predictions(self._forest([member]), self.rows.X, classification=self._classification)
        self.votes.add(said)
        if member.part is not None:
            self.parts[member.part].add(said)
        return self.votes.score()


class Settled:
    """Whether a score has settled: over the last trees it moved by no more than a tolerance."""

    def __init__(self, tol: float, n_trees: int) -> None:
        self._tol, self._n_trees = tol, n_trees
        self._scores: list[float] = []

    def after(self, score: float | None) -> bool:
        """Take the score after one more tree."""
        if score is None:
            return False
        self._scores = [*self._scores[-self._n_trees :], score]
        return len(self._scores) > self._n_trees and max(self._scores) - min(self._scores) <= self._tol


def can_score_out_of_bag(ensemble: Any) -> bool:
    """Whether it is known of each tree which rows it has not drawn."""
    return not is_bagging(ensemble) and bool(ensemble.bootstrap)


# Cramér's V of partitions and classes from which on it is worth a word; of rows that were shuffled it is about
# sqrt((classes - 1) / rows of a partition).
_SKEWED = 0.3


@dataclass(slots=True, eq=False)
class Scoring:
    """What the trees so far are scored on.

    Parameters
    ----------
    held : HeldOut or None
    oob : OutOfBag or None
    settled : Settled or None
        Asked after each tree; None if growing goes on whatever the score.
    """

    held: HeldOut | None = None
    oob: OutOfBag | None = None
    settled: Settled | None = None

    def take(self, member: Grown) -> bool:
        """Score one more tree; whether it is the last."""
        out_of_bag = None if self.oob is None else self.oob.add(member)
        score = out_of_bag if self.held is None else self.held.add(member)
        return self.settled is not None and self.settled.after(score)


class Fit:
    """A forest that grows; ``forest`` may be asked for at any time, by any thread.

    Parameters
    ----------
    work : Work
    scoring : Scoring
    observe : callable
        Called with each event.
    folder : TreeFolder or None
        Where trees are written as they come.
    """

    def __init__(self, work: Work, scoring: Scoring, observe: Observer, folder: TreeFolder | None) -> None:
        self.work, self.scoring = work, scoring
        self._observe, self._folder = observe, folder
        self._growth = Growth(work.earlier)
        self._start = time.perf_counter()
        self.settled = self.interrupted = False

    @property
    def members(self) -> list[Grown]:
        """The trees so far, in order."""
        return self._growth.members

    def run(self, engine: Engine) -> None:
        """Grow what is to grow; Ctrl-C ends it with the trees so far.

        Raises
        ------
        KeyboardInterrupt
            If there is no tree yet.
        """
        for member in self.work.earlier:
            self.scoring.take(member)
        there = self._stored()
        if self.settled:
            return
        left = [
            pair for pair in zip(self.work.tasks, self.work.keys, strict=True) if pair[0].number not in there
        ]
        try:
            grow([task for task, _ in left], engine, self._arrived, keys=[key for _, key in left])
        except KeyboardInterrupt:
            self.interrupted = True
            if not self.members:
                raise
            self._warn(f"growing was stopped: {len(self.members)} of {self.n_wanted} trees are kept")

    @property
    def n_wanted(self) -> int:
        """Trees there are to be."""
        return len(self.work.earlier) + len(self.work.tasks)

    def report(self, mode: str) -> ForestReport:
        """What came out; says as well what is worth a warning."""
        members, held = self.members, self.scoring.held
        skew = None if self.work.histograms is None else cramers_v(self.work.histograms)
        report = ForestReport(
            mode=mode,
            n_trees=len(members),
            n_nodes=sum(member.n_nodes for member in members),
            n_held_out=0 if held is None else len(held.rows),
            score=None if held is None else held.votes.score(),
            parts=self._parts(members),
            cramers_v=skew,
            settled=self.settled,
            interrupted=self.interrupted,
            seconds=time.perf_counter() - self._start,
        )
        self._warn_of_parts(report)
        told = (
            report.n_trees,
            report.n_nodes,
            report.score,
            report.settled,
            report.interrupted,
            report.seconds,
        )
        self._observe(ForestGrown(*told))
        return report

    def _stored(self) -> set[int]:
        """Take the trees of an earlier run; their numbers."""
        if self._folder is None:
            return set()
        wanted = {task.number for task in self.work.tasks}
        found = self._folder.trees(self.work.ensemble, self._warn)
        stored = [grown for grown in found if grown.number in wanted]
        for grown in stored:
            self._take(grown)
        return {grown.number for grown in stored}

    def _arrived(self, grown: Grown) -> bool:
        # Ctrl-C waits until the tree counts: who stops when a tree is shown keeps that tree.
        with interrupts.defer_interrupts():
            if self._folder is not None:
                self._folder.add(grown)
            part = None if grown.part is None else grown.part + 1
            self._observe(
                TreeGrown(grown.number + 1, self.n_wanted, part, grown.n_nodes, round(grown.seconds, 4))
            )
            return self._take(grown)

    def _take(self, grown: Grown) -> bool:
        more = self._growth.add(grown, self.scoring.take)
        self.settled = self.settled or not more
        return more

    def _parts(self, members: list[Grown]) -> tuple[PartReport, ...]:
        work, held = self.work, self.scoring.held
        trees = np.bincount(
            [member.part for member in members if member.part is not None], minlength=len(work.partitions)
        )
        return tuple(
            PartReport(
                part.n_rows,
                int(trees[part.number]),
                None if held is None else held.parts[part.number].score(),
                () if work.histograms is None else tuple(work.histograms[part.number].tolist()),
            )
            for part in work.partitions
        )

    def _warn_of_parts(self, report: ForestReport) -> None:
        idle = sum(part.n_trees == 0 for part in report.parts)
        if idle and not report.interrupted:
            self._warn(
                f"{idle} of {len(report.parts)} partitions have no tree: nothing is learnt of their rows; "
                "grow more trees, or take fewer partitions"
            )
        if report.cramers_v is not None and report.cramers_v >= _SKEWED:
            self._warn(
                f"the partitions differ in their classes (Cramér's V {report.cramers_v:.2f}), and a forest on "
                'partitions is not one on all rows: take mode="patches", which draws rows from all of them, '
                "or shuffle the rows"
            )

    def _warn(self, message: str) -> None:
        warnings.warn(message, ForestWarning, stacklevel=5)
        self._observe(Warned(message))


def scoring_of(
    work: Work, rows: Rows, held: Rows | None, *, tol: float, n_trees: int, early: bool, oob: bool
) -> Scoring:
    """What the trees of a fit are scored on.

    Parameters
    ----------
    work : Work
    rows : Rows
        That trees are grown on, with labels as they were given.
    held : Rows or None
        Rows to score with, labels likewise.
    tol, n_trees
        See `Settled`.
    early : bool
        Whether growing stops when the score has settled.
    oob : bool
        Whether votes out of bag are wanted, whatever ``early`` says.

    Raises
    ------
    SettingsError
        If growing is to stop early, and there are no rows that a tree has not seen.
    """
    can = can_score_out_of_bag(work.ensemble)
    if ((early and held is None) or oob) and not can:
        raise SettingsError(
            f"{type(work.ensemble).__name__} does not tell which rows its trees have not drawn",
            "give validation=(X, y) or validation_fraction, or a forest with bootstrap=True",
        )
    classes = work.classes
    scored = None if held is None else HeldOut(work.forest, held, classes, len(work.partitions))
    bag = None
    if oob or (early and held is None):
        bag = OutOfBag(work.forest, work.ensemble, Rows(rows.X, rows.y, work.weight), work.rows_of, classes)
    return Scoring(scored, bag, Settled(tol, n_trees) if early else None)
