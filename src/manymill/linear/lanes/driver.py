"""Iterative parameter mixing: lanes learn from the same state, their states are merged, and again.

::

    state ── broadcast ──► every lane learns its rows of this round          (on the engine)
      ▲                          │ what changed, sparse
      │                          ▼
      └── rule, chosen on ◄── sums in a fixed tree, in lane order            (float64)
          held-out rows

McDonald, Hall and Mann 2010 show why to mix after every round and not once at the end; their scheme is one round a
pass, and the one-shot mixing of Mann et al. 2009 is one round of one pass.

The state of the driver on its way to the workers: what changed round by round, and now and then all of it.
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
from manymill.linear.feature_weights import feature_weights
from manymill.linear.holdout import HashedRows, Holdout
from manymill.linear.lanes.dealing import SharedPlan, class_counts, share
from manymill.linear.lanes.worker import (
    Broadcast,
    CountTask,
    LaneReport,
    LaneTask,
    NewClassesError,
    Work,
    add_counts,
    add_up,
    count_lane,
    forget,
    learn_round,
    read_ahead,
)
from manymill.linear.memory import ClassLimit
from manymill.linear.row_stream import RowMaker, whole
from manymill.linear.settings import Settings
from manymill.linear.state import Arrays, ClassIndex, LinearState, put, taken
from manymill.linear.trainers import Tally
from manymill.metrics import cramers_v

# Rounds whose changes are broadcast one by one before the whole state is again.
_CHANGES = 8


class Broadcasts:
    """What has been broadcast, for workers who may have missed some of it.

    Parameters
    ----------
    engine : Engine
        Where it is published.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.now = Broadcast()

    def change(self, changed: Arrays, whole: Callable[[], Arrays]) -> None:
        """Have the next round start from a state in which these features have new values; ``whole`` gives all of it."""
        if len(self.now.changes) >= _CHANGES:
            self.replace(whole())
            return
        version = self.now.version + 1
        changes = (*self.now.changes, (version, self._engine.publish(changed)))
        self.now = Broadcast(version, self.now.full, changes)

    def replace(self, state: Arrays) -> None:
        """Have the next round start from this state, whatever was broadcast before."""
        version = self.now.version + 1
        published = self._engine.publish(state)
        # Nobody is at work now: every worker loads what it lacks when its next task begins.
        self.withdraw()
        self.now = Broadcast(version, (version, published))

    def withdraw(self) -> None:
        """Take back all that was published."""
        full = () if self.now.full is None else (self.now.full,)
        for _, published in [*full, *self.now.changes]:
            self._engine.withdraw(published)


# Cramér's V of lanes and labels from which on it is worth a word. Interleaved blocks of a sorted source have about 0.1,
# neighbours 1.
_SKEWED = 0.3


