"""Worker side of lanes: tasks, what a process caches between rounds, prefetching, and learning a round.

::

    broadcast (changes of the last rounds, or the full state) ──► learner, in the driver's state
    the lane's blocks of this round ──► rows ──► learner ──► changes ──► sums to be merged
                                                    └── reset: the next lane starts from the same state

Caches and prefetching only save time: a worker that has lost them computes the same bytes again.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from manymill import _core
from manymill.data.batches import BadRow
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.engine import interrupts
from manymill.engine.spool import Ref
from manymill.linear.feature_weights import empty_counts
from manymill.linear.holdout import HashedRows
from manymill.linear.lanes.dealing import Lanes, deal
from manymill.linear.row_stream import FeatureBatch, Lane, cached_row_bytes, concatenate
from manymill.linear.settings import Settings
from manymill.linear.state import apply_round, load_state, load_table, new_learner

# Bytes of rows to prefetch for a lane.
_PREFETCH_BYTES = 16 << 20

# Caches of trainings that a process holds: of the current one and of the one before.
_MAX_CACHES = 2

# Cached rows that are copied to a new order at a time.
_ROWS_PER_BATCH = 4096


class NewClassesError(Exception):
    """A lane found unknown classes: all lanes have to start again with them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.names = names


class PlanSource(Protocol):
    """Source of a worker's plan."""

    def plan(self) -> Plan:
        """Load the plan."""


@dataclass(frozen=True, slots=True)
class LaneJob:
    """The common part of all tasks of a training; small, since it is sent with every task."""

    token: str  # identifies the training
    source: PlanSource
    settings: Settings
    classes: tuple[str, ...]  # in the order of the learner's outputs
    rules: tuple[str, ...]  # rules whose sums the driver needs
    table: Ref | None = None  # features in use, with their weights

    def lanes(self) -> Lanes:
        """The blocks of the lanes, the same on every worker."""
        settings = self.settings
        return deal(
            self.source.plan(),
            settings.lanes,
            settings.rounds_per_pass,
            seed=settings.seed,
            interleaved=settings.interleaved,
        )


@dataclass(frozen=True, slots=True)
class Broadcast:
    """The state at the start of a round, as changes of an earlier one.

    Parameters
    ----------
    version : int
        Number of rounds before this state; 0 is the untrained state.
    full : (int, Ref) or None
        A full state and its version.
    changes : tuple of (int, Ref)
        For each version after the full state, up to this one: the new values of the changed features.
    """

    version: int = 0
    full: tuple[int, Ref] | None = None
    changes: tuple[tuple[int, Ref], ...] = ()


@dataclass(frozen=True, slots=True)
class LaneTask:
    """A round of a lane; passes and rounds are numbered from 0."""

    job: LaneJob
    lane: int
    pass_number: int
    round_number: int
    broadcast: Broadcast
    location: str = ""  # first file and block, for messages

    @property
    def name(self) -> str:
        """Name in error messages."""
        return f"lane {self.lane + 1} in round {self.round_number + 1} of pass {self.pass_number + 1}{self.location}"


@dataclass(frozen=True, slots=True)
class CountTask:
    """Counting the features of a lane."""

    job: LaneJob
    lane: int

    @property
    def name(self) -> str:
        """Name in error messages."""
        return f"the counts of lane {self.lane + 1}"


@dataclass(frozen=True, slots=True)
class LaneReport:
    """Statistics of a lane's round and results of its first pass; the changes are returned separately."""

    lane: int
    n_rows: int = 0
    weight_sum: float = 0.0
    loss_sum: float = 0.0
    n_correct: int = 0
    seconds: float = 0.0
    held_out: tuple[HashedRows, ...] = ()
    n_used: int = 0
    bad_counts: tuple[tuple[str, int], ...] = ()
    bad: tuple[BadRow, ...] = ()
    class_rows: tuple[int, ...] = ()  # rows of each class


class Prefetch:
    """Prefetches the first batches of a round, while the driver merges the previous one.

    Parameters
    ----------
    key : (int, int)
        Pass and round.
    batches : iterator of FeatureBatch
        All batches of the round, in order.
    """

    def __init__(self, key: tuple[int, int], batches: Iterator[FeatureBatch]) -> None:
        self.key = key
        self._batches = batches
        self._ready: deque[FeatureBatch] = deque()
        self._stopped = threading.Event()
        self._filling = threading.Lock()
        self._has_failed = False

    def fill(self) -> None:
        """Read batches until there are enough, or :meth:`stop` is called."""
        n_bytes = 0
        with self._filling:
            while n_bytes < _PREFETCH_BYTES and not self._stopped.is_set():
                try:
                    batch = next(self._batches, None)
                except Exception:
                    # The error is raised when the round reads the batches again.
                    self._has_failed = True
                    self._ready.clear()
                    return
                if batch is None:
                    return
                self._ready.append(batch)
                n_bytes += batch.rows.nbytes

    def stop(self) -> bool:
        """Stop reading; returns whether the prefetched batches are valid."""
        self._stopped.set()
        with self._filling:
            return not self._has_failed

    def feature_batches(self) -> Iterator[FeatureBatch]:
        """All batches of the round, starting with the prefetched ones."""
        while self._ready:
            yield self._ready.popleft()
        yield from self._batches


