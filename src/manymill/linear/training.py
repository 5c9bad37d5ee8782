"""Training loop: passes over a plan, early stopping, checkpoints, and a callback for each best state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.data.tails import with_ends
from manymill.engine import interrupts
from manymill.engine.base import Engine
from manymill.engine.local import available_threads, workers
from manymill.engine.selection import engine_for
from manymill.errors import MemoryLimitError, PlanError
from manymill.events import Ended, Interrupted, Observer, Resumed, Warned, WorkerLost, WorkerSilent
from manymill.linear.checkpoints import Position
from manymill.linear.holdout import HashedRows, HoldoutMetrics, differ_in_labels, measure, unmeasured
from manymill.linear.lanes.dealing import check_shareable, class_counts
from manymill.linear.lanes.driver import LaneTrainer
from manymill.linear.memory import PARAMETER_NAMES, ClassLimit, ParameterNames, peak_memory_bytes
from manymill.linear.recorder import Recorder
from manymill.linear.row_stream import Lane
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState, Snapshot
from manymill.linear.trainers import PassStats, SequentialTrainer, Trainer

# Without held-out rows each pass counts as better than the last: states are saved at this distance in time.
UNSAVED_SECONDS = 10.0

OnBest = Callable[[LinearState, int, HoldoutMetrics], None]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Result of a training."""

    passes: int
    best_pass: int  # from 1: the pass whose state was saved last
    n_rows: int  # learnt in one pass
    metrics: HoldoutMetrics  # of the saved state on held-out rows
    interrupted: bool
    refusal: MemoryLimitError | None  # why training stopped early, if it needed too much memory
    state: LinearState  # after the last pass
    lanes: int


def train(
    plan: Plan,
    settings: Settings,
    *,
    on_best: OnBest,
    observe: Observer = lambda event: None,
    threads: int | None = None,
    ledger: Ledger | None = None,
    holdout: Plan | None = None,
    classes: Sequence[str] = (),
    engine: Any = None,
    recorder: Recorder | None = None,
    save_on_failure: bool = True,
    memory: int | None = None,
    names: ParameterNames = PARAMETER_NAMES,
) -> TrainingResult:
    """Train a linear model; ``on_best`` is called with each state that is the best so far.

    Ctrl-C (``KeyboardInterrupt``) stops the training early: the current state is saved if no better one was. The same
    happens if there is not enough memory for classes missing from the plan; ``refusal`` of the result is then the
    error.

    Parameters
    ----------
    plan : Plan
        Data to read.
    settings : Settings
        Parameters of the training.
    on_best : callable
        Called with the state, the pass (from 1) and its metrics on held-out rows. The state is valid only during the
        call.
    observe : callable
        Called with every event.
    threads : int, optional
        Threads that read and hash; all processors if not given. The model does not depend on it.
    ledger : Ledger, optional
        Counts rows and records bad ones.
    holdout : Plan, optional
        Held-out rows; a share of the plan's rows if not given.
    classes : sequence of str, optional
        Known classes, besides those of the plan's sample.
    engine : optional
        Engine that runs several lanes: see :func:`manymill.engine.selection.as_engine`. The model does not depend on
        it.
    recorder : Recorder, optional
        Writes checkpoints; if there is a checkpoint, training resumes from it.
    save_on_failure : bool
        Whether ``on_best`` is called for the last finished pass before an error is raised. Without held-out rows this
        costs a copy of the weights per pass.
    memory : int, optional
        Maximum bytes of the training when it finds classes missing from the plan; the available memory if not given.
    names : ParameterNames
        Names of parameters in messages.

    Raises
    ------
    PlanError
        If there is no row, only one class, or the weights diverge.
    SettingsError
        If there is an engine, but only one lane.
    MemoryLimitError
        If there is not enough memory and nothing was learnt yet.
    SourceError
        If a file cannot be read, or has changed.
    RowError
        If a row is bad and the plan is strict.
    """
    settings.check_engine(engine, names.engine, names.lanes)
    settings.check_holdout(holdout)
    threads = threads or available_threads()
    n_planned = len({*classes, *plan.class_counts})
    settings = settings.for_plan(plan, n_planned)
    limit = ClassLimit.of_training(
        plan, settings, n_planned, threads=threads, limit=memory, observe=observe, names=names
    )
    if holdout is not None:
        settings = replace(settings, holdout=0.0)
    ledger = ledger or Ledger(strict=plan.dataset.strict)
    limit.check_plan()
    if settings.holdout_tail is not None:
        with workers(threads) as readers:
            plan = with_ends(plan, readers, observe=observe)
    with ExitStack() as stack:
        trainer: Trainer
        if settings.lanes > 1:
            pool = stack.enter_context(engine_for(engine, threads=threads))
            stack.enter_context(_observed(pool, observe))
            check_shareable(plan, pool)
            balanced = settings.class_weight == "balanced"
            counts = class_counts(plan, pool, check=limit.check) if balanced else plan.class_counts
            if new := sorted(counts.keys() - {*classes, *plan.class_counts}):
                limit.announce(n_planned, new)
            lanes = LaneTrainer(
                plan,
                settings.with_class_weights(counts),
                pool,
                classes=[*classes, *counts],
                ledger=ledger,
                observe=observe,
                limit=limit,
            )
            trainer = stack.enter_context(lanes)
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
            trainer = SequentialTrainer(plan, settings, lane, observe)
        training = _Training(
            plan, settings, trainer, on_best, observe, holdout, save_on_failure=save_on_failure
        )
        if recorder is not None:
            training.use_recorder(recorder, ledger)
        return training.run()


