"""What to evaluate next: a state machine without clock, files or threads.

::

    on(event) -> instructions

    full evaluation    every candidate gets one split, in the order of proposal; then whoever is best so far gets the
                       next ones. The leaders are complete early, and all are in the end.
    halving            a candidate begins with few rows or passes; as soon as it is among the best 1/eta of those that
                       were given as much, it is given eta times as much (ASHA: Li et al. 2020, "A System for Massively
                       Parallel Hyperparameter Tuning"). Nobody waits for a rung to fill.

The same events give the same instructions, so a journal replays a search to where it stood; tasks that had begun and
have no result are instructed again.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from manymill.search.events import (
    Aborted,
    Dropped,
    End,
    Evaluated,
    Event,
    Exhausted,
    Failed,
    Instruction,
    OutOfTime,
    Propose,
    Proposed,
    Run,
    Task,
)

STATES = ("pending", "running", "done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a search is to do.

    Parameters
    ----------
    n_trials : int
        Candidates, at most.
    n_splits : int
    rungs : tuple of (int or None)
        Rows or passes of successive halving, from few to all; ``(None,)`` for full evaluations alone.
    eta : int
        Of those that reached a rung, one in so many goes on to the next.
    max_evaluations : int or None
        Tasks that may be begun.
    metric : str
        That decides.
    width : int
        Tasks that may be out at a time.
    adaptive : bool
        Whether candidates depend on earlier scores: then one is evaluated wholly before the next is proposed, as far
        as workers allow.
    """

    n_trials: int
    n_splits: int
    rungs: tuple[int | None, ...] = (None,)
    eta: int = 3
    max_evaluations: int | None = None
    metric: str = "score"
    width: int = 1
    adaptive: bool = False


@dataclass(slots=True)
class Rung:
    """What a candidate was evaluated to with one amount of rows or passes."""

    evaluated: dict[int, Evaluated] = field(default_factory=dict)
    failed: dict[int, Failed] = field(default_factory=dict)

    @property
    def n_ended(self) -> int:
        """Splits that gave scores, or failed."""
        return len(self.evaluated) + len(self.failed)

    def mean(self, metric: str) -> float:
        """The mean score of the splits that ended; NaN if one failed."""
        if self.failed or not self.evaluated:
            return math.nan
        return sum(done.scores[metric] for done in self.evaluated.values()) / len(self.evaluated)


def rung_that_counts(rungs: list[Rung], n_splits: int) -> int:
    """The rung a candidate is judged by: the highest that is whole or has a failure, else the highest with a result.

    A rung that is only begun says less than the whole one below it. -1 if there is no result.
    """
    ended = [place for place, rung in enumerate(rungs) if rung.n_ended]
    known = [place for place in ended if rungs[place].failed or rungs[place].n_ended == n_splits]
    return max(known or ended, default=-1)


