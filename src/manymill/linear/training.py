"""The training loop: passes over a plan until enough, the best state kept.

In: a plan, settings. Out: calls of ``keep`` with each state that is the best so far; events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.engine import interrupts
from manymill.engine.local import available_threads, workers
from manymill.engine.selection import engine_for
from manymill.errors import MemoryLimitError, PlanError
from manymill.events import Ended, Interrupted, Observer, Resumed, WorkerLost, WorkerSilent
from manymill.linear.checkpoints import Position
from manymill.linear.holdout import HashedRows, Measured, measure
from manymill.linear.lanes.dealing import check_shareable, class_counts
from manymill.linear.lanes.driver import ManyLanes
from manymill.linear.memory import PARAMETERS, ClassLimit, Knobs, peak_memory_bytes
from manymill.linear.recorder import Recorder
from manymill.linear.row_stream import Lane
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState, Snapshot
from manymill.linear.trainers import Learning, OneLane, Tally

# Where nothing is held out and each pass is better than the one before: how much work may be lost to a kill.
KEEP_SECONDS = 10.0

Keep = Callable[[LinearState, int, Measured], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training ended."""

    passes: int
    best_pass: int  # from 1: the one whose state was kept last
    n_rows: int  # learnt from in one pass
    measured: Measured  # the kept state on held-out rows
    interrupted: bool
    refusal: MemoryLimitError | None  # why it ended early, if it needed more memory than was promised
    state: LinearState  # as the last pass left it
    lanes: int  # that learnt side by side


def train(
    plan: Plan,
    settings: Settings,
    *,
    keep: Keep,
    observe: Observer = lambda event: None,
    threads: int | None = None,
    ledger: Ledger | None = None,
    holdout: Plan | None = None,
    classes: Sequence[str] = (),
    engine: Any = None,
    recorder: Recorder | None = None,
    rescues: bool = True,
    memory: int | None = None,
    knobs: Knobs = PARAMETERS,
) -> Trained:
    """Train a linear model; ``keep`` is called with each state that is the best so far.

    Ctrl-C (``KeyboardInterrupt``) ends the training early and in order: what was learnt until then is kept
    if it is better than what is kept already. So does a class that was not in the plan and for which there is not
    enough memory: ``refusal`` of the result then says so.

    Parameters
    ----------
    plan : Plan
        What to read.
    settings : Settings
        How to learn.
    keep : callable
        Called with the state, the pass (from 1) and its measures on held-out rows. The state is valid during
        the call.
    observe : callable
        Called with every event.
    threads : int, optional
        Threads that read and hash; all processors if not given. The model does not depend on it.
    ledger : Ledger, optional
        Told of every batch and its bad rows.
    holdout : Plan, optional
        Rows to hold out; a share of the plan's own if not given.
    classes : sequence of str, optional
        Classes known to exist, besides those of the plan's sample.
    engine : optional
        Where lanes work, if there are several: see :func:`manymill.engine.selection.as_engine`. The model does not
        depend on it.
    recorder : Recorder, optional
        Writes checkpoints while the training goes on; if there is one, it goes on from there.
    rescues : bool
        Whether ``keep`` is called for the last whole pass before a failure is raised. Costs a copy of the weights a
        pass where nothing is held out.
    memory : int, optional
        Bytes that the training may take when classes are met that the plan does not have; what the machine has
        available if not given.
    knobs : Knobs
        What the settings are called in messages.

    Raises
    ------
    PlanError
        If there is no row to learn from, only one class, or the weights grow without bound.
    SettingsError
        If there is an engine, but only one lane.
    MemoryLimitError
        If there is not enough memory and nothing was learnt that could be kept.
    SourceError
        If a file cannot be read, or has changed.
    RowError
        If a row is bad and the plan is strict.
    """
    settings.check_engine(engine, knobs.engine, knobs.lanes)
    threads = threads or available_threads()
    n_planned = len({*classes, *plan.class_counts})
    settings = settings.for_classes(n_planned)
    limit = ClassLimit.of_training(
        plan, settings, n_planned, threads=threads, limit=memory, observe=observe, knobs=knobs
    )
    if holdout is not None:
        settings = replace(settings, holdout=0.0)
    ledger = ledger or Ledger(strict=plan.dataset.strict)
    limit.check_plan()
    with ExitStack() as stack:
        learning: Learning
        if settings.lanes > 1:
            where = stack.enter_context(engine_for(engine, threads=threads))
            stack.callback(setattr, where, "on_loss", where.on_loss)  # the engine may outlive this training
            where.on_loss = lambda what, why, loss: observe(WorkerLost(what, why, loss))
            stack.callback(setattr, where, "on_silence", where.on_silence)
            where.on_silence = lambda what, who, seconds: observe(WorkerSilent(what, who, round(seconds, 1)))
            check_shareable(plan, where)
            balanced = settings.class_weight == "balanced"
            counts = class_counts(plan, where, check=limit.check) if balanced else plan.class_counts
            if new := sorted(counts.keys() - {*classes, *plan.class_counts}):
                limit.found(n_planned, new)
            lanes = ManyLanes(
                plan,
                settings.weighing(counts),
                where,
                classes=[*classes, *counts],
                ledger=ledger,
                observe=observe,
                limit=limit,
            )
            learning = stack.enter_context(lanes)
        else:
            ahead = threads > 1 or not plan.is_hashed
            executor = stack.enter_context(workers(threads)) if ahead else None
            lane = Lane(
                plan,
                settings,
                executor=executor,
                threads=threads,
                classes=classes,
                ledger=ledger,
                on_new_classes=limit.admit,
            )
            learning = OneLane(plan, settings, lane, observe)
        training = _Training(plan, settings, learning, keep, observe, holdout, rescues=rescues)
        if recorder is not None:
            training.keep_checkpoints(recorder, ledger)
        return training.run()