@contextmanager
def _observed(engine: Engine, observe: Observer) -> Iterator[None]:
    """Report lost and silent workers of an engine as events; the engine may be used afterwards."""
    before = engine.on_loss, engine.on_silence
    engine.on_loss = lambda what, why, loss: observe(WorkerLost(what, why, loss))
    engine.on_silence = lambda what, who, seconds: observe(WorkerSilent(what, who, round(seconds, 1)))
    try:
        yield
    finally:
        engine.on_loss, engine.on_silence = before


class _Training:
    """One training from the first to the last pass."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        trainer: Trainer,
        on_best: OnBest,
        observe: Observer,
        holdout: Plan | None,
        *,
        save_on_failure: bool,
    ) -> None:
        self._plan, self._settings, self._trainer = plan, settings, trainer
        self._save_on_failure = save_on_failure
        self._on_best, self._observe, self._holdout = on_best, observe, holdout
        self._best: HoldoutMetrics | None = None
        self._best_pass = 0
        self._start = time.monotonic()
        self._saved_at = self._start
        # The best state is not saved, since the next pass is expected to be better; its copy is saved after a failure.
        self._expects_better = False
        self._unsaved: Snapshot | None = None
        self._recorder: Recorder | None = None
        self._ledger = Ledger()
        self._from = Position()

    def use_recorder(self, recorder: Recorder, ledger: Ledger) -> None:
        """Write checkpoints, and resume from the checkpoint if there is one."""
        self._recorder, self._ledger = recorder, ledger
        found = recorder.resume(self._trainer, ledger, self._settings)
        if found is not None:
            self._from = found
            self._best, self._best_pass = self._from.best, self._from.best_pass
            self._observe(Resumed(self._from.pass_number, self._from.step + 1))

    def run(self) -> TrainingResult:
        n_rows, number, interrupted = 0, self._from.pass_number - 1, False
        refusal: MemoryLimitError | None = None
        for number in range(self._from.pass_number, self._settings.n_passes + 1):
            pass_stats = PassStats(number, self._settings.n_passes, self._plan.source_bytes)
            try:
                self._run_pass(pass_stats)
                over = (
                    number == self._settings.n_passes or number - self._best_pass >= self._settings.patience
                )
                if not over:
                    self._record(Position(pass_number=number + 1))
            except KeyboardInterrupt:
                self._interrupted(number)
                interrupted = True
            except MemoryError as error:
                refusal = self._refused(number, error)
            except Exception:
                self._save_unsaved()
                raise
            n_rows = max(n_rows, pass_stats.n_rows)
            if interrupted or refusal or over:
                break
        state = self._trainer.state
        assert state is not None
        assert self._best is not None
        if self._recorder is not None and not interrupted and not refusal:
            self._recorder.remove()
        if refusal is None:
            self._observe(self._ended(number, n_rows))
        return TrainingResult(
            passes=number,
            best_pass=self._best_pass,
            n_rows=n_rows,
            metrics=self._best,
            interrupted=interrupted,
            refusal=refusal,
            state=state,
            lanes=self._trainer.n_lanes,
        )

    def _record(self, position: Position) -> None:
        if self._recorder is not None:
            position = replace(position, best=self._best, best_pass=self._best_pass)
            self._recorder.record(position, self._trainer, self._ledger)

    def _run_pass(self, pass_stats: PassStats) -> None:
        """Learn every row once, and save the state if it is the best so far."""
        skip = 0
        if pass_stats.number == self._from.pass_number and self._from.step:
            skip = self._from.step
            pass_stats.restore(self._from.pass_sums)
        try:
            self._trainer.run_pass(
                pass_stats,
                skip,
                lambda step: self._record(Position(pass_stats.number, step, pass_sums=pass_stats.sums())),
            )
        except FloatingPointError as error:
            rest = f"; the model of pass {self._best_pass} is saved" if self._best else ""
            raise PlanError(
                f"the weights diverged in pass {pass_stats.number}{rest}",
                "use a lower learning rate, or check the weights of the rows",
            ) from error
        if not pass_stats.n_rows:
            raise PlanError(
                "there is no row to learn from",
                "check the counts of bad rows, and whether the right columns are read as text and label",
            )
        if len(self._trainer.index) < 2:
            raise PlanError(
                f"all rows have the same label, {self._trainer.index.names[0]!r}",
                "give data of two classes or more",
            )
        state = self._trainer.state
        assert state is not None, "a row was learnt"
        if pass_stats.number == 1 and self._settings.holdout_tail is not None:
            self._warn_if_sorted()
        metrics = self._evaluate(state)
        saved = self._save_if_best(state, pass_stats.number, metrics)
        self._observe(pass_stats.ended(self._trainer.n_bad, metrics, kept=saved))

    def _warn_if_sorted(self) -> None:
        """Warn if the rows at the ends of the files have other labels, since then they measure something else."""
        counts = self._plan.class_counts
        sampled = np.array([counts.get(name, 0) for name in self._trainer.index.names], np.int64)
        if differ_in_labels(self._trainer.held_out(), sampled):
            self._observe(
                Warned(
                    "the held-out rows at the ends of the files have other labels than the source. If the files are "
                    "sorted by class and not in order of time, leave out --holdout-tail (holdout_tail= in Python)"
                )
            )
        if self._plan.exact and (names := self._only_held_out(sampled)):
            listed = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3:,} more" if names[3:] else "")
            self._observe(
                Warned(
                    f"all rows of {listed} are held out, at the ends of the files: the model does not learn them. "
                    "Hold out less, or leave out --holdout-tail (holdout_tail= in Python)"
                )
            )

    def _only_held_out(self, counts: NDArray[np.int64]) -> list[str]:
        """Classes with rows, `counts` of each in the source, of which none is learnt."""
        held = np.zeros(len(counts), np.int64)
        for _, classes in self._trainer.held_out():
            held += np.bincount(classes, minlength=len(held))
        is_lost = (counts > 0) & (held >= counts)
        return [name for name, lost in zip(self._trainer.index.names, is_lost, strict=True) if lost]

    def _evaluate(self, state: LinearState) -> HoldoutMetrics:
        settings = self._settings
        return measure(
            self._held_out(), state.learner, settings.value_of("loss"), calibrate=settings.calibrate
        )

    def _held_out(self) -> Iterable[HashedRows]:
        return self._trainer.held_out() if self._holdout is None else self._trainer.hash_plan(self._holdout)

    def _save_if_best(self, state: LinearState, number: int, metrics: HoldoutMetrics) -> bool:
        if not metrics.better_than(self._best):
            return False
        # Without held-out rows the next pass counts as better, and saving may take longer than a pass.
        early = time.monotonic() - self._saved_at < UNSAVED_SECONDS
        expects_better = metrics.accuracy is None and number < self._settings.n_passes and early
        self._expects_better = expects_better
        self._unsaved = state.snapshot() if expects_better and self._save_on_failure else None
        # Ctrl-C waits until the state is saved; if it aborts saving, the state must not count as saved.
        with interrupts.defer_interrupts():
            if not expects_better:
                self._on_best(state, number, metrics)
                self._saved_at = time.monotonic()
            self._best, self._best_pass = metrics, number
        return not expects_better

    def _save_unsaved(self) -> None:
        """After a failure: save the state of the last finished pass, if a better one was expected."""
        state = self._trainer.state
        if self._unsaved is None or state is None or self._best is None:
            return
        state.restore(self._unsaved)
        self._on_best(state, self._best_pass, self._best)

    def _interrupted(self, number: int) -> None:
        """After Ctrl-C within a pass: save the current state if none is saved; without measuring, as the user waits."""
        self._observe(Interrupted(number, self._save_current_state(number)))
        if self._best is None:
            raise KeyboardInterrupt

    def _refused(self, number: int, error: MemoryError) -> MemoryLimitError:
        """After a lack of memory within a pass: save the current state if none is saved.

        Returns the error for the result, or raises it if nothing could be saved.
        """
        self._save_current_state(number)
        if isinstance(error, MemoryLimitError):
            what, hint = error.what, error.hint
        else:
            what, hint = f"there is not enough memory: {error}", "use fewer features, or a larger machine"
        if self._best is None:
            raise MemoryLimitError(f"{what}; nothing was learnt yet", hint) from error
        refusal = MemoryLimitError(f"{what}; the model learnt so far is saved", hint)
        refusal.__cause__ = error
        return refusal

    def _save_current_state(self, number: int) -> bool:
        """Save the current state unless the best one is saved; returns whether it was saved."""
        state = self._trainer.state
        is_unsaved = self._best is None or self._expects_better
        if not is_unsaved or state is None or not state.learner.n_rows_seen or len(state.names) < 2:
            return False
        state.learner.settle()
        self._best = unmeasured(self._settings.value_of("loss"), state.learner.n_outputs)
        self._best_pass = number
        self._on_best(state, number, self._best)
        return True

    def _ended(self, passes: int, n_rows: int) -> Ended:
        assert self._best is not None
        return Ended(
            passes=passes,
            best_pass=self._best_pass,
            n_rows=n_rows,
            n_bad=self._trainer.n_bad,
            n_classes=len(self._trainer.index),
            holdout_accuracy=self._best.accuracy,
            seconds=time.monotonic() - self._start,
            peak_memory_bytes=peak_memory_bytes(),
        )
