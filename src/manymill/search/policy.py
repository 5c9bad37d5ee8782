"""Scheduling policy of a search: a state machine without clock, files or threads.

::

    on(event) -> instructions

    full evaluation    Every candidate is evaluated on one split, in the order of proposal; then the best candidate so
                       far gets its next split. The leaders are complete early, and all are in the end.
    halving            A candidate begins with few rows or passes. As soon as it is among the best 1/eta of those that
                       were evaluated with the same resource, it is promoted to eta times the resource (ASHA: Li et al.
                       2020, "A System for Massively Parallel Hyperparameter Tuning"). No rung has to be full first.

The same events give the same instructions, so a journal replays a search up to its last event. Evaluations that had
begun but have no result are instructed again.
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

STATES = ("pending", "running", "done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the policy.

    Parameters
    ----------
    n_trials : int
        Greatest number of candidates.
    n_splits : int
    rungs : tuple of (int or None)
        Rows or passes of each rung of successive halving, ascending, None for all; ``(None,)`` without halving.
    eta : int
        One of ``eta`` candidates of a rung is promoted to the next.
    max_evaluations : int or None
        Budget of evaluations.
    metric : str
        The metric that ranks candidates.
    width : int
        Greatest number of evaluations that run or wait for a worker at a time.
    adaptive : bool
        Whether the sampler uses earlier scores: then candidates are completed before new ones are proposed, as far as
        this keeps all workers busy.
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
    """Results of a candidate with one resource, by split."""

    evaluated: dict[int, Evaluated] = field(default_factory=dict)
    failed: dict[int, Failed] = field(default_factory=dict)

    @property
    def n_ended(self) -> int:
        """Number of splits that were evaluated or failed."""
        return len(self.evaluated) + len(self.failed)

    def mean(self, metric: str) -> float:
        """The mean score of the splits that ended; NaN if one failed."""
        if self.failed or not self.evaluated:
            return math.nan
        return sum(done.scores[metric] for done in self.evaluated.values()) / len(self.evaluated)


def decisive_rung(rungs: list[Rung], n_splits: int) -> int:
    """The index of the rung that ranks a candidate: the highest complete or failed one, else the highest with a result.

    An incomplete rung says less than the complete rung below it. -1 if there is no result.
    """
    ended = [index for index, rung in enumerate(rungs) if rung.n_ended]
    final = [index for index in ended if rungs[index].failed or rungs[index].n_ended == n_splits]
    return max(final or ended, default=-1)


class Policy:
    """Decides what to do after each event; the module describes the rules.

    Parameters
    ----------
    rules : Rules
    grid_indices : sequence of int
        Index of each candidate in the grid, which orders tables and breaks ties; the order of proposal by default.

    Attributes
    ----------
    params : dict of int to mapping
        Parameters of each candidate.
    results : dict of int to list of Rung
        Results of each candidate by rung.
    counts : Counter
        Number of evaluations by state; their sum is always `total`.
    running : set of Evaluation
    end_reason : str
        Why the search ended; empty before.
    """

    def __init__(self, rules: Rules, grid_indices: Sequence[int] = ()) -> None:
        self.rules, self._grid_indices = rules, grid_indices
        self.params: dict[int, dict[str, object]] = {}
        self.results: dict[int, list[Rung]] = {}
        self.counts: Counter[str] = Counter(dict.fromkeys(STATES, 0))
        self.counts["pending"] = rules.n_trials * rules.n_splits
        self.end_reason = ""
        self.running: set[Evaluation] = set()
        self._n_started = 0
        self._unstarted: dict[tuple[int, int], list[int]] = {}  # splits by (trial, rung), the next one last
        self._new: deque[tuple[int, int]] = deque()  # (trial, rung) without a started split
        self._leaders: list[
            tuple[float, int, int]
        ] = []  # heap of (priority, trial, rung), some of them outdated
        self._rung_scores: list[list[tuple[float, int]]] = [[] for _ in rules.rungs]
        self._promoted: list[set[int]] = [set() for _ in rules.rungs]
        self._n_proposed = 0
        self._proposing = False
        self._exhausted = False
        self._stop_reason = ""
        self._replaying = False

    @property
    def total(self) -> int:
        """Number of evaluations in all states."""
        return sum(self.counts.values())

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics of the results; empty before the first result."""
        rungs = (rung for rungs in self.results.values() for rung in rungs)
        return next((list(done.scores) for rung in rungs for done in rung.evaluated.values()), [])

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.end_reason)

    @property
    def trials(self) -> list[int]:
        """The proposed candidates in the order of tables."""
        return sorted(self.params, key=self.grid_index)

    def grid_index(self, trial: int) -> int:
        """The index of a candidate in the grid, or in the order of proposal: it orders tables and breaks ties."""
        return self._grid_indices[trial] if trial < len(self._grid_indices) else trial

    def begin(self) -> list[Instruction]:
        """The first instructions; after a replay, those without a result."""
        return self._instructions()

    def on(self, event: Event) -> list[Instruction]:
        """Update the state with an event and return the next instructions."""
        match event:
            case Proposed(trial, params):
                self._proposing = False
                self._n_proposed = max(self._n_proposed, trial + 1)
                self.params[trial] = dict(params)
                self.results[trial] = [Rung() for _ in self.rules.rungs]
                self._new.append((trial, 0))
            case Exhausted():
                self._proposing, self._exhausted = False, True
                self._discard_unproposed()
            case Evaluated(task):
                self._end(task, "done")
                self.results[task.trial][task.rung].evaluated[task.split] = event
                self._update_scores(task)
            case Failed(task):
                self._end(task, "failed")
                self.results[task.trial][task.rung].failed[task.split] = event
                self._update_scores(task)
            case Cancelled(task):
                self._end(task, "cancelled")
            case Aborted():
                self._stop("aborted")
            case OutOfTime():
                self._stop("out of time")
        return self._instructions()

    def replay(self, events: Iterable[Event]) -> None:
        """Apply earlier events without giving instructions; `begin` then resumes the search."""
        self._replaying = True
        for event in events:
            if isinstance(event, Evaluated | Failed):
                self._restart(event.task)
                self.on(event)
            elif isinstance(event, Proposed | Exhausted):
                self.on(event)
        self._replaying = False

    # ---- states of evaluations

    def _restart(self, task: Evaluation) -> None:
        """Mark an evaluation of an earlier process as started, in any order."""
        if task.rung and task.trial not in self._promoted[task.rung - 1]:
            self._promote(task.trial, task.rung - 1)
        self._unstarted_splits(task.trial, task.rung).remove(task.split)
        self._start(task)

    def _unstarted_splits(self, trial: int, rung: int) -> list[int]:
        return self._unstarted.setdefault((trial, rung), list(range(self.rules.n_splits))[::-1])

    def _start(self, task: Evaluation) -> None:
        self._move("pending", "running")
        self.running.add(task)
        self._n_started += 1

    def _move(self, source: str, target: str, n: int = 1) -> None:
        self.counts[source] -= n
        self.counts[target] += n

    def _end(self, task: Evaluation, state: str) -> None:
        self.running.discard(task)
        self._move("running", state)

    def _stop(self, reason: str) -> None:
        self._stop_reason = self._stop_reason or reason
        self._move("pending", "cancelled", self.counts["pending"])

    # ---- instructions

    def _instructions(self) -> list[Instruction]:
        out: list[Instruction] = []
        if self.end_reason or self._replaying:
            return out
        budget = self.rules.max_evaluations
        while not self._stop_reason and len(self.running) < self.rules.width:
            if budget is not None and self._n_started >= budget:
                # As long as evaluations run, an abort can still become the reason for the end.
                if not self.running:
                    self._stop("out of evaluations")
                break
            task = self._next()
            if task is not None:
                self._start(task)
                out.append(Evaluate(task))
            elif self._may_propose():
                self._proposing = True
                out.append(Propose(self._n_proposed))
                break
            else:
                break
        if not self.running and not self._proposing and (self._stop_reason or not self.counts["pending"]):
            self.end_reason = self._stop_reason or "done"
            out.append(End(self.end_reason))
        return out

    def _may_propose(self) -> bool:
        return not (self._proposing or self._exhausted or self._n_proposed >= self.rules.n_trials)

    def _next(self) -> Evaluation | None:
        if len(self.rules.rungs) > 1 and (promoted := self._promotion()) is not None:
            self._new.appendleft(promoted)
        while self._new:
            trial, rung = self._new.popleft()
            if len(self._unstarted_splits(trial, rung)) == self.rules.n_splits:
                return self._next_split(trial, rung)
            self._push_leader(trial, rung)  # an earlier process started it
        # Candidates of a sampler that does not use scores get one split each before any gets a second one.
        if self._may_propose() and not self.rules.adaptive and len(self.rules.rungs) == 1:
            return None
        while self._leaders:
            priority, trial, rung = heapq.heappop(self._leaders)
            if self._unstarted[trial, rung] and self._priority(trial, rung) == priority:
                return self._next_split(trial, rung)
        return None

    def _next_split(self, trial: int, rung: int) -> Evaluation:
        split = self._unstarted_splits(trial, rung).pop()
        task = Evaluation(trial, split, rung, self.rules.rungs[rung])
        self._push_leader(trial, rung)
        return task

    def _push_leader(self, trial: int, rung: int) -> None:
        """Add a candidate that has splits left to the leaders, with its current priority."""
        if self._unstarted_splits(trial, rung):
            heapq.heappush(self._leaders, (self._priority(trial, rung), trial, rung))

    def _priority(self, trial: int, rung: int) -> float:
        """Sort key of the leaders: the best first, then candidates without a score, then failures."""
        results = self.results[trial][rung]
        if results.failed:
            return math.inf
        mean = results.mean(self.rules.metric)
        if len(self.rules.rungs) > 1 or self.rules.adaptive:
            # Complete started candidates first: promotions and adaptive samplers need all splits.
            return -float(rung) if results.n_ended == 0 or not math.isnan(mean) else math.inf
        return 1e308 if math.isnan(mean) else -mean

    def _update_scores(self, task: Evaluation) -> None:
        trial, rung = task.trial, task.rung
        results = self.results[trial][rung]
        self._push_leader(trial, rung)
        if results.n_ended == self.rules.n_splits:
            mean = results.mean(self.rules.metric)
            insort(self._rung_scores[rung], (-math.inf if math.isnan(mean) else mean, trial))

    def _promotion(self) -> tuple[int, int] | None:
        """Promote the best candidate that qualifies, from the highest possible rung; gives (trial, new rung)."""
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

    def _discard_unproposed(self) -> None:
        """Remove the evaluations of candidates that will not be proposed."""
        state = "cancelled" if self._stop_reason else "pending"
        self.counts[state] -= (self.rules.n_trials - self._n_proposed) * self.rules.n_splits