class ManyLanes:
    """Several lanes, merged every round.

    Parameters
    ----------
    plan : Plan
        What is read.
    settings : Settings
        How to learn, in how many lanes and rounds, and how to merge.
    engine : Engine
        Where lanes work.
    classes : sequence of str
        The classes as far as they are known: where a lane meets another all labels are counted, and the lanes begin
        anew.
    ledger : Ledger
        Told of the bad rows of the first pass.
    observe : callable
        Called with every event.
    limit : ClassLimit
        Asked before the lanes begin anew with more classes.
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
        self._source = share(plan, engine)
        self._begin(classes)
        if len(self._lanes) < settings.lanes:
            observe(
                Warned(
                    f"{settings.lanes} lanes were asked for, but the source feeds only {len(self._lanes)}: its files "
                    f"cannot be cut further. Give more files, or lines of JSON that are not compressed"
                )
            )

    def _begin(self, classes: Iterable[str]) -> None:
        """Know nothing but the classes."""
        self.index = ClassIndex(classes)
        self.state = LinearState(self._settings, self.index, as_integers=self._plan.labels_are_integers)
        self._holdout = Holdout()
        n_outputs = 1 if len(self.index) <= 2 else len(self.index)
        self._work = Work(
            token=uuid.uuid4().hex,
            source=self._source,
            settings=self._settings,
            classes=self.index.names,
            rules=merging.rules_of(self._settings.merge_used, n_outputs),
        )
        self._lanes = replace(self._work, source=SharedPlan(self._plan)).lanes()
        # Rows of each class in each lane, over all rounds so far.
        self._histograms = np.zeros((len(self._lanes), max(2, len(self.index))), np.int64)
        self._broadcasts = Broadcasts(self._engine)
        self._accuracy: float | None = None  # of the last choice on held-out rows
        # Features of the rows to choose by, and the parts of the held-out rows that are in it.
        self._is_judged = np.zeros(self.state.learner.n_features, np.bool_)
        self._n_judged = 0

    def __enter__(self) -> ManyLanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._source.withdraw(self._engine)

    def _end(self) -> None:
        """Have workers let go of what was learnt, and take back what was published; the plan stays."""
        forget(self._work.token)
        self._broadcasts.withdraw()
        if self._work.feature_weights is not None:
            self._engine.withdraw(self._work.feature_weights)

    @property
    def n_lanes(self) -> int:
        """As many as the source feeds."""
        return len(self._lanes)

    @property
    def n_bad(self) -> int:
        """Bad rows met in the first pass."""
        return self._ledger.n_rejected

    def held_out(self) -> Iterable[HashedRows]:
        """The rows held out of the first pass, in the order of rounds and lanes."""
        return self._holdout

    def rows_of(self, plan: Plan) -> Iterable[HashedRows]:
        """The rows of another plan, read here."""
        maker = RowMaker(self._work.settings.analyzer, None, 1, self.state.feature_weights)
        for part, rows in maker.ahead(whole(batch, self.index) for batch in read(plan) if len(batch)):
            yield rows, part.classes

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Nothing: the weights of classes are known before the first round."""
        return ()

    @property
    def reads_again(self) -> bool:
        """Never: rounds that are merged are told of once."""
        return False

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        needed = {name for name, n_rows in self._plan.class_counts.items() if n_rows}
        if not needed <= set(checkpoint.position.classes):
            raise ValueError("it lacks classes of the plan")
        if checkpoint.position.step > self._lanes.rounds:
            raise ValueError(f"it is of round {checkpoint.position.step} of {self._lanes.rounds}")
        if checkpoint.position.classes != self.index.names:
            self._end()
            self._begin(checkpoint.position.classes)
        if checkpoint.feature_weights is not None:
            self._weigh_by(checkpoint.feature_weights)
        for rows, classes in checkpoint.held_out:
            self._holdout.add(rows, classes)
        put(self.state.learner, checkpoint.state)
        self._broadcasts.replace(checkpoint.state)

    def visit(self, tally: Tally, skip: int, on_step: Callable[[int], None]) -> None:
        """Learn from every row once more, in rounds."""
        try:
            self._rounds(tally, skip, on_step)
        except NewClassesError as error:
            # The plan's sample lacked a class that lanes must agree on: now every label is looked at.
            try:
                counts = class_counts(self._plan, self._engine, check=self._limit.check)
            except MemoryLimitError:
                if not self.state.learner.n_rows_seen:
                    self._learn_known_classes(tally)
                raise
            self._end()
            self._ledger.resume(0, {}, ())
            tally.restore((0, 0, 0.0, 0.0))
            self._begin(counts)
            self._limit.found(len(counts) - len(error.names), error.names)
            self._rounds(tally, 0, on_step)

    def _learn_known_classes(self, tally: Tally) -> None:
        """Learn one round of the rows whose classes are known: what is kept where there is no room for the others."""
        self._end()
        self._source.withdraw(self._engine)
        self._plan = replace(self._plan, dataset=replace(self._plan.dataset, classes=self.index.names))
        self._source = share(self._plan, self._engine)
        self._begin(self.index.names)
        self._weigh()
        self._round(tally, 0)

    def _weigh(self) -> None:
        """Count the features of all lanes and weigh by them, if weights are asked for and not known yet."""
        kind = self._work.settings.feature_weights
        if kind is not None and self._work.feature_weights is None:
            tasks = [CountTask(self._work, lane) for lane in range(len(self._lanes))]
            counted = self._engine.fold(count_lane, tasks, add_counts, keys=range(len(tasks)))[1]
            assert counted is not None
            self._weigh_by(feature_weights(kind, counted))

    def _rounds(self, tally: Tally, skip: int, on_step: Callable[[int], None]) -> None:
        self._weigh()
        for number in range(skip, self._lanes.rounds):
            self._round(tally, number)
            on_step(number + 1)
        if tally.number == 1 and skip == 0:
            self._advise()

    def _advise(self) -> None:
        """Say so if lanes differ in their labels: each then pulls towards its own."""
        v = cramers_v(self._histograms)
        if v < _SKEWED:
            return
        remedy = (
            "its files cannot be cut: mix them, or give lines of JSON that are not compressed"
            if self._settings.interleaved
            else "leave out --contiguous (interleaved=False), so that each gets partitions from all over the source"
        )
        self._observe(
            Warned(f"the lanes differ in their labels (Cramér's V {v:.2f}), which costs accuracy: {remedy}")
        )

    def _weigh_by(self, weights: NDArray[np.float32]) -> None:
        self.state.feature_weights = weights
        self._work = replace(self._work, feature_weights=self._engine.publish({"weights": weights}))

    def _round(self, tally: Tally, number: int) -> None:
        started = time.monotonic()
        n_lanes, rounds = len(self._lanes), self._lanes.rounds
        tasks = [self._task(lane, tally, number) for lane in range(n_lanes)]
        n_done, before = 0, tally.figures()

        def on_done(lane: int, report: LaneReport) -> None:
            nonlocal n_done
            n_done += 1
            self._use_idle(n_done, tally, number)
            tally.add(report)
            self._observe(
                LaneEnded(
                    pass_number=tally.number,
                    round_number=number + 1,
                    lane=lane + 1,
                    lanes=n_lanes,
                    n_rows=report.n_rows,
                    loss=report.loss_sum / report.weight_sum if report.weight_sum else 0.0,
                    seconds=report.seconds,
                )
            )
            if tally.is_due():
                self._observe(tally.progress((number + n_done / n_lanes) / rounds, self._accuracy))

        reports, sums = self._engine.fold(learn_round, tasks, add_up, keys=range(n_lanes), on_done=on_done)
        tally.count_again(before, reports)
        for report in reports:
            self._told(report)
        if sums is None:
            return
        choice = self._merge(sums)
        self._accuracy = choice.accuracy
        self._observe(
            RoundEnded(
                pass_number=tally.number,
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

    def _task(self, lane: int, tally: Tally, number: int) -> LaneTask:
        where = self._where(lane, tally, number)
        return LaneTask(self._work, lane, tally.number - 1, number, self._broadcasts.now, where)

    def _use_idle(self, n_done: int, tally: Tally, number: int) -> None:
        """Have a worker for which a round has no lane left read ahead, for one of the first lanes of the next one."""
        lane = n_done - 1 - max(0, len(self._lanes) - self._engine.width)
        if self._engine.shares_memory and lane >= 0 and number + 1 < self._lanes.rounds:
            self._engine.submit(read_ahead, self._task(lane, tally, number + 1), key=lane)

    def _where(self, lane: int, tally: Tally, number: int) -> str:
        """What a lane's round begins with, for people."""
        plan, blocks = self._lanes.plan, self._lanes.of_round(lane, tally.number - 1, number)
        if not blocks:
            return ""
        block = plan.blocks[blocks[0]]
        return f" (it begins with {plan.files[block.file].path}, {block.start} to {block.stop})"

    def _told(self, report: LaneReport) -> None:
        self._histograms[report.lane] += report.class_rows
        self._ledger.count(report.n_used, dict(report.bad_counts), report.bad)
        for rows, classes in report.held_out:
            self._holdout.add(rows, classes)

    def _merge(self, sums: _core.MergeSums) -> merging.Choice:
        """Take the best of the states that the rules give, and broadcast it."""
        learner = self.state.learner
        rows, classes = self._judged()
        before = _scores(learner, rows)
        candidates = dict.fromkeys(self._work.rules, before)
        if rows:
            # Of each candidate only what the rows to choose by have: the rest would not be looked at.
            part = sums.part(self._is_judged)
            now = taken(learner, part.features())
            for rule in self._work.rules:
                part.merge_into(learner, rule, 1.0)
                candidates[rule] = _scores(learner, rows)
                put(learner, now)
        choice = merging.choose(candidates, before, classes, self._settings.loss, self._settings.merge_used)
        sums.merge_into(learner, choice.rule, choice.step)
        self._broadcasts.change(taken(learner, sums.features()), whole=lambda: taken(learner, learner.met()))
        return choice

    def _judged(self) -> tuple[list[_core.Rows], NDArray[np.int32]]:
        """Held-out rows to choose by: as many of the first ones as take little time."""
        most = max(1, merging.MARGINS // self.state.learner.n_outputs)
        parts, codes, n_rows = [], [np.zeros(0, np.int32)], 0
        for rows, classes in self._holdout:
            if n_rows >= most:
                break
            parts.append(rows)
            codes.append(classes)
            n_rows += len(classes)
            if len(parts) > self._n_judged:
                self._is_judged[rows.arrays()[1]] = True
                self._n_judged += 1
        return parts, np.concatenate(codes)


def _scores(learner: _core.Learner, parts: list[_core.Rows]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros((0, learner.n_outputs), np.float32), *map(learner.scores, parts)])
