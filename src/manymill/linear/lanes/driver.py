"""Driver of lanes: iterative parameter mixing, in which lanes train from the same state and are merged every round.

::

    state ── broadcast ──► every lane learns its rows of this round          (on the engine)
      ▲                          │ sparse changes
      │                          ▼
      └── rule, chosen on ◄── sums in a fixed tree, in lane order            (float64)
          held-out rows

McDonald, Hall and Mann 2010 show why to mix after every round and not once at the end: their scheme is one round per
pass. The one-shot mixing of Mann et al. 2009 is one round of one pass.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.data.reader import read
from manymill.engine.base import Engine
from manymill.errors import MemoryLimitError
from manymill.events import LaneEnded, Observer, RoundEnded, Warned
from manymill.linear import merging
from manymill.linear.checkpoints import Checkpoint
from manymill.linear.feature_weights import feature_table
from manymill.linear.holdout import HashedRows, Holdout
from manymill.linear.lanes.dealing import SharedPlan, class_counts, publish_plan
from manymill.linear.lanes.worker import (
    Broadcast,
    CountTask,
    LaneJob,
    LaneReport,
    LaneTask,
    NewClassesError,
    combine_counts,
    combine_sums,
    count_lane,
    evict,
    learn_round,
    prefetch_round,
)
from manymill.linear.memory import ClassLimit
from manymill.linear.row_stream import SliceHasher, all_rows
from manymill.linear.settings import Settings
from manymill.linear.state import Arrays, ClassIndex, LinearState, dump_state, dump_table, load_state
from manymill.linear.trainers import PassStats
from manymill.metrics import cramers_v

# Maximum number of broadcast changes before the full state is broadcast again.
_MAX_CHANGES = 8

# Cramér's V of lanes and labels that causes a warning: interleaved blocks of a sorted source have about 0.1,
# neighbouring blocks 1.
_SKEWED = 0.3


class Broadcasts:
    """Publishes the driver's state: the changes of each round, and from time to time the full state.

    Parameters
    ----------
    engine : Engine
        Engine to publish on.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.current = Broadcast()

    def change(self, changed: Arrays, full_state: Callable[[], Arrays]) -> None:
        """Broadcast the new values of changed features, or the result of ``full_state``."""
        if len(self.current.changes) >= _MAX_CHANGES:
            self.replace(full_state())
            return
        version = self.current.version + 1
        changes = (*self.current.changes, (version, self._engine.publish(changed)))
        self.current = Broadcast(version, self.current.full, changes)

    def replace(self, state: Arrays) -> None:
        """Broadcast a full state."""
        version = self.current.version + 1
        published = self._engine.publish(state)
        # No task is running; workers load the state with their next task.
        self.withdraw()
        self.current = Broadcast(version, (version, published))

    def withdraw(self) -> None:
        """Withdraw everything that was published."""
        full = () if self.current.full is None else (self.current.full,)
        for _, published in [*full, *self.current.changes]:
            self._engine.withdraw(published)


