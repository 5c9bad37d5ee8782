"""Trainers: the interface of the training loop, the sequential trainer, and the statistics of a pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from manymill import _core
from manymill.data.dataset import Plan
from manymill.engine import interrupts
from manymill.errors import RunFolderError
from manymill.events import PROGRESS_SECONDS, Observer, PassEnded, Progress
from manymill.linear.checkpoints import Checkpoint
from manymill.linear.feature_weights import fit_feature_weights
from manymill.linear.holdout import HashedRows, HoldoutMetrics, measure
from manymill.linear.memory import resident_bytes
from manymill.linear.row_stream import FeatureBatch, Lane
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState, load_state

# Time between two measurements on held-out rows within a pass.
MEASURE_SECONDS = 3.0


class LearnStats(Protocol):
    """Statistics of learnt rows, such as ``LearnStats`` of the core."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def weight_sum(self) -> float:
        """Sum of their weights."""

    @property
    def loss_sum(self) -> float:
        """Sum of weight times loss."""

    @property
    def n_correct(self) -> int:
        """Number of rows predicted correctly."""


class PassStats:
    """Statistics of one pass: rows, loss, accuracy and time.

    Parameters
    ----------
    number, passes : int
        Number of this pass, from 1, and maximum number of passes.
    source_bytes : int
        Bytes that a pass reads.
    """

    def __init__(self, number: int, passes: int, source_bytes: int) -> None:
        self.number, self._passes, self._source_bytes = number, passes, source_bytes
        self._start = self._shown = time.monotonic()
        self.n_rows, self._n_correct, self._loss, self._weight = 0, 0, 0.0, 0.0
        self._recent = (0, 0, 0.0, 0.0)

    def add(self, stats: LearnStats) -> None:
        """Add the statistics of learnt rows."""
        self.n_rows += stats.n_rows
        self._n_correct += stats.n_correct
        self._loss += stats.loss_sum
        self._weight += stats.weight_sum

    def add_in_order(self, start: Sequence[float], stats: Iterable[LearnStats]) -> None:
        """Reset to earlier sums and add the statistics in this order: another order changes the last bits."""
        self._set_sums(start)
        for each in stats:
            self.add(each)

    def restore(self, sums: Sequence[float]) -> None:
        """Continue from the sums of a checkpoint."""
        self._set_sums(sums)
        self._recent = self.sums()

    def _set_sums(self, sums: Sequence[float]) -> None:
        n_rows, n_correct, self._loss, self._weight = sums
        self.n_rows, self._n_correct = int(n_rows), int(n_correct)

    def sums(self) -> tuple[int, int, float, float]:
        """The running sums: rows, correct rows, weighted loss and weight."""
        return self.n_rows, self._n_correct, self._loss, self._weight

    def restart(self) -> None:
        """Restart the clock: what was done before was no part of the pass."""
        self._start = self._shown = time.monotonic()

    def is_due(self) -> bool:
        """Whether the next progress event is due."""
        return time.monotonic() - self._shown >= PROGRESS_SECONDS

    def progress(self, share: float, holdout_accuracy: float | None) -> Progress:
        """A progress event; ``share`` of the pass is finished."""
        now = time.monotonic()
        seconds = now - self._start
        rows, correct, loss, weight = (a - b for a, b in zip(self.sums(), self._recent, strict=True))
        self._recent, self._shown = self.sums(), now
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

    def ended(self, n_bad: int, metrics: HoldoutMetrics, *, kept: bool) -> PassEnded:
        """The event of the finished pass."""
        return PassEnded(
            pass_number=self.number,
            n_rows=self.n_rows,
            n_bad=n_bad,
            loss=self._loss / self._weight if self._weight else 0.0,
            accuracy=self._n_correct / self.n_rows if self.n_rows else 0.0,
            holdout_rows=metrics.n_rows,
            holdout_loss=metrics.loss,
            holdout_accuracy=metrics.accuracy,
            kept=kept,
            seconds=time.monotonic() - self._start,
        )


class Trainer(Protocol):
    """Trains a state on all rows, pass by pass."""

    @property
    def index(self) -> ClassIndex:
        """The classes found so far."""

    @property
    def state(self) -> LinearState | None:
        """The trained state; None before the first row."""

    @property
    def n_bad(self) -> int:
        """Bad rows of the first pass."""

    @property
    def n_lanes(self) -> int:
        """Number of lanes."""

    def run_pass(self, pass_stats: PassStats, skip: int, on_step: Callable[[int], None]) -> None:
        """Learn every row once.

        Parameters
        ----------
        pass_stats : PassStats
            Collects the statistics.
        skip : int
            Steps of this pass that the resumed training has finished.
        on_step : callable
            Called with the number of finished steps of the pass, whenever a checkpoint is possible.

        Raises
        ------
        FloatingPointError
            If the weights diverge.
        """

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint."""

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Rows of each class, for balanced weights."""

    @property
    def rereads_first_pass(self) -> bool:
        """Whether a resumed training reads the first pass again, with its bad rows."""

    def held_out(self) -> Iterable[HashedRows]:
        """The held-out rows."""

    def hash_plan(self, plan: Plan) -> Iterable[HashedRows]:
        """The rows of another plan, with their classes; -1 for an unknown class."""


