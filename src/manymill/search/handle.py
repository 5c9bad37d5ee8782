"""A search that runs: a thread that feeds an engine, and what others ask of it meanwhile.

::

    policy ── Run ──► engine ──► outcomes ──► queue ──► journal, policy ──► Run ...
                                               ▲
                            abort, time is up ─┘

The thread sleeps until something comes: it costs nothing while workers work.

How far a search is, in numbers that add up.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from threadpoolctl import threadpool_limits

from manymill.engine.selection import engine_for
from manymill.errors import EngineError, ManymillError, PlanError, SettingsError
from manymill.search.display import as_html, show_live
from manymill.search.evaluation import Assignment, Job, Outcome, evaluate, share_job, withdraw_job
from manymill.search.events import (
    Aborted,
    Dropped,
    End,
    Evaluated,
    Event,
    Exhausted,
    Failed,
    OutOfTime,
    Propose,
    Proposed,
    Run,
    Task,
)
from manymill.search.journal import SearchJournal
from manymill.search.mlflow import unlogged
from manymill.search.policy import STATES, Policy, Rules
from manymill.search.results import Ranked, as_text, ranking
from manymill.search.setup import Prepared


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is.

    Attributes
    ----------
    pending, running, done, failed, cancelled : int
        Tasks; they add up to `total`, which is 0 while data is prepared.
    n_candidates : int
        Proposed so far.
    seconds : float
        Since the start.
    ended : str
        Why it is over; empty while it is not.
    """

    pending: int
    running: int
    done: int
    failed: int
    cancelled: int
    total: int
    n_candidates: int
    seconds: float
    ended: str

    def __str__(self) -> str:
        if not self.total and not self.ended:
            return f"Progress: preparing the data; {self.seconds:,.1f} s"
        finished = self.total - self.pending - self.running
        share = finished / self.total if self.total else 1.0
        state = self.ended or f"{self.running} running, {self.pending} pending"
        return (
            f"Progress: {share:4.0%} ({finished:,}/{self.total:,}), {self.done:,} done, {self.failed:,} failed, "
            f"{self.cancelled:,} cancelled; {state}; {self.seconds:,.1f} s"
        )


# How often a file that asks for the end is looked for, where there is a run folder.
_LOOK_SECONDS = 0.5

# How often the workers are counted: a cluster may have grown.
_COUNT_SECONDS = 1.0

# Tasks handed out beside those that workers are at: one each, so that nobody waits for the driver.
_AHEAD = 2

# While data is prepared there is nothing to count.
_NOTHING = Rules(n_trials=0, n_splits=1)

# Of a search that is over, when it is pickled.
_KEPT = ("_policy", "_started", "_ended_at", "_error", "log")