def _refuse_classes(n_known: int, names: tuple[str, ...], location: str) -> None:
    raise NewClassesError(names)


class _LaneRows:
    """The rows of one lane by round; cached after the first pass if they are few."""

    def __init__(self, cache: WorkerCache, lane: int) -> None:
        self._cache, self._number = cache, lane
        self._caches_rows = bool(cached_row_bytes(cache.lanes.plan, cache.job.settings))
        self._cached: dict[int, list[FeatureBatch]] = {}
        self._all: FeatureBatch | None = None
        self._reports: dict[int, LaneReport] = {}
        self._prefetch: Prefetch | None = None

    def feature_batches(self, pass_number: int, round_number: int) -> Iterator[FeatureBatch]:
        if pass_number and self._caches_rows:
            return self._shuffled(pass_number, round_number)
        prefetch, self._prefetch = self._prefetch, None
        if prefetch is not None and prefetch.stop() and prefetch.key == (pass_number, round_number):
            return prefetch.feature_batches()
        return self._read(pass_number, round_number)

    def prefetch_round(self, pass_number: int, round_number: int) -> None:
        """Read some batches of a later round."""
        if not (pass_number and self._caches_rows):
            self._prefetch = Prefetch((pass_number, round_number), self._read(pass_number, round_number))
            self._prefetch.fill()

    def stop_prefetch(self) -> None:
        """Stop prefetching."""
        prefetch, self._prefetch = self._prefetch, None
        if prefetch is not None:
            prefetch.stop()

    def pop_report(self, pass_number: int, round_number: int) -> LaneReport:
        """The report of a round in the first pass: held-out rows and bad rows; empty in later passes."""
        found = None if pass_number else self._reports.pop(round_number, None)
        return LaneReport(self._number) if found is None else found

    def _read(self, pass_number: int, round_number: int) -> Iterator[FeatureBatch]:
        cache, ledger = self._cache, Ledger()
        blocks = cache.lanes.of_round(self._number, pass_number, round_number)
        lane = cache.lane(
            self._number,
            round_number,
            ledger=ledger,
            first=pass_number == 0,
            table=cache.table(),
        )
        cached: list[FeatureBatch] = []
        for batch in lane.read(pass_number, blocks):
            if self._caches_rows:
                cached.append(batch)
            yield batch
        if self._caches_rows:
            self._cached[round_number] = cached
        if pass_number == 0:
            self._reports[round_number] = LaneReport(
                self._number,
                held_out=tuple(lane.holdout),
                n_used=ledger.n_used,
                bad_counts=tuple(ledger.counts.items()),
                bad=tuple(ledger.first),
            )

    def _shuffled(self, pass_number: int, round_number: int) -> Iterator[FeatureBatch]:
        """The cached rows of all rounds in a new order."""
        rounds = self._cache.lanes.rounds
        for number in range(rounds):
            if number not in self._cached:  # another worker had that round
                for _ in self._read(0, number):
                    pass
                self._reports.pop(number, None)
        if self._all is None:
            self._all = concatenate([batch for number in range(rounds) for batch in self._cached[number]])
            self._cached = {number: [] for number in range(rounds)}
        if self._all is None:
            return
        n_rows = len(self._all.classes)
        order = np.random.default_rng((self._cache.lanes.seed, pass_number, self._number)).permutation(n_rows)
        mine = np.array_split(order.astype(np.uint32), rounds)[round_number]
        for start in range(0, len(mine), _ROWS_PER_BATCH):
            yield self._all.take(mine[start : start + _ROWS_PER_BATCH])


