"""What the training loop needs of whoever learns, and the one that learns with a single lane.

The running figures of a pass: what progress shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.dataset import Plan
from manymill.engine import interrupts
from manymill.errors import RunFolderError
from manymill.events import Observer, PassEnded, Progress
from manymill.linear.checkpoints import Checkpoint
from manymill.linear.feature_weights import weigh
from manymill.linear.holdout import HashedRows, Measured, measure
from manymill.linear.memory import resident_bytes
from manymill.linear.row_stream import Lane, Lesson
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState, put

# Between two records of progress.
PROGRESS_SECONDS = 0.5


class Stats(Protocol):
    """What learning some rows saw: see ``LearnStats`` of the core."""

    @property
    def n_rows(self) -> int:
        """Rows learnt from."""

    @property
    def weight_sum(self) -> float:
        """The sum of their weights."""

    @property
    def loss_sum(self) -> float:
        """The sum of weight times loss."""

    @property
    def n_correct(self) -> int:
        """Rows whose class was predicted."""


class Tally:
    """Rows, loss and time of one pass.

    Parameters
    ----------
    number, passes : int
        This pass, from 1, and how many there will be at most.
    source_bytes : int
        What a pass reads.
    """

    def __init__(self, number: int, passes: int, source_bytes: int) -> None:
        self.number, self._passes, self._source_bytes = number, passes, source_bytes
        self._start = self._shown = time.monotonic()
        self.n_rows, self._n_correct, self._loss, self._weight = 0, 0, 0.0, 0.0
        self._recent = (0, 0, 0.0, 0.0)

    def add(self, stats: Stats) -> None:
        """Count what was learnt."""
        self.n_rows += stats.n_rows
        self._n_correct += stats.n_correct
        self._loss += stats.loss_sum
        self._weight += stats.weight_sum

    def count_again(self, figures: Sequence[float], stats: Iterable[Stats]) -> None:
        """Count what was learnt since the figures in this order: in another the last bits of the sums differ."""
        n_rows, n_correct, self._loss, self._weight = figures
        self.n_rows, self._n_correct = int(n_rows), int(n_correct)
        for each in stats:
            self.add(each)

    def figures(self) -> tuple[float, ...]:
        """The sums so far, for a checkpoint."""
        return self._now()

    def restore(self, figures: Sequence[float]) -> None:
        """Go on from the sums of a checkpoint."""
        n_rows, n_correct, self._loss, self._weight = figures
        self.n_rows, self._n_correct = int(n_rows), int(n_correct)
        self._recent = self._now()

    def _now(self) -> tuple[int, int, float, float]:
        return self.n_rows, self._n_correct, self._loss, self._weight

    def is_due(self) -> bool:
        """Whether the last record of progress is old enough for another."""
        return time.monotonic() - self._shown >= PROGRESS_SECONDS

    def progress(self, share: float, holdout_accuracy: float | None) -> Progress:
        """A record of progress; ``share`` of the pass is over."""
        now = time.monotonic()
        seconds = now - self._start
        rows, correct, loss, weight = (a - b for a, b in zip(self._now(), self._recent, strict=True))
        self._recent, self._shown = self._now(), now
        return Progress(
            pass_number=self.number,
            passes=self._passes,
            share=share,
            n_rows=self.n_rows,
            megabytes_per_second=share * self._source_bytes / 1e6 / seconds,
            rows_per_second=self.n_rows / seconds,
            loss=loss / weight if weight else 0.0,
            accuracy=correct / rows if rows else 0.0,
            holdout_accuracy=holdout_accuracy,
            memory_bytes=resident_bytes(),
            eta_seconds=seconds / max(share, 1e-9) * (self._passes - self.number + 1) - seconds,
        )

    def ended(self, n_bad: int, measured: Measured, *, kept: bool) -> PassEnded:
        """The record of the whole pass."""
        return PassEnded(
            pass_number=self.number,
            n_rows=self.n_rows,
            n_bad=n_bad,
            loss=self._loss / self._weight if self._weight else 0.0,
            accuracy=self._n_correct / self.n_rows if self.n_rows else 0.0,
            holdout_rows=measured.n_rows,
            holdout_loss=measured.loss,
            holdout_accuracy=measured.accuracy,
            kept=kept,
            seconds=time.monotonic() - self._start,
        )


# Between two measurements on held-out rows in mid-pass.
GLANCE_SECONDS = 3.0


class Learning(Protocol):
    """One who visits all rows, pass after pass."""

    @property
    def index(self) -> ClassIndex:
        """The classes met so far."""

    @property
    def state(self) -> LinearState | None:
        """What has been learnt; None before the first row."""

    @property
    def n_bad(self) -> int:
        """Bad rows met in the first pass."""

    @property
    def n_lanes(self) -> int:
        """How many learn side by side."""

    def visit(self, tally: Tally, skip: int, on_step: Callable[[int], None]) -> None:
        """Learn from every row once more.

        Parameters
        ----------
        tally : Tally
            Told what was learnt.
        skip : int
            Steps of this pass that were made before, by a training that this one goes on with.
        on_step : callable
            Told how many steps of the pass are made, whenever the training could go on from there.

        Raises
        ------
        FloatingPointError
            If the weights grow without bound.
        """

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Rows of each class that balanced weights count."""

    @property
    def reads_again(self) -> bool:
        """Whether the first pass is read again, with its bad rows, by a training that goes on."""

    def held_out(self) -> Iterable[HashedRows]:
        """The rows that tell one state from another."""

    def rows_of(self, plan: Plan) -> Iterable[HashedRows]:
        """The rows of another plan; -1 is the class of one that is not learnt."""


