"""One fit: trees come from the engine or from an earlier run, are scored, written down, reported.

::

    stored trees ──┐
                   ├─► take ─► checkpoint ─► in its turn: score of the trees so far ─► settled? stop
    engine ────────┘
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np

from manymill.engine import interrupts
from manymill.engine.base import Engine
from manymill.errors import SettingsError
from manymill.events import ForestGrown, Observer, TreeGrown, Warned
from manymill.forest.checkpoints import TreeFolder
from manymill.forest.growing import Growth, grow
from manymill.forest.grown import Grown
from manymill.forest.preparing import Work
from manymill.forest.reports import ForestReport, ForestWarning, PartReport
from manymill.forest.rows import Rows
from manymill.forest.votes import HeldOut, OutOfBag, Settled, can_score_out_of_bag
from manymill.metrics import cramers_v

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
        with interrupts.deferred():
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