class SearchHandle:
    """A search that was started; made by :meth:`SearchCV.start`.

    All methods may be called at any time, from any thread.
    """

    def __init__(
        self,
        prepare: Callable[[Callable[[], bool]], Prepared],
        proposer: Any,
        engine: Any,
        *,
        seconds: float | None = None,
        raises: bool = False,
        on_end: Callable[[SearchHandle], None] | None = None,
        observe: Callable[[Event], None] | None = None,
    ) -> None:
        self._prepare, self._proposer, self._engine = prepare, proposer, engine
        self._seconds, self._raises = seconds, raises
        self._on_end, self._observe = on_end, observe
        self._lock = threading.RLock()
        self._prepared: Prepared | None = None
        self._journal: SearchJournal | None = None
        self._policy = Policy(_NOTHING)
        self._aborting = threading.Event()
        self._drops_running = self._has_dropped = False
        self._started = time.monotonic()
        self._ended_at: float | None = None
        self._error: BaseException | None = None
        self._events: queue.SimpleQueue[Event | tuple[Task, Future[Outcome]]] = queue.SimpleQueue()
        self._out: dict[Task, Future[Outcome]] = {}
        self._told: set[int] = set()
        self._counted = self._looked = 0.0
        self._before = 0.0
        self.log: list[Event] = []
        self._over: Future[None] = Future()
        self._over.set_running_or_notify_cancel()  # who waits for it cannot cancel it
        self._thread = threading.Thread(target=self._run, name="manymill-search", daemon=True)
        self._thread.start()

    # ---- what users ask

    def progress(self) -> Progress:
        """Tasks by state; they add up to the total at every moment."""
        with self._lock:
            counts = self._policy.counts
            end = time.monotonic() if self._ended_at is None else self._ended_at
            return Progress(
                **{state: counts[state] for state in STATES},
                total=self._policy.total,
                n_candidates=len(self._policy.params),
                seconds=end - self._started,
                ended=self._policy.why if self.done() else "",
            )

    def ranking(self, metric: str | None = None) -> list[Ranked]:
        """The candidates that have a result, the best first; see :mod:`manymill.search.results` for the rule."""
        with self._lock:
            known = self._policy.metrics
            if metric is not None and known and metric not in known:
                raise SettingsError(f"there is no metric {metric!r}", f"ask for {', '.join(known)}")
            return ranking(self._policy, metric)

    def best_so_far(self) -> Ranked | None:
        """The first of the ranking; None before there is a result."""
        rows = self.ranking()
        return rows[0] if rows else None

    def failures(self) -> list[Failed]:
        """What failed, with tracebacks."""
        with self._lock:
            rungs = [rung for rungs in self._policy.results.values() for rung in rungs]
            return [failure for rung in rungs for failure in rung.failed.values()]

    def abort(self, *, now: bool = False) -> None:
        """Begin nothing more and keep what is finished; what workers are at is finished, or dropped if ``now``."""
        self._drops_running = now
        self._aborting.set()
        self._events.put(Aborted())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the search is over, or for so many seconds; gives whether it is over.

        Raises
        ------
        ManymillError
            What ended the search, if that was no candidate's fault.
        """
        if not self.ends_within(timeout):
            return False
        if self._error is not None:
            raise self._error
        return True

    def ends_within(self, seconds: float | None) -> bool:
        """Like `wait`, but whatever ended the search is not raised."""
        return bool(wait([self._over], seconds).done)

    def done(self) -> bool:
        """Whether the search is over."""
        return self._over.done()

    def __await__(self) -> Generator[Any, None, SearchHandle]:
        """``await handle`` waits for the end without blocking other tasks of the loop; it may be cancelled."""
        import asyncio

        yield from asyncio.wrap_future(self._over).__await__()
        self.wait()
        return self

    @property
    def job(self) -> Job:
        """What the evaluations have in common; once the data is prepared."""
        if self._prepared is None:
            raise PlanError(
                "the data of this search is not at hand",
                "wait until it is prepared; a copy of a search has none",
            )
        return self._prepared.job

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to know of how texts were read; empty until they are."""
        prepared = self._prepared
        return prepared.job.text.notes if prepared is not None and prepared.job.text is not None else ()

    @property
    def policy(self) -> Policy:
        """The state of the search, to be read when it is over."""
        return self._policy

    def __getstate__(self) -> dict[str, Any]:
        """What is to be known of a search that is over; whoever it was that worked stays here."""
        if not self.done():
            raise TypeError("a search that runs cannot be pickled or copied: wait for its end")
        return {name: getattr(self, name) for name in _KEPT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepared = None
        self._lock, self._over, self._events = threading.RLock(), Future(), queue.SimpleQueue()
        self._over.set_result(None)

    def __str__(self) -> str:
        return f"{self.progress()}\n{as_text(self.ranking())}"

    def __repr__(self) -> str:
        return f"<SearchHandle: {self.progress()}>"

    def _repr_html_(self) -> str:
        """A table for pages, as things stand when it is shown."""
        return as_html(self)

    def _ipython_display_(self) -> None:
        """A table for notebooks, drawn again until the search is over."""
        show_live(self)

    # ---- the thread

    def _run(self) -> None:
        try:
            self._search()
        except CancelledError:  # before there was anything to cancel
            self._policy.on(Aborted())
        except BaseException as error:
            self._error = error
        finally:
            self._ended_at = time.monotonic()
            # Whatever fails here, a full disk for example, nobody is to wait for ever.
            for last in (self._tell_end, self._note_end, self._proposer.close, self._let_go):
                try:
                    last()
                except BaseException as error:
                    self._error = self._error or error
            self._over.set_result(None)

    def _tell_end(self) -> None:
        if self._on_end is not None and self._error is None:
            self._on_end(self)

    def _note_end(self) -> None:
        if self._journal is not None and self._error is None:
            self._journal.ended(self._policy.why)

    def _let_go(self) -> None:
        if self._prepared is not None:
            self._prepared.close()

    def _search(self) -> None:
        prepared = self._prepare(self._aborting.is_set)
        with self._lock:
            self._prepared, self._journal = prepared, prepared.journal
            self._policy = Policy(prepared.rules, getattr(self._proposer, "places", ()))
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(1))
            stack.enter_context(unlogged())
            engine = stack.enter_context(engine_for(self._engine))
            handle = share_job(engine, prepared.job, uuid.uuid4().hex)
            stack.callback(withdraw_job, engine, handle)
            self._drive(engine, handle)

    def _drive(self, engine: Any, handle: Any) -> None:
        policy = self._policy
        with self._lock:
            self._make_use_of(engine)
            if self._journal is not None:
                # What an earlier process took: events are told by the time from the very start.
                known = (event for event in self._journal.events if isinstance(event, Evaluated | Failed))
                self._before = max((event.seconds for event in known), default=0.0)
                for trial, proposal in sorted(self._journal.proposals.items()):
                    self._proposer.again(trial, proposal)
                policy.replay(self._journal.events)
                self.log += self._journal.events
                self._tell_scores()
            instructions = policy.begin()
        while True:
            if self._has_dropped:
                while self._out:
                    self._take(Dropped(self._out.popitem()[0]))
                return
            for instruction in instructions:
                if isinstance(instruction, Run):
                    self._submit(engine, handle, instruction.task)
            if any(isinstance(instruction, End) for instruction in instructions):
                return
            if time.monotonic() - self._counted >= _COUNT_SECONDS:
                self._make_use_of(engine)
            asked = next((i for i in instructions if isinstance(i, Propose)), None)
            instructions = self._take(self._proposed(asked.trial) if asked else self._next_event())

    def _make_use_of(self, engine: Any) -> None:
        """Have as many tasks out as the workers there are now can take."""
        self._counted = time.monotonic()
        width = _AHEAD * engine.workers_now()
        if width != self._policy.rules.width:
            self._policy.rules = replace(self._policy.rules, width=width)

    def _proposed(self, trial: int) -> Event:
        proposal = self._proposer.ask()
        if proposal is None:
            return Exhausted()
        if self._journal is not None:
            self._journal.proposed(trial, proposal)
        return Proposed(trial, proposal.params)

    def _submit(self, engine: Any, handle: Any, task: Task) -> None:
        assignment = Assignment(handle, task, self._policy.params[task.trial])
        try:
            future: Future[Outcome] = engine.submit(evaluate, assignment)
        except EngineError as error:  # its parameters cannot travel
            future = Future()
            future.set_exception(error)
        self._out[task] = future
        future.add_done_callback(lambda done: self._events.put((task, done)))

    def _next_event(self) -> Event:
        """What comes next: a result, an abort, or the end of the time."""
        while True:
            if (end := self._end_asked()) is not None:
                self._drop()
                return end
            patience = None if self._journal is None else _LOOK_SECONDS
            if self._seconds is not None:
                left = max(0.0, self._started + self._seconds - time.monotonic())
                patience = left if patience is None else min(patience, left)
            try:
                came = self._events.get(timeout=patience)
            except queue.Empty:
                continue
            if isinstance(came, Aborted):
                self._drop()
                self._has_dropped = self._drops_running
            return self._event_of(*came) if isinstance(came, tuple) else came

    def _end_asked(self) -> Event | None:
        """The end of the time, or another process's wish: asked however fast results come."""
        now = time.monotonic()
        if self._seconds is not None and now - self._started >= self._seconds:
            self._seconds = None
            return OutOfTime()
        if self._journal is not None and now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            return Aborted() if self._journal.abort_was_asked() else None
        return None

    def _event_of(self, task: Task, future: Future[Outcome]) -> Event:
        self._out.pop(task, None)
        seconds = self._before + time.monotonic() - self._started
        try:
            outcome = future.result()
        except CancelledError:
            return Dropped(task)
        except KeyboardInterrupt:  # a fit in this process met it, before or after who waits
            self.abort()
            return Dropped(task)
        except Exception as error:
            if self._raises and self._error is None:
                self._error = error
                self._events.put(Aborted())
            what = error.what if isinstance(error, ManymillError) else error
            return Failed(task, f"{type(error).__name__}: {what}", f"{error!r}", seconds)
        if outcome.error:
            return Failed(task, outcome.error, outcome.traceback, seconds, outcome.worker)
        return Evaluated(
            task, outcome.scores, outcome.train_scores, outcome.fit_seconds, outcome.score_seconds, seconds,
            outcome.worker, outcome.n_rows,
        )  # fmt: skip

    def _take(self, event: Event) -> list[Any]:
        if self._journal is not None and not isinstance(event, Proposed):
            self._journal.note(event)
        with self._lock:
            self.log.append(event)
            instructions = self._policy.on(event)
            self._tell_scores(event)
        if self._observe is not None:
            self._observe(event)
        return instructions

    def _tell_scores(self, event: Event | None = None) -> None:
        """Tell an adaptive proposer of candidates that are whole."""
        if not self._proposer.adaptive:
            return
        trials = [event.task.trial] if isinstance(event, Evaluated | Failed) else list(self._policy.results)
        for trial in trials:
            rung = self._policy.results[trial][0]  # of halving: what all candidates have
            if trial not in self._told and rung.n_ended == self._policy.rules.n_splits:
                self._told.add(trial)
                self._proposer.tell(trial, rung.mean(self._policy.rules.metric))

    def _drop(self) -> None:
        """Take back what no worker has begun."""
        for future in list(self._out.values()):
            future.cancel()
