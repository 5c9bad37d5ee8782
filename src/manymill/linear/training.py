"""The training loop: passes over a plan until enough, the best state kept.

In: a plan, settings. Out: calls of ``keep`` with each state that is the best so far; events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from manymill import _core
from manymill.data.ledger import Ledger
from manymill.data.plan import Plan
from manymill.engine import stopping
from manymill.engine.local import available_threads, workers
from manymill.errors import PlanError
from manymill.events import ClassesFound, Ended, FinishIteration, Interrupted, Observer, Warned
from manymill.linear import finish
from manymill.linear.holdout import HashedRows, Measured, measure
from manymill.linear.lane import Lane, Lesson
from manymill.linear.memory import peak_memory_bytes
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState, Snapshot
from manymill.linear.tally import Tally

# Between two measurements on held-out rows in mid-pass.
GLANCE_SECONDS = 3.0

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
    state: LinearState  # as the last pass left it


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
) -> Trained:
    """Train a linear model; ``keep`` is called with each state that is the best so far.

    Ctrl-C (``KeyboardInterrupt``) ends the training early and in order: what was learnt until then is kept
    if it is better than what is kept already.

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

    Raises
    ------
    PlanError
        If there is no row to learn from, only one class, or the weights grow without bound.
    SourceError
        If a file cannot be read, or has changed.
    RowError
        If a row is bad and the plan is strict.
    """
    threads = threads or available_threads()
    settings = settings.for_classes(len({*classes, *plan.class_counts}))
    if holdout is not None:
        settings = replace(settings, holdout=0.0)
    with workers(threads) as executor:
        lane = Lane(
            plan,
            settings,
            executor=executor,
            threads=threads,
            classes=classes,
            ledger=ledger or Ledger(strict=plan.dataset.strict),
            on_new_classes=lambda names: observe(ClassesFound(names, len(lane.index))),
        )
        return _Training(plan, settings, lane, keep, observe, holdout).run()


class _Training:
    """One training, from the first pass to the last."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        lane: Lane,
        keep: Keep,
        observe: Observer,
        holdout: Plan | None,
    ) -> None:
        self._plan, self._settings, self._lane = plan, settings, lane
        self._keep, self._observe, self._holdout = keep, observe, holdout
        self._state: LinearState | None = None
        self._best: Measured | None = None
        self._best_pass = 0
        self._start = time.monotonic()
        self._next_glance = self._start + GLANCE_SECONDS
        self._glanced: float | None = None
        self._kept_at = self._start
        self._best_state: Snapshot | None = None  # where a finish starts from
        self._unsaved: Snapshot | None = None  # the best state so far, where a better one is awaited

    def run(self) -> Trained:
        n_rows, number, interrupted = 0, 0, False
        for number in range(1, self._settings.passes + 1):
            tally = Tally(number, self._settings.passes, self._plan.source_bytes)
            try:
                self._visit(tally)
            except KeyboardInterrupt:
                self._rescue(number)
                interrupted = True
            except Exception:
                self._save_unsaved()
                raise
            n_rows = max(n_rows, tally.n_rows)
            if interrupted or number - self._best_pass >= self._settings.patience:
                break
        if self._settings.finish is not None and not interrupted:
            interrupted = self._finish(number)
        assert self._state is not None
        assert self._best is not None
        self._observe(self._ended(number, n_rows))
        return Trained(number, self._best_pass, n_rows, self._best, interrupted, self._state)

    def _visit(self, tally: Tally) -> None:
        """Learn every row once, and keep the state if it is the best so far."""
        for lesson in self._lane.lessons(tally.number - 1):
            stopping.check()
            tally.add(self._learn(lesson, tally.number))
            if tally.is_due():
                self._observe(tally.progress(lesson.share, self._glance()))
        if not tally.n_rows:
            raise PlanError(
                "there is no row to learn from",
                "look at the counts of bad rows, and whether the right columns are read as text and label",
            )
        if len(self._lane.index) < 2:
            raise PlanError(
                f"all rows have the same label, {self._lane.index.names[0]!r}",
                "give data of two classes or more",
            )
        assert self._state is not None, "a row was learnt"
        self._state.learner.settle()
        measured = self._measure(self._state)
        kept = self._keep_if_best(self._state, tally.number, measured)
        self._observe(tally.ended(self._lane.n_bad, measured, kept=kept))

    def _measure(self, state: LinearState) -> Measured:
        settings = self._settings
        return measure(self._held_out(), state.learner, settings.loss, calibrate=settings.calibrate)

    def _finish(self, number: int) -> bool:
        """Go on from the best state as long as it helps, and leave the best in place; whether it was interrupted."""
        assert self._state is not None
        assert self._best is not None
        if self._best_state is None:
            self._observe(Warned("nothing is held out to judge a finish by: the passes were the end"))
            return False
        start, interrupted = time.monotonic(), False
        self._state.restore(self._best_state)
        try:
            for iterate in finish.iterations(self._lane, self._state, self._settings, number):
                measured = self._measure(self._state)
                assert measured.loss is not None
                assert measured.accuracy is not None
                kept = measured.no_worse_than(self._best)
                if kept:
                    self._keep(self._state, self._best_pass, measured)
                    self._best, self._best_state = measured, self._state.snapshot()
                seconds = time.monotonic() - start
                tried = (iterate.number, iterate.step, iterate.loss, measured.loss, measured.accuracy)
                self._observe(FinishIteration(*tried, kept, seconds))
        except KeyboardInterrupt:
            interrupted = True
            self._observe(Interrupted(number, kept=False))
        self._state.restore(self._best_state)
        return interrupted

    def _glance(self) -> float | None:
        """The accuracy on the rows held out so far, measured now and then: it may take a twentieth of the time."""
        start = time.monotonic()
        if start >= self._next_glance and self._state is not None:
            measured = measure(self._lane.holdout, self._state.learner, self._settings.loss)
            end = time.monotonic()
            self._next_glance = end + max(GLANCE_SECONDS, 20 * (end - start))
            self._glanced = measured.accuracy
        return self._glanced

    def _learn(self, lesson: Lesson, number: int) -> _core.LearnStats:
        if self._state is None:
            integers = self._plan.labels_are_integers
            self._state = LinearState(self._settings, self._lane.index, as_integers=integers)
        self._state.make_room(lesson.n_classes)
        try:
            return self._state.learner.learn(lesson.rows, lesson.classes, lesson.weights)
        except FloatingPointError as error:
            rest = f"; the model of pass {self._best_pass} is kept" if self._best else ""
            raise PlanError(
                f"the weights grew without bound in pass {number}{rest}",
                "use a lower learning rate, or look at the weights of the rows",
            ) from error

    def _held_out(self) -> Iterable[HashedRows]:
        return self._lane.holdout if self._holdout is None else self._lane.other_rows(self._holdout)

    def _keep_if_best(self, state: LinearState, number: int, measured: Measured) -> bool:
        if not measured.better_than(self._best):
            return False
        # Where nothing is held out the next pass will be the better one, and to save this one may take longer than it.
        early = time.monotonic() - self._kept_at < KEEP_SECONDS
        awaited = measured.accuracy is None and number < self._settings.passes and early
        self._unsaved = state.snapshot() if awaited else None
        if not awaited:
            # In this order: a stop while the state is being saved must find it not yet kept.
            self._keep(state, number, measured)
            self._kept_at = time.monotonic()
        if self._settings.finish is not None and measured.accuracy is not None:
            self._best_state = state.snapshot()
        self._best, self._best_pass = measured, number
        return not awaited

    def _save_unsaved(self) -> None:
        """After a failure: keep the state of the last whole pass if a better one was awaited instead."""
        if self._unsaved is None or self._state is None or self._best is None:
            return
        self._state.restore(self._unsaved)
        self._keep(self._state, self._best_pass, self._best)

    def _rescue(self, number: int) -> None:
        """Interrupted in mid-pass: keep the state of this moment if none is kept yet, or the next was awaited.

        The user waits: nothing is measured, and a state that is kept already stays.
        """
        kept = False
        nothing_kept = self._best is None or self._unsaved is not None
        if nothing_kept and self._state is not None and len(self._lane.index) > 1:
            self._state.learner.settle()
            self._best, self._best_pass = Measured(0, None, None), number
            self._keep(self._state, number, self._best)
            kept = True
        self._observe(Interrupted(number, kept))
        if self._best is None:
            raise KeyboardInterrupt

    def _ended(self, passes: int, n_rows: int) -> Ended:
        assert self._best is not None
        return Ended(
            passes=passes,
            best_pass=self._best_pass,
            n_rows=n_rows,
            n_bad=self._lane.n_bad,
            n_classes=len(self._lane.index),
            holdout_accuracy=self._best.accuracy,
            seconds=time.monotonic() - self._start,
            peak_memory_bytes=peak_memory_bytes(),
        )