class LaneTrainer:
    """Trains in several lanes that are merged every round.

    Parameters
    ----------
    plan : Plan
        Data to read.
    settings : Settings
        Parameters of the training, with lanes, rounds and merge rule.
    engine : Engine
        Engine that runs the lanes.
    classes : sequence of str
        The known classes. If a lane finds another class, all labels are counted and the lanes start again.
    ledger : Ledger
        Records the bad rows of the first pass.
    observe : callable
        Called with every event.
    limit : ClassLimit
        Memory limit, checked before the lanes start again with more classes.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        engine: Engine,
        *,
        classes: Sequence[str],
        ledger: Ledger,
        observe: Observer,
        limit: ClassLimit,
    ) -> None:
        self._plan, self._settings, self._engine = plan, settings, engine
        self._ledger, self._observe, self._limit = ledger, observe, limit
        self._source = publish_plan(plan, engine)
        self._start(classes)
        if len(self._lanes) < settings.lanes:
            observe(
                Warned(
                    f"{settings.lanes} lanes were requested, but the source has blocks for only {len(self._lanes)}: "
                    f"its files cannot be split further. Give more files, or uncompressed JSON lines"
                )
            )

    def _start(self, classes: Iterable[str]) -> None:
        """Start with an untrained state of these classes."""
        self.index = ClassIndex(classes)
        self._new_state(None)
        self._holdout = Holdout()
        n_outputs = 1 if len(self.index) <= 2 else len(self.index)
        self._job = LaneJob(
            token=uuid.uuid4().hex,
            source=self._source,
            settings=self._settings,
            classes=self.index.names,
            rules=merging.rules_of(self._settings.merge_used, n_outputs),
        )
        self._lanes = replace(self._job, source=SharedPlan(self._plan)).lanes()
        # Rows of each class in each lane so far.
        self._histograms = np.zeros((len(self._lanes), max(2, len(self.index))), np.int64)
        self._broadcasts = Broadcasts(self._engine)
        self._accuracy: float | None = None  # on held-out rows after the last round

    def __enter__(self) -> LaneTrainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()
        self._source.withdraw(self._engine)

    def _release(self) -> None:
        """Drop the caches of workers and withdraw everything but the plan."""
        evict(self._job.token)
        self._broadcasts.withdraw()
        if self._job.table is not None:
            self._engine.withdraw(self._job.table)

    @property
    def n_lanes(self) -> int:
        """Number of lanes, limited by the blocks of the source."""
        return len(self._lanes)

    @property
    def n_bad(self) -> int:
        """Bad rows of the first pass."""
        return self._ledger.n_rejected

    def held_out(self) -> Iterable[HashedRows]:
        """The rows held out in the first pass, in the order of rounds and lanes."""
        return self._holdout

    def hash_plan(self, plan: Plan) -> Iterable[HashedRows]:
        """The rows of another plan, read in this process."""
        hasher = SliceHasher(self._job.settings.analyzer, None, 1, self.state.table)
        for part, rows in hasher.hash_all(all_rows(batch, self.index) for batch in read(plan) if len(batch)):
            yield rows, part.classes

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Empty: class weights are known before the first round."""
        return ()

    @property
    def rereads_first_pass(self) -> bool:
        """False: the bad rows of merged rounds are recorded."""
        return False

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint."""
        planned = {name for name, n_rows in self._plan.class_counts.items() if n_rows}
        if not planned <= set(checkpoint.position.classes):
            raise ValueError("classes of the plan are missing")
        if checkpoint.position.step > self._lanes.rounds:
            raise ValueError(f"its round {checkpoint.position.step} is greater than {self._lanes.rounds}")
        if checkpoint.position.classes != self.index.names:
            self._release()
            self._start(checkpoint.position.classes)
        if checkpoint.table is not None:
            self._use_table(checkpoint.table)
        for rows, classes in checkpoint.held_out:
            self._holdout.add(rows, classes)
        load_state(self.state.learner, checkpoint.state)
        self._broadcasts.replace(checkpoint.state)

    def run_pass(self, pass_stats: PassStats, skip: int, on_step: Callable[[int], None]) -> None:
        """Learn every row once, in rounds."""
        try:
            self._run_rounds(pass_stats, skip, on_step)
        except NewClassesError as error:
            # The lanes must agree on all classes: count every label, since the plan's sample lacked a class.
            try:
                counts = class_counts(self._plan, self._engine, check=self._limit.check)
            except MemoryLimitError:
                if not self.state.learner.n_rows_seen:
                    self._learn_known_classes(pass_stats)
                raise
            self._release()
            self._ledger.resume(0, {}, ())
            pass_stats.restore((0, 0, 0.0, 0.0))
            self._start(counts)
            self._limit.announce(len(counts) - len(error.names), error.names)
            self._run_rounds(pass_stats, 0, on_step)

    def _learn_known_classes(self, pass_stats: PassStats) -> None:
        """Learn the first round with rows of known classes, to have a model if there is no memory for the others."""
        self._release()
        self._source.withdraw(self._engine)
        self._plan = replace(self._plan, dataset=replace(self._plan.dataset, classes=self.index.names))
        self._source = publish_plan(self._plan, self._engine)
        self._start(self.index.names)
        self._fit_feature_weights()
        for number in range(self._lanes.rounds):
            self._round(pass_stats, number)
            if self.state.learner.n_rows_seen:
                return

    def _fit_feature_weights(self) -> None:
        """Count the features of all lanes and apply the weights, if the settings have any and they are not known."""
        if self._job.settings.feature_weights is not None and self._job.table is None:
            started = time.monotonic()
            tasks = [CountTask(self._job, lane) for lane in range(len(self._lanes))]
            counts = self._engine.fold(count_lane, tasks, combine_counts, keys=range(len(tasks)))[1]
            assert counts is not None
            self._use_table(feature_table(self._settings, counts, self._observe, started))

    def _run_rounds(self, pass_stats: PassStats, skip: int, on_step: Callable[[int], None]) -> None:
        self._fit_feature_weights()
        pass_stats.restart()
        for number in range(skip, self._lanes.rounds):
            self._round(pass_stats, number)
            on_step(number + 1)
        if pass_stats.number == 1 and skip == 0:
            self._warn_if_skewed()

    def _warn_if_skewed(self) -> None:
        """Warn if the lanes differ in their labels, since each then learns another distribution."""
        v = cramers_v(self._histograms)
        if v < _SKEWED:
            return
        remedy = (
            "its files cannot be split: shuffle them, or give uncompressed JSON lines"
            if self._settings.interleaved
            else "leave out --contiguous (interleaved=False): each lane then gets partitions from all over the source"
        )
        self._observe(
            Warned(f"the lanes differ in their labels (Cramér's V {v:.2f}), which costs accuracy: {remedy}")
        )

    def _use_table(self, table: _core.FeatureTable) -> None:
        """Start with an untrained state of the features in use."""
        self._new_state(table)
        self._job = replace(self._job, table=self._engine.publish(dump_table(table)))

    def _new_state(self, table: _core.FeatureTable | None) -> None:
        self.state = LinearState(
            self._settings, self.index, as_integers=self._plan.labels_are_integers, table=table
        )
        # Features of the held-out rows that choose the rule, and the number of their parts.
        self._in_selection = np.zeros(self.state.learner.n_features, np.bool_)
        self._n_selected = 0

    def _round(self, pass_stats: PassStats, number: int) -> None:
        started = time.monotonic()
        n_lanes, rounds = len(self._lanes), self._lanes.rounds
        tasks = [self._task(lane, pass_stats, number) for lane in range(n_lanes)]
        n_done, before = 0, pass_stats.sums()

        def on_done(lane: int, report: LaneReport) -> None:
            nonlocal n_done
            n_done += 1
            self._prefetch_if_idle(n_done, pass_stats, number)
            pass_stats.add(report)
            self._observe(
                LaneEnded(
                    pass_number=pass_stats.number,
                    round_number=number + 1,
                    lane=lane + 1,
                    lanes=n_lanes,
                    n_rows=report.n_rows,
                    loss=report.loss_sum / report.weight_sum if report.weight_sum else 0.0,
                    seconds=report.seconds,
                )
            )
            if pass_stats.is_due():
                self._observe(pass_stats.progress((number + n_done / n_lanes) / rounds, self._accuracy))

        reports, sums = self._engine.fold(
            learn_round, tasks, combine_sums, keys=range(n_lanes), on_done=on_done
        )
        pass_stats.add_in_order(before, reports)
        for report in reports:
            self._record_report(report)
        if sums is None:
            return
        choice = self._merge(sums)
        self._accuracy = choice.accuracy
        self._observe(
            RoundEnded(
                pass_number=pass_stats.number,
                round_number=number + 1,
                rounds=rounds,
                rule=choice.rule,
                step=choice.step,
                n_features=len(sums.features()),
                holdout_loss=choice.loss,
                holdout_accuracy=choice.accuracy,
                bytes_out=self._engine.bytes_out,
                bytes_back=self._engine.bytes_back,
                seconds=time.monotonic() - started,
            )
        )

    def _task(self, lane: int, pass_stats: PassStats, number: int) -> LaneTask:
        location = self._location(lane, pass_stats, number)
        return LaneTask(self._job, lane, pass_stats.number - 1, number, self._broadcasts.current, location)

    def _prefetch_if_idle(self, n_done: int, pass_stats: PassStats, number: int) -> None:
        """Let a worker without a lane in this round prefetch for one of the first lanes of the next round."""
        lane = n_done - 1 - max(0, len(self._lanes) - self._engine.width)
        if self._engine.shares_memory and lane >= 0 and number + 1 < self._lanes.rounds:
            self._engine.submit(prefetch_round, self._task(lane, pass_stats, number + 1), key=lane)

    def _location(self, lane: int, pass_stats: PassStats, number: int) -> str:
        """The first file and block of a lane's round, for messages."""
        plan, blocks = self._lanes.plan, self._lanes.of_round(lane, pass_stats.number - 1, number)
        if not blocks:
            return ""
        block = plan.blocks[blocks[0]]
        return f" (it starts with {plan.files[block.file].path}, {block.start} to {block.stop})"

    def _record_report(self, report: LaneReport) -> None:
        self._histograms[report.lane] += report.class_rows
        self._ledger.count(report.n_used, dict(report.bad_counts), report.bad)
        for rows, classes in report.held_out:
            self._holdout.add(rows, classes)

    def _merge(self, sums: _core.MergeSums) -> merging.MergeChoice:
        """Apply the sums by the best rule, and broadcast the new state."""
        learner = self.state.learner
        rows, classes = self._selection()
        before = _scores(learner, rows)
        candidates = dict.fromkeys(self._job.rules, before)
        if rows:
            # Only the features of the selected held-out rows matter for the choice.
            part = sums.part(self._in_selection)
            now = dump_state(learner, part.features())
            for rule in self._job.rules:
                part.merge_into(learner, rule, 1.0)
                candidates[rule] = _scores(learner, rows)
                load_state(learner, now)
        choice = merging.choose(
            candidates, before, classes, self._settings.value_of("loss"), self._settings.merge_used
        )
        sums.merge_into(learner, choice.rule, choice.step)
        # Once, for the rows of all lanes. Workers do the same to features that no lane has met.
        learner.decay(sums.n_rows, len(self._lanes), is_part=False)
        learner.settle()
        self._broadcasts.change(
            dump_state(learner, sums.features()), full_state=lambda: dump_state(learner, learner.met())
        )
        return choice

    def _selection(self) -> tuple[list[_core.Rows], NDArray[np.int32]]:
        """The first held-out rows, as many as are quickly scored, to choose the rule by."""
        most = max(1, merging.MARGINS // self.state.learner.n_outputs)
        parts, codes, n_rows = [], [np.zeros(0, np.int32)], 0
        for rows, classes in self._holdout:
            if n_rows >= most:
                break
            parts.append(rows)
            codes.append(classes)
            n_rows += len(classes)
            if len(parts) > self._n_selected:
                self._in_selection[rows.arrays()[1]] = True
                self._n_selected += 1
        return parts, np.concatenate(codes)


def _scores(learner: _core.Learner, parts: list[_core.Rows]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros((0, learner.n_outputs), np.float32), *map(learner.scores, parts)])