class SequentialTrainer:
    """Trains on all rows in one stream, in the order given by the plan and the seed."""

    def __init__(self, plan: Plan, settings: Settings, lane: Lane, observe: Observer) -> None:
        self._plan, self._settings, self._lane, self._observe = plan, settings, lane, observe
        self.state: LinearState | None = None
        self._next_holdout_accuracy = time.monotonic() + MEASURE_SECONDS
        self._last_accuracy: float | None = None

    @property
    def index(self) -> ClassIndex:
        """The classes found so far."""
        return self._lane.index

    @property
    def n_lanes(self) -> int:
        """One."""
        return 1

    @property
    def n_bad(self) -> int:
        """Bad rows of the first pass."""
        return self._lane.n_bad

    def held_out(self) -> Iterable[HashedRows]:
        """The rows held out in the first pass."""
        return self._lane.holdout

    def hash_plan(self, plan: Plan) -> Iterable[HashedRows]:
        """The rows of another plan."""
        return self._lane.hash_plan(plan)

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Rows of each class, for balanced weights."""
        return self._lane.class_rows

    @property
    def rereads_first_pass(self) -> bool:
        """Whether rows are cached, which a resumed training has to repeat."""
        return self._lane.caches_rows

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint."""
        position = checkpoint.position
        known = tuple(self._lane.index.names)
        if position.classes[: len(known)] != known:
            raise ValueError("its classes differ from those of the plan")
        if self._lane.caches_rows:
            # The lane will read the first pass again and number the classes in the same way.
            index = ClassIndex.in_order(position.classes)
            if checkpoint.table is not None:
                self._lane.use_table(checkpoint.table)
        else:
            self._lane.restore(
                position.classes,
                position.class_rows,
                checkpoint.held_out,
                first=position.pass_number == 1 and checkpoint.table is None,
                table=checkpoint.table,
            )
            index = self._lane.index
        self.state = self._new_state(index, checkpoint.table, position.n_classes_at_start)
        load_state(self.state.learner, checkpoint.state)

    def _new_state(
        self,
        index: ClassIndex,
        table: _core.FeatureTable | None = None,
        n_classes_at_start: int | None = None,
    ) -> LinearState:
        integers = self._plan.labels_are_integers
        return LinearState(
            self._settings,
            index,
            as_integers=integers,
            table=self._lane.table if table is None else table,
            n_classes_at_start=n_classes_at_start,
        )

    def run_pass(self, pass_stats: PassStats, skip: int, on_step: Callable[[int], None]) -> None:
        """Learn every row once."""
        if self._settings.feature_weights is not None and self._lane.table is None:
            fit_feature_weights(self._lane, self._settings, self._observe)
            pass_stats.restart()

        def on_window(number: int) -> None:
            # Settle after every window, since the model must not depend on when checkpoints are written.
            if self.state is not None:
                self.state.make_room(len(self._lane.index))
                self.state.learner.settle()
            on_step(number)

        # Cached rows are few: repeating the pass is cheaper than checkpoints.
        self._lane.on_window = (lambda number: None) if self._lane.caches_rows else on_window
        for batch in self._lane.feature_batches(pass_stats.number - 1, skip):
            interrupts.raise_if_requested()
            pass_stats.add(self._learn(batch))
            if pass_stats.is_due():
                self._observe(pass_stats.progress(batch.share, self._holdout_accuracy()))
        if self.state is not None:
            if self.state.index.names != self._lane.index.names:
                raise RunFolderError(
                    "the classes of the checkpoint differ from those of the source",
                    "remove the folder of the checkpoint to train from the beginning",
                )
            self.state.learner.settle()

    def _learn(self, batch: FeatureBatch) -> _core.LearnStats:
        if self.state is None:
            self.state = self._new_state(self._lane.index)
        self.state.make_room(batch.n_classes)
        return self.state.learner.learn(batch.rows, batch.classes, batch.weights)

    def _holdout_accuracy(self) -> float | None:
        """The last accuracy on the rows held out so far; measuring takes at most a twentieth of the time."""
        start = time.monotonic()
        if start >= self._next_holdout_accuracy and self.state is not None:
            metrics = measure(self._lane.holdout, self.state.learner, self._settings.value_of("loss"))
            end = time.monotonic()
            self._next_holdout_accuracy = end + max(MEASURE_SECONDS, 20 * (end - start))
            self._last_accuracy = metrics.accuracy
        return self._last_accuracy