class Policy:
    """Decides what is done next; see the module.

    Parameters
    ----------
    rules : Rules
    places : sequence of int
        Where each candidate stands in tables, and among equals; in the order of proposal if nothing is said.

    Attributes
    ----------
    params : dict of int to mapping
        Of each candidate.
    results : dict of int to list of Rung
        Of each candidate, by rung.
    counts : Counter
        Tasks by state; they add up to `total` at every moment.
    """

    def __init__(self, rules: Rules, places: Sequence[int] = ()) -> None:
        self.rules, self._places = rules, places
        self.params: dict[int, dict[str, object]] = {}
        self.results: dict[int, list[Rung]] = {}
        self.counts: Counter[str] = Counter(dict.fromkeys(STATES, 0))
        self.counts["pending"] = rules.n_trials * rules.n_splits
        self.why = ""  # it ended
        self.running: set[Task] = set()
        self._begun = 0
        self._left: dict[tuple[int, int], list[int]] = {}
        self._ready: deque[tuple[int, int]] = deque()  # (trial, rung) that has had no split yet
        self._leaders: list[tuple[float, int, int]] = []  # heap of (-mean, trial, rung), some of them stale
        self._rung_scores: list[list[tuple[float, int]]] = [[] for _ in rules.rungs]
        self._promoted: list[set[int]] = [set() for _ in rules.rungs]
        self._n_proposed = 0
        self._proposing = False
        self._exhausted = False
        self._stopped = ""
        self._replaying = False

    @property
    def total(self) -> int:
        """All tasks there are."""
        return sum(self.counts.values())

    @property
    def metrics(self) -> list[str]:
        """The metrics that results have; none before the first."""
        rungs = (rung for rungs in self.results.values() for rung in rungs)
        return next((list(done.scores) for rung in rungs for done in rung.evaluated.values()), [])

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.why)

    @property
    def trials(self) -> list[int]:
        """The candidates that were proposed, as tables have them."""
        return sorted(self.params, key=self.place)

    def place(self, trial: int) -> int:
        """Where a candidate stands in tables, and among equals."""
        return self._places[trial] if trial < len(self._places) else trial

    def begin(self) -> list[Instruction]:
        """The first instructions; after a replay, those that had no answer."""
        return self._instructions()

    def on(self, event: Event) -> list[Instruction]:
        """What is to be done after an event."""
        match event:
            case Proposed(trial, params):
                self._proposing = False
                self._n_proposed = max(self._n_proposed, trial + 1)
                self.params[trial] = dict(params)
                self.results[trial] = [Rung() for _ in self.rules.rungs]
                self._ready.append((trial, 0))
            case Exhausted():
                self._proposing, self._exhausted = False, True
                self._retire_unproposed()
            case Evaluated(task):
                self._end(task, "done")
                self.results[task.trial][task.rung].evaluated[task.split] = event
                self._scored(task)
            case Failed(task):
                self._end(task, "failed")
                self.results[task.trial][task.rung].failed[task.split] = event
                self._scored(task)
            case Dropped(task):
                self._end(task, "cancelled")
            case Aborted():
                self._stop("aborted")
            case OutOfTime():
                self._stop("out of time")
        return self._instructions()

    def replay(self, events: Iterable[Event]) -> None:
        """Take what happened before, without instructing anything: `begin` then goes on from there."""
        self._replaying = True
        for event in events:
            if isinstance(event, Evaluated | Failed):
                self._begin(event.task)
                self.on(event)
            elif isinstance(event, Proposed | Exhausted):
                self.on(event)
        self._replaying = False

    # ---- what is out

    def _begin(self, task: Task) -> None:
        """A task that was begun in another life, in whatever order."""
        if task.rung and task.trial not in self._promoted[task.rung - 1]:
            self._promote(task.trial, task.rung - 1)
        self._splits_left(task.trial, task.rung).remove(task.split)
        self._out(task)

    def _splits_left(self, trial: int, rung: int) -> list[int]:
        """The splits that were not begun, the next one last."""
        return self._left.setdefault((trial, rung), list(range(self.rules.n_splits))[::-1])

    def _out(self, task: Task) -> None:
        self._move("pending", "running")
        self.running.add(task)
        self._begun += 1

    def _move(self, source: str, target: str, n: int = 1) -> None:
        self.counts[source] -= n
        self.counts[target] += n

    def _end(self, task: Task, state: str) -> None:
        self.running.discard(task)
        self._move("running", state)

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        self._move("pending", "cancelled", self.counts["pending"])

    # ---- what to do

    def _instructions(self) -> list[Instruction]:
        out: list[Instruction] = []
        if self.why or self._replaying:
            return out
        budget = self.rules.max_evaluations
        while not self._stopped and len(self.running) < self.rules.width:
            if budget is not None and self._begun >= budget:
                # Until the last tasks end, an abort is still the reason why the search ends.
                if not self.running:
                    self._stop("out of evaluations")
                break
            task = self._next()
            if task is not None:
                self._out(task)
                out.append(Run(task))
            elif self._may_propose():
                self._proposing = True
                out.append(Propose(self._n_proposed))
                break
            else:
                break
        if not self.running and not self._proposing and (self._stopped or not self.counts["pending"]):
            self.why = self._stopped or "done"
            out.append(End(self.why))
        return out

    def _may_propose(self) -> bool:
        return not (self._proposing or self._exhausted or self._n_proposed >= self.rules.n_trials)

    def _next(self) -> Task | None:
        if len(self.rules.rungs) > 1 and (promoted := self._promotion()) is not None:
            self._ready.appendleft(promoted)
        while self._ready:
            trial, rung = self._ready.popleft()
            if len(self._splits_left(trial, rung)) == self.rules.n_splits:
                return self._split_of(trial, rung)
            self._rank(trial, rung)  # it was begun in another life
        # Candidates that do not depend on scores have one split each before any has two.
        if self._may_propose() and not self.rules.adaptive and len(self.rules.rungs) == 1:
            return None
        while self._leaders:
            score, trial, rung = heapq.heappop(self._leaders)
            if self._left[trial, rung] and self._standing(trial, rung) == score:
                return self._split_of(trial, rung)
        return None

    def _split_of(self, trial: int, rung: int) -> Task:
        split = self._splits_left(trial, rung).pop()
        task = Task(trial, split, rung, self.rules.rungs[rung])
        self._rank(trial, rung)
        return task

    def _rank(self, trial: int, rung: int) -> None:
        """Put a candidate that has splits left among the leaders, at its score so far."""
        if self._splits_left(trial, rung):
            heapq.heappush(self._leaders, (self._standing(trial, rung), trial, rung))

    def _standing(self, trial: int, rung: int) -> float:
        """What leaders are sorted by: the best first, whoever has no score yet behind them, failures last."""
        results = self.results[trial][rung]
        if results.failed:
            return math.inf
        mean = results.mean(self.rules.metric)
        if len(self.rules.rungs) > 1 or self.rules.adaptive:
            # What was begun is completed first: promotions, and proposals, wait for whole results.
            return -float(rung) if results.n_ended == 0 or not math.isnan(mean) else math.inf
        return 1e308 if math.isnan(mean) else -mean

    def _scored(self, task: Task) -> None:
        trial, rung = task.trial, task.rung
        results = self.results[trial][rung]
        self._rank(trial, rung)
        if results.n_ended == self.rules.n_splits:
            mean = results.mean(self.rules.metric)
            insort(self._rung_scores[rung], (-math.inf if math.isnan(mean) else mean, trial))

    def _promotion(self) -> tuple[int, int] | None:
        """The best candidate that may go on, from the highest rung that has one."""
        for rung in range(len(self.rules.rungs) - 2, -1, -1):
            scores = self._rung_scores[rung]
            for score, trial in reversed(scores[len(scores) - len(scores) // self.rules.eta :]):
                if trial not in self._promoted[rung] and score > -math.inf:
                    self._promote(trial, rung)
                    return trial, rung + 1
        return None

    def _promote(self, trial: int, rung: int) -> None:
        self._promoted[rung].add(trial)
        self.counts["pending"] += self.rules.n_splits

    def _retire_unproposed(self) -> None:
        """Candidates that nobody proposed are no tasks."""
        state = "cancelled" if self._stopped else "pending"
        self.counts[state] -= (self.rules.n_trials - self._n_proposed) * self.rules.n_splits