class OneLane:
    """All rows in one stream, learnt in the order of the plan and the seed."""

    def __init__(self, plan: Plan, settings: Settings, lane: Lane, observe: Observer) -> None:
        self._plan, self._settings, self._lane, self._observe = plan, settings, lane, observe
        self.state: LinearState | None = None
        self._next_glance = time.monotonic() + GLANCE_SECONDS
        self._glanced: float | None = None

    @property
    def index(self) -> ClassIndex:
        """The classes met so far."""
        return self._lane.index

    @property
    def n_lanes(self) -> int:
        """One."""
        return 1

    @property
    def n_bad(self) -> int:
        """Bad rows met in the first pass."""
        return self._lane.n_bad

    def held_out(self) -> Iterable[HashedRows]:
        """The rows held out of the first pass."""
        return self._lane.holdout

    def rows_of(self, plan: Plan) -> Iterable[HashedRows]:
        """The rows of another plan."""
        return self._lane.other_rows(plan)

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Rows of each class that balanced weights count."""
        return self._lane.class_rows

    @property
    def reads_again(self) -> bool:
        """Whether rows are kept: they are read again."""
        return self._lane.keeps

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        position = checkpoint.position
        known = tuple(self._lane.index.names)
        if position.classes[: len(known)] != known:
            raise ValueError("its classes are not those of the plan")
        if self._lane.keeps:
            # The lane will read the first pass again and number the classes alike.
            index = ClassIndex.in_order(position.classes)
        else:
            weights = checkpoint.feature_weights
            self._lane.restore(
                position.classes,
                position.class_rows,
                checkpoint.held_out,
                first=position.pass_number == 1 and weights is None,
                feature_weights=weights,
            )
            index = self._lane.index
        self.state = self._new_state(index, checkpoint.feature_weights, position.n_classes_begun)
        put(self.state.learner, checkpoint.state)

    def _new_state(
        self,
        index: ClassIndex,
        feature_weights: NDArray[np.float32] | None = None,
        n_classes_begun: int | None = None,
    ) -> LinearState:
        weights = self._lane.feature_weights if feature_weights is None else feature_weights
        integers = self._plan.labels_are_integers
        return LinearState(
            self._settings,
            index,
            as_integers=integers,
            feature_weights=weights,
            n_classes_begun=n_classes_begun,
        )

    def visit(self, tally: Tally, skip: int, on_step: Callable[[int], None]) -> None:
        """Learn from every row once more."""
        kind = self._settings.feature_weights
        if kind is not None and self._lane.feature_weights is None:
            weigh(self._lane, kind, self._settings.analyzer.n_features)

        def on_window(number: int) -> None:
            # Settled after every window, with or without a checkpoint: the model must not depend on when those are.
            if self.state is not None:
                self.state.make_room(len(self._lane.index))
                self.state.learner.settle()
            on_step(number)

        # Rows that are kept are few: to begin the pass anew is cheaper than to write checkpoints.
        self._lane.on_window = (lambda number: None) if self._lane.keeps else on_window
        for lesson in self._lane.lessons(tally.number - 1, skip):
            interrupts.raise_if_requested()
            tally.add(self._learn(lesson))
            if tally.is_due():
                self._observe(tally.progress(lesson.share, self._glance()))
        if self.state is not None:
            if self.state.index.names != self._lane.index.names:
                raise RunFolderError(
                    "the classes of the checkpoint are not those of the source",
                    "remove the folder of the checkpoint to train from the beginning",
                )
            self.state.learner.settle()

    def _learn(self, lesson: Lesson) -> _core.LearnStats:
        if self.state is None:
            self.state = self._new_state(self._lane.index)
        self.state.make_room(lesson.n_classes)
        return self.state.learner.learn(lesson.rows, lesson.classes, lesson.weights)

    def _glance(self) -> float | None:
        """The accuracy on the rows held out so far, measured now and then: it may take a twentieth of the time."""
        start = time.monotonic()
        if start >= self._next_glance and self.state is not None:
            measured = measure(self._lane.holdout, self.state.learner, self._settings.loss)
            end = time.monotonic()
            self._next_glance = end + max(GLANCE_SECONDS, 20 * (end - start))
            self._glanced = measured.accuracy
        return self._glanced