class WorkerCache:
    """Learners and rows of one training that a process caches between rounds."""

    def __init__(self, job: LaneJob) -> None:
        self.job = job
        self.lanes = job.lanes()
        self._lock = threading.Lock()
        self._idle: list[tuple[int, _core.Learner]] = []
        self._rows: dict[int, _LaneRows] = {}
        self._table: _core.FeatureTable | None = None
        self._has_ended = False

    def table(self) -> _core.FeatureTable | None:
        """The features in use, with the weights that the values of rows are multiplied by."""
        published = self.job.table
        if published is None:
            return None
        with self._lock:
            if self._table is None:
                self._table = load_table(published.load())
            return self._table

    def lane(
        self,
        lane: int,
        round_number: int,
        *,
        ledger: Ledger,
        first: bool,
        table: _core.FeatureTable | None,
    ) -> Lane:
        """A reader of the rows of a lane's round that works on the consumer's thread."""
        return Lane(
            self.lanes.plan,
            replace(self.job.settings, seed=self.lanes.seed_of(lane, round_number)),
            executor=None,
            threads=1,
            classes=self.job.classes,
            ledger=ledger,
            on_new_classes=_refuse_classes,
            table=table,
            first=first,
        )

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if the training was stopped."""
        if self._has_ended or interrupts.stop_requested():
            raise KeyboardInterrupt

    def end(self) -> None:
        """Stop the running tasks soon."""
        self._has_ended = True
        for rows in list(self._rows.values()):
            rows.stop_prefetch()

    def rows(self, lane: int) -> _LaneRows:
        """The rows of a lane."""
        with self._lock:
            return self._rows.setdefault(lane, _LaneRows(self, lane))

    @contextmanager
    def learner(self, broadcast: Broadcast) -> Iterator[_core.Learner]:
        """A learner in the broadcast state, cached for the next task unless this one fails."""
        table = self.table()
        with self._lock:
            version, learner = self._idle.pop() if self._idle else (0, None)
        if learner is None:
            learner = new_learner(self.job.settings, max(2, len(self.job.classes)), table)
        self._catch_up(learner, version, broadcast)
        yield learner
        with self._lock:
            self._idle.append((broadcast.version, learner))

    def _catch_up(self, learner: _core.Learner, version: int, broadcast: Broadcast) -> None:
        n_lanes = len(self.lanes)
        if broadcast.full is not None and version < broadcast.full[0]:
            version, published = broadcast.full
            load_state(learner, published.load(), n_lanes)
        for number, published in broadcast.changes:
            if number > version:
                apply_round(learner, published.load(), n_lanes)


_caches: OrderedDict[str, WorkerCache] = OrderedDict()
_caches_lock = threading.Lock()


def worker_cache(job: LaneJob) -> WorkerCache:
    """The cache of a training in this process."""
    with _caches_lock:
        if job.token not in _caches:
            _caches[job.token] = WorkerCache(job)
        # The table is known only after the first tasks.
        _caches[job.token].job = job
        while len(_caches) > _MAX_CACHES:
            _caches.popitem(last=False)
        _caches.move_to_end(job.token)
        return _caches[job.token]


def evict(token: str) -> None:
    """Drop the cache of a training in this process, and stop its tasks."""
    with _caches_lock:
        cache = _caches.pop(token, None)
    if cache is not None:
        cache.end()


def learn_round(task: LaneTask) -> tuple[LaneReport, _core.MergeSums | None]:
    """Learn a lane's rows of one round.

    Raises
    ------
    SourceError, RowError
        If reading fails.
    FloatingPointError
        If the weights diverge.
    """
    started = time.monotonic()
    cache = worker_cache(task.job)
    rows = cache.rows(task.lane)
    n_rows, weight_sum, loss_sum, n_correct = 0, 0.0, 0.0, 0
    class_rows = np.zeros(max(2, len(task.job.classes)), np.int64)
    with cache.learner(task.broadcast) as learner:
        learner.begin_changes()
        for batch in rows.feature_batches(task.pass_number, task.round_number):
            cache.check()
            stats = learner.learn(batch.rows, batch.classes, batch.weights)
            n_rows += stats.n_rows
            weight_sum += stats.weight_sum
            loss_sum += stats.loss_sum
            n_correct += stats.n_correct
            class_rows += np.bincount(batch.classes, minlength=len(class_rows))
        sums = _core.MergeSums.of(learner, n_rows, task.job.rules)
    report = rows.pop_report(task.pass_number, task.round_number)
    seconds = time.monotonic() - started
    return replace(
        report,
        n_rows=n_rows,
        weight_sum=weight_sum,
        loss_sum=loss_sum,
        n_correct=n_correct,
        seconds=seconds,
        class_rows=tuple(class_rows.tolist()),
    ), sums if n_rows else None


def prefetch_round(task: LaneTask) -> None:
    """Prefetch the first batches of a lane's next round, if the engine shares memory."""
    worker_cache(task.job).rows(task.lane).prefetch_round(task.pass_number, task.round_number)


def count_lane(task: CountTask) -> tuple[None, _core.FeatureCounts | None]:
    """Count the features of a lane's rows, for feature weights."""
    cache, lane = worker_cache(task.job), task.lane
    counts = empty_counts(task.job.settings, len(task.job.classes))
    for number in range(cache.lanes.rounds):
        rows = cache.lane(lane, number, ledger=Ledger(), first=True, table=None)
        for batch in rows.read(0, cache.lanes.of_round(lane, 0, number)):
            cache.check()
            counts.add(batch.rows, batch.classes, batch.weights)
    return None, counts


def combine_counts(parts: list[_core.FeatureCounts]) -> _core.FeatureCounts:
    """Add the counts of several lanes; they are integers, so the order does not matter."""
    # Copy, since a cluster may use the parts again.
    counts = copy.copy(parts[0])
    for part in parts[1:]:
        counts.merge(part)
    return counts


def combine_sums(parts: list[_core.MergeSums]) -> _core.MergeSums:
    """Add the sums of several lanes, in their order."""
    return _core.MergeSums.combine(parts)
