"""Handle of a running search: a thread that drives the engine, and methods to watch or abort the search.

::

    policy ── Evaluate ──► engine ──► outcomes ──► queue ──► journal, policy ──► Evaluate ...
                                                    ▲
                                  abort, time-out ──┘

The thread sleeps until an event arrives, so it costs nothing while workers are busy.
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

from manymill.engine.base import Engine
from manymill.engine.selection import engine_for
from manymill.errors import EngineError, ManymillError, PlanError
from manymill.search.display import as_html, show_live
from manymill.search.evaluation import (
    Assignment,
    JobReference,
    Outcome,
    SearchJob,
    evaluate,
    share_job,
    withdraw_job,
)
from manymill.search.events import (
    Aborted,
    Cancelled,
    End,
    Evaluate,
    Evaluated,
    Evaluation,
    Event,
    Exhausted,
    Failed,
    Instruction,
    OutOfTime,
    Propose,
    Proposed,
)
from manymill.search.journal import SearchJournal
from manymill.search.mlflow import autologging_disabled
from manymill.search.policy import STATES, Policy, Rules
from manymill.search.results import RankedCandidate, rank_candidates, ranking_text
from manymill.search.samplers import Proposer
from manymill.search.setup import PreparedSearch
from manymill.validation import check_choice

# Seconds between two checks of the run folder for an abort request.
_ABORT_POLL_SECONDS = 0.5

# Seconds between two counts of the workers, whose number may change in a cluster.
_WORKER_COUNT_SECONDS = 1.0

# Evaluations submitted for each worker: one that runs and one that waits, so that workers do not wait for the driver.
_SUBMITTED_PER_WORKER = 2

# Rules before the data is prepared.
_NO_RULES = Rules(n_trials=0, n_splits=1)

# Attributes that are pickled.
_PICKLED = ("_policy", "_started", "_ended_at", "_error", "log")


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Progress of a search.

    Attributes
    ----------
    pending, running, done, failed, cancelled : int
        Numbers of evaluations by state.
    total : int
        Their sum; 0 while data is prepared.
    n_candidates : int
        Candidates proposed so far.
    seconds : float
        Time since the start.
    ended : str
        Why the search ended; empty before.
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


class SearchHandle:
    """A started search; created by :meth:`SearchCV.start`.

    All methods can be called at any time, from any thread.
    """

    def __init__(
        self,
        prepare: Callable[[Callable[[], bool]], PreparedSearch],
        proposer: Proposer,
        engine: Any,
        *,
        seconds: float | None = None,
        raises: bool = False,
        on_end: Callable[[SearchHandle], None] | None = None,
        observe: Callable[[Event], None] | None = None,
    ) -> None:
        self._prepare, self._proposer, self._engine = prepare, proposer, engine
        # A larger number is no limit, and no function of Python accepts it.
        self._seconds = None if seconds is None or seconds > threading.TIMEOUT_MAX else float(seconds)
        self._raises = raises
        self._on_end, self._observe = on_end, observe
        self._lock = threading.RLock()
        self._prepared: PreparedSearch | None = None
        self._journal: SearchJournal | None = None
        self._policy = Policy(_NO_RULES)
        self._aborting = threading.Event()
        self._cancels_running = self._abandoned = False
        self._started = time.monotonic()
        self._ended_at: float | None = None
        self._error: BaseException | None = None
        self._queue: queue.SimpleQueue[Event | tuple[Evaluation, Future[Outcome]]] = queue.SimpleQueue()
        self._futures: dict[Evaluation, Future[Outcome]] = {}
        self._reported_trials: set[int] = set()
        self._workers_counted_at = self._abort_polled_at = 0.0
        self._earlier_seconds = 0.0  # time of the last result of an earlier process
        self.log: list[Event] = []
        self._over: Future[None] = Future()
        self._over.set_running_or_notify_cancel()  # a waiting caller cannot cancel it
        self._thread = threading.Thread(target=self._run, name="manymill-search", daemon=True)
        self._thread.start()

    # ---- public methods

    def progress(self) -> SearchProgress:
        """Numbers of evaluations by state, which always add up to the total."""
        with self._lock:
            counts = self._policy.counts
            end = time.monotonic() if self._ended_at is None else self._ended_at
            return SearchProgress(
                **{state: counts[state] for state in STATES},
                total=self._policy.total,
                n_candidates=len(self._policy.params),
                seconds=end - self._started,
                ended=self._policy.end_reason if self.done() else "",
            )

    def ranking(self, metric: str | None = None) -> list[RankedCandidate]:
        """The candidates that have a result, the best first; see :mod:`manymill.search.results` for the rule."""
        with self._lock:
            if metric is not None and self._policy.metrics:
                check_choice(metric, "metric", self._policy.metrics)
            return rank_candidates(self._policy, metric)

    def best_so_far(self) -> RankedCandidate | None:
        """The first candidate of the ranking; None before there is a result."""
        return next(iter(self.ranking()), None)

    def failures(self) -> list[Failed]:
        """Failed evaluations with their tracebacks."""
        with self._lock:
            rungs = [rung for rungs in self._policy.results.values() for rung in rungs]
            return [failure for rung in rungs for failure in rung.failed.values()]

    def abort(self, *, now: bool = False) -> None:
        """End the search early; running evaluations are finished first, or cancelled if ``now``."""
        self._cancels_running = now
        self._aborting.set()
        self._queue.put(Aborted())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the search is over, for at most ``timeout`` seconds; returns whether it is over.

        Raises
        ------
        Exception
            The error that ended the search, if there was one; failed evaluations do not end it.
        """
        if not self.ends_within(timeout):
            return False
        if self._error is not None:
            raise self._error
        return True

    def ends_within(self, seconds: float | None) -> bool:
        """Like `wait`, without raising the error that ended the search."""
        return bool(wait([self._over], seconds).done)

    def done(self) -> bool:
        """Whether the search is over."""
        return self._over.done()

    def __await__(self) -> Generator[Any, None, SearchHandle]:
        """``await handle`` waits for the end without blocking the event loop; cancelling it does not end the search."""
        import asyncio

        yield from asyncio.wrap_future(self._over).__await__()
        self.wait()
        return self

    @property
    def job(self) -> SearchJob:
        """What all evaluations have in common; available when the data is prepared."""
        if self._prepared is None:
            raise PlanError(
                "the data of this search is not available",
                "wait until it is prepared; a copy of a search does not contain it",
            )
        return self._prepared.job

    @property
    def notes(self) -> tuple[str, ...]:
        """Messages about the reading of texts; empty before they are read."""
        prepared = self._prepared
        return prepared.job.text.notes if prepared is not None and prepared.job.text is not None else ()

    @property
    def policy(self) -> Policy:
        """The state of the search; read it when the search is over."""
        return self._policy

    def __getstate__(self) -> dict[str, Any]:
        """Results of a search that is over, without its data and its engine."""
        if not self.done():
            raise TypeError("cannot pickle or copy a running search: wait for its end")
        return {name: getattr(self, name) for name in _PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepared = None
        self._lock, self._over, self._queue = threading.RLock(), Future(), queue.SimpleQueue()
        self._over.set_result(None)

    def __str__(self) -> str:
        return f"{self.progress()}\n{ranking_text(self.ranking())}"

    def __repr__(self) -> str:
        return f"<SearchHandle: {self.progress()}>"

    def _repr_html_(self) -> str:
        """Progress and ranking as HTML."""
        return as_html(self)

    def _ipython_display_(self) -> None:
        """Show a table in a notebook and update it until the search is over."""
        show_live(self)

    # ---- the driver's thread

    def _run(self) -> None:
        try:
            self._search()
        except CancelledError:  # while texts were hashed: there are no evaluations to cancel
            self._policy.on(Aborted())
        except BaseException as error:
            self._error = error
        finally:
            self._ended_at = time.monotonic()
            # Whatever fails here, such as writing to a full disk, waiting callers must be released.
            for last in (self._call_on_end, self._write_end, self._proposer.close, self._close_data):
                try:
                    last()
                except BaseException as error:
                    self._error = self._error or error
            self._over.set_result(None)

    def _call_on_end(self) -> None:
        if self._on_end is not None and self._error is None:
            self._on_end(self)

    def _write_end(self) -> None:
        if self._journal is not None and self._error is None:
            self._journal.write_end(self._policy.end_reason)

    def _close_data(self) -> None:
        if self._prepared is not None:
            self._prepared.close()

    def _search(self) -> None:
        prepared = self._prepare(self._aborting.is_set)
        with self._lock:
            self._prepared, self._journal = prepared, prepared.journal
            self._policy = Policy(prepared.rules, self._proposer.grid_indices)
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(1))
            stack.enter_context(autologging_disabled())
            engine = stack.enter_context(engine_for(self._engine))
            reference = share_job(engine, prepared.job, uuid.uuid4().hex)
            stack.callback(withdraw_job, engine, reference)
            self._drive(engine, reference)

    def _drive(self, engine: Engine, reference: JobReference) -> None:
        with self._lock:
            self._update_width(engine)
            if self._journal is not None:
                self._resume(self._journal)
            instructions = self._policy.begin()
        while not self._abandoned:
            for instruction in instructions:
                if isinstance(instruction, Evaluate):
                    self._submit(engine, reference, instruction.task)
            if any(isinstance(instruction, End) for instruction in instructions):
                return
            if time.monotonic() - self._workers_counted_at >= _WORKER_COUNT_SECONDS:
                self._update_width(engine)
            propose = next((each for each in instructions if isinstance(each, Propose)), None)
            event = self._propose(propose.trial) if propose else self._next_event()
            instructions = self._handle(event)
        while self._futures:
            self._handle(Cancelled(self._futures.popitem()[0]))

    def _resume(self, journal: SearchJournal) -> None:
        """Apply the events of an earlier process."""
        results = (event for event in journal.events if isinstance(event, Evaluated | Failed))
        self._earlier_seconds = max((event.seconds for event in results), default=0.0)
        for trial, proposal in sorted(journal.proposals.items()):
            self._proposer.replay(trial, proposal)
        self._policy.replay(journal.events)
        self.log += journal.events
        self._report_scores(list(self._policy.results))

    def _update_width(self, engine: Engine) -> None:
        """Adapt the number of submitted evaluations to the current number of workers."""
        self._workers_counted_at = time.monotonic()
        width = _SUBMITTED_PER_WORKER * engine.workers_now()
        if width != self._policy.rules.width:
            self._policy.rules = replace(self._policy.rules, width=width)

    def _propose(self, trial: int) -> Event:
        proposal = self._proposer.ask()
        if proposal is None:
            return Exhausted()
        if self._journal is not None:
            self._journal.write_proposal(trial, proposal)
        return Proposed(trial, proposal.params)

    def _submit(self, engine: Engine, reference: JobReference, task: Evaluation) -> None:
        assignment = Assignment(reference, task, self._policy.params[task.trial])
        try:
            future: Future[Outcome] = engine.submit(evaluate, assignment)
        except EngineError as error:  # the parameters cannot be pickled
            future = Future()
            future.set_exception(error)
        self._futures[task] = future
        future.add_done_callback(lambda done: self._queue.put((task, done)))

    def _next_event(self) -> Event:
        """Wait for a result, an abort, or the end of the time budget."""
        while True:
            if (end := self._check_end()) is not None:
                self._cancel_waiting()
                return end
            timeout = None if self._journal is None else _ABORT_POLL_SECONDS
            if self._seconds is not None:
                remaining = max(0.0, self._started + self._seconds - time.monotonic())
                timeout = remaining if timeout is None else min(timeout, remaining)
            try:
                item = self._queue.get(timeout=timeout)
            except queue.Empty:
                continue
            if isinstance(item, Aborted):
                self._cancel_waiting()
                self._abandoned = self._cancels_running
            return self._to_event(*item) if isinstance(item, tuple) else item

    def _check_end(self) -> Event | None:
        """Check the time budget and abort requests, also while results arrive faster than they are handled."""
        now = time.monotonic()
        if self._seconds is not None and now - self._started >= self._seconds:
            self._seconds = None
            return OutOfTime()
        if self._journal is not None and now - self._abort_polled_at >= _ABORT_POLL_SECONDS:
            self._abort_polled_at = now
            return Aborted() if self._journal.take_abort_request() else None
        return None

    def _to_event(self, task: Evaluation, future: Future[Outcome]) -> Event:
        self._futures.pop(task, None)
        seconds = self._earlier_seconds + time.monotonic() - self._started
        try:
            outcome = future.result()
        except CancelledError:
            return Cancelled(task)
        except KeyboardInterrupt:  # raised in a worker thread, before or after it reaches the main thread
            self.abort()
            return Cancelled(task)
        except Exception as error:
            if self._raises and self._error is None:
                self._error = error
                self._queue.put(Aborted())
            what = error.what if isinstance(error, ManymillError) else error
            return Failed(task, f"{type(error).__name__}: {what}", f"{error!r}", seconds)
        if outcome.error:
            return Failed(task, outcome.error, outcome.traceback, seconds, outcome.worker)
        return Evaluated(
            task, outcome.scores, outcome.train_scores, outcome.fit_seconds, outcome.score_seconds, seconds,
            outcome.worker, outcome.n_rows,
        )  # fmt: skip

    def _handle(self, event: Event) -> list[Instruction]:
        """Log an event and pass it to the policy."""
        if self._journal is not None and not isinstance(event, Proposed):
            self._journal.write_event(event)
        with self._lock:
            self.log.append(event)
            instructions = self._policy.on(event)
            if isinstance(event, Evaluated | Failed):
                self._report_scores([event.task.trial])
        if self._observe is not None:
            self._observe(event)
        return instructions

    def _report_scores(self, trials: list[int]) -> None:
        """Report the scores of complete candidates to an adaptive sampler."""
        if not self._proposer.adaptive:
            return
        for trial in trials:
            rung = self._policy.results[trial][0]  # with halving, the rung that all candidates have
            if trial not in self._reported_trials and rung.n_ended == self._policy.rules.n_splits:
                self._reported_trials.add(trial)
                self._proposer.tell(trial, rung.mean(self._policy.rules.metric))

    def _cancel_waiting(self) -> None:
        """Cancel evaluations that no worker has begun."""
        for future in list(self._futures.values()):
            future.cancel()