class _Training:
    """One training, from the first pass to the last."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        learning: Learning,
        keep: Keep,
        observe: Observer,
        holdout: Plan | None,
        *,
        rescues: bool,
    ) -> None:
        self._plan, self._settings, self._learning = plan, settings, learning
        self._rescues = rescues
        self._keep, self._observe, self._holdout = keep, observe, holdout
        self._best: Measured | None = None
        self._best_pass = 0
        self._start = time.monotonic()
        self._kept_at = self._start
        self._awaited = False  # the best state so far is not kept: a better one is to come
        self._unsaved: Snapshot | None = None  # and is this, should there be a failure
        self._recorder: Recorder | None = None
        self._ledger = Ledger()
        self._from = Position()

    def keep_checkpoints(self, recorder: Recorder, ledger: Ledger) -> None:
        """Write checkpoints, and go on from the one that is there."""
        self._recorder, self._ledger = recorder, ledger
        found = recorder.found(self._learning, ledger, self._settings.passes)
        if found is not None:
            self._from = found
            self._best, self._best_pass = self._from.best, self._from.best_pass
            self._observe(Resumed(self._from.pass_number, self._from.step + 1))

    def run(self) -> Trained:
        n_rows, number, interrupted = 0, self._from.pass_number - 1, False
        refusal: MemoryLimitError | None = None
        for number in range(self._from.pass_number, self._settings.passes + 1):
            tally = Tally(number, self._settings.passes, self._plan.source_bytes)
            try:
                self._visit(tally)
                over = number == self._settings.passes or number - self._best_pass >= self._settings.patience
                if not over:
                    self._record(Position(pass_number=number + 1))
            except KeyboardInterrupt:
                self._rescue(number)
                interrupted = True
            except MemoryError as error:
                refusal = self._refused(number, error)
            except Exception:
                self._save_unsaved()
                raise
            n_rows = max(n_rows, tally.n_rows)
            if interrupted or refusal or over:
                break
        state = self._learning.state
        assert state is not None
        assert self._best is not None
        if self._recorder is not None and not interrupted and not refusal:
            self._recorder.remove()
        if refusal is None:
            self._observe(self._ended(number, n_rows))
        return Trained(
            passes=number,
            best_pass=self._best_pass,
            n_rows=n_rows,
            measured=self._best,
            interrupted=interrupted,
            refusal=refusal,
            state=state,
            lanes=self._learning.n_lanes,
        )

    def _record(self, position: Position) -> None:
        if self._recorder is not None:
            told = replace(position, best=self._best, best_pass=self._best_pass)
            self._recorder.record(told, self._learning, self._ledger)

    def _visit(self, tally: Tally) -> None:
        """Learn every row once, and keep the state if it is the best so far."""
        skip = 0
        if tally.number == self._from.pass_number and self._from.step:
            skip = self._from.step
            tally.restore(self._from.tally)
        try:
            self._learning.visit(
                tally, skip, lambda step: self._record(Position(tally.number, step, tally=tally.figures()))
            )
        except FloatingPointError as error:
            rest = f"; the model of pass {self._best_pass} is kept" if self._best else ""
            raise PlanError(
                f"the weights grew without bound in pass {tally.number}{rest}",
                "use a lower learning rate, or look at the weights of the rows",
            ) from error
        if not tally.n_rows:
            raise PlanError(
                "there is no row to learn from",
                "look at the counts of bad rows, and whether the right columns are read as text and label",
            )
        if len(self._learning.index) < 2:
            raise PlanError(
                f"all rows have the same label, {self._learning.index.names[0]!r}",
                "give data of two classes or more",
            )
        state = self._learning.state
        assert state is not None, "a row was learnt"
        measured = self._measure(state)
        kept = self._keep_if_best(state, tally.number, measured)
        self._observe(tally.ended(self._learning.n_bad, measured, kept=kept))

    def _measure(self, state: LinearState) -> Measured:
        settings = self._settings
        return measure(self._held_out(), state.learner, settings.loss, calibrate=settings.calibrate)

    def _held_out(self) -> Iterable[HashedRows]:
        return self._learning.held_out() if self._holdout is None else self._learning.rows_of(self._holdout)

    def _keep_if_best(self, state: LinearState, number: int, measured: Measured) -> bool:
        if not measured.better_than(self._best):
            return False
        # Where nothing is held out the next pass will be the better one, and to save this one may take longer than it.
        early = time.monotonic() - self._kept_at < KEEP_SECONDS
        awaited = measured.accuracy is None and number < self._settings.passes and early
        self._awaited, self._unsaved = awaited, state.snapshot() if awaited and self._rescues else None
        # A stop waits until the state is saved; one that gives that up must find the state not yet kept.
        with interrupts.defer_interrupts():
            if not awaited:
                self._keep(state, number, measured)
                self._kept_at = time.monotonic()
            self._best, self._best_pass = measured, number
        return not awaited

    def _save_unsaved(self) -> None:
        """After a failure: keep the state of the last whole pass if a better one was awaited instead."""
        state = self._learning.state
        if self._unsaved is None or state is None or self._best is None:
            return
        state.restore(self._unsaved)
        self._keep(state, self._best_pass, self._best)

    def _rescue(self, number: int) -> None:
        """Interrupted in mid-pass: keep the state of this moment if none is kept yet, or the next was awaited.

        The user waits: nothing is measured, and a state that is kept already stays.
        """
        self._observe(Interrupted(number, self._keep_this_moment(number)))
        if self._best is None:
            raise KeyboardInterrupt

    def _refused(self, number: int, error: MemoryError) -> MemoryLimitError:
        """There is not enough memory in mid-pass: keep the state of this moment as after an interrupt.

        Gives the error that says so, or raises it if nothing could be kept.
        """
        self._keep_this_moment(number)
        if isinstance(error, MemoryLimitError):
            what, hint = error.what, error.hint
        else:
            what, hint = f"there is not enough memory: {error}", "use fewer features, or a larger machine"
        if self._best is None:
            raise MemoryLimitError(f"{what}; nothing was learnt yet", hint) from error
        refusal = MemoryLimitError(f"{what}; what was learnt until then is kept", hint)
        refusal.__cause__ = error
        return refusal

    def _keep_this_moment(self, number: int) -> bool:
        """Keep the state of this moment if none is kept yet, or the next was awaited; whether it was."""
        state = self._learning.state
        nothing_kept = self._best is None or self._awaited
        if not nothing_kept or state is None or not state.learner.n_rows_seen or len(state.names) < 2:
            return False
        state.learner.settle()
        self._best, self._best_pass = Measured(0, None, None), number
        self._keep(state, number, self._best)
        return True

    def _ended(self, passes: int, n_rows: int) -> Ended:
        assert self._best is not None
        return Ended(
            passes=passes,
            best_pass=self._best_pass,
            n_rows=n_rows,
            n_bad=self._learning.n_bad,
            n_classes=len(self._learning.index),
            holdout_accuracy=self._best.accuracy,
            seconds=time.monotonic() - self._start,
            peak_memory_bytes=peak_memory_bytes(),
        )
