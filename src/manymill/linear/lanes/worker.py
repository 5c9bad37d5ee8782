"""What a worker does for a lane in one round: it brings its state up to date, learns, gives back what changed.

::

    broadcast (what the last rounds changed, or everything) ──► learner, as the driver's state is
    the lane's blocks of this round ──► rows ──► learner ──► what changed ──► sums to be merged
                                                    └── put back as it was: the next lane starts from the same state

What travels between the driver and whoever works on a lane: tasks out, reports back.

What a worker keeps of a training between rounds: learners, and the rows of its lanes.

It saves time and decides nothing: a worker that has lost it, or never had it, makes it anew to the same bytes.

The first lessons of a round, read and hashed before it begins: while the driver merges, workers have nothing to do.

It saves time and decides nothing: the lessons are those that would be read later, in the same order.
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
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import BadRow
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.engine import interrupts
from manymill.engine.spool import Ref
from manymill.linear.feature_weights import counts_for
from manymill.linear.holdout import HashedRows
from manymill.linear.lanes.dealing import Lanes, deal
from manymill.linear.row_stream import Lane, Lesson, joined, kept_row_bytes
from manymill.linear.settings import Settings
from manymill.linear.state import new_learner, put


class NewClassesError(Exception):
    """A lane met classes that it does not know: all lanes have to begin anew with them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.names = names


class Source(Protocol):
    """Where a worker has the plan from."""

    def plan(self) -> Plan:
        """The plan."""


@dataclass(frozen=True, slots=True)
class Work:
    """All that the lanes of a training have in common; small, since it travels with every task."""

    token: str  # of this training on this driver
    source: Source
    settings: Settings
    classes: tuple[str, ...]  # in the order of the learner's outputs
    rules: tuple[str, ...]  # what the merging will need sums for
    feature_weights: Ref | None = None

    def lanes(self) -> Lanes:
        """The plan, dealt: the same on every worker."""
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
    """The state that a round starts from, as changes of an earlier one.

    Parameters
    ----------
    version : int
        Rounds that are behind this state; 0 is the state that knows nothing.
    full : (int, Ref) or None
        A whole state and its version.
    changes : tuple of (int, Ref)
        For each version after the whole state's, up to this one: the new values of the features that changed.
    """

    version: int = 0
    full: tuple[int, Ref] | None = None
    changes: tuple[tuple[int, Ref], ...] = ()


@dataclass(frozen=True, slots=True)
class LaneTask:
    """A lane's part of a round; passes and rounds are numbered from 0."""

    work: Work
    lane: int
    pass_number: int
    round_number: int
    broadcast: Broadcast
    where: str = ""  # what it begins with, for people

    @property
    def name(self) -> str:
        """What people call it, should it fail."""
        return f"lane {self.lane + 1} in round {self.round_number + 1} of pass {self.pass_number + 1}{self.where}"


@dataclass(frozen=True, slots=True)
class CountTask:
    """A lane whose features are counted."""

    work: Work
    lane: int

    @property
    def name(self) -> str:
        """What people call it, should it fail."""
        return f"the counts of lane {self.lane + 1}"


@dataclass(frozen=True, slots=True)
class LaneReport:
    """What the driver is told of a lane's round, besides the changes."""

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


# Bytes of rows that are read ahead for a lane.
_MOST_BYTES = 16 << 20


class Ahead:
    """Lessons of one round of one lane.

    Parameters
    ----------
    which : (int, int)
        The pass and the round.
    lessons : iterator of Lesson
        All of its lessons.
    """

    def __init__(self, which: tuple[int, int], lessons: Iterator[Lesson]) -> None:
        self.which = which
        self._lessons = lessons
        self._ready: deque[Lesson] = deque()
        self._is_due = threading.Event()
        self._filling = threading.Lock()
        self._failed = False

    def fill(self) -> None:
        """Read lessons until the round begins, or there are enough."""
        n_bytes = 0
        with self._filling:
            while n_bytes < _MOST_BYTES and not self._is_due.is_set():
                try:
                    lesson = next(self._lessons, None)
                except Exception:
                    # Whoever reads them again when they are due meets the same, and says so.
                    self._failed = True
                    self._ready.clear()
                    return
                if lesson is None:
                    return
                self._ready.append(lesson)
                n_bytes += lesson.rows.nbytes

    def stop(self) -> bool:
        """Have no more lessons read ahead; whether those that were may be used."""
        self._is_due.set()
        with self._filling:
            return not self._failed

    def lessons(self) -> Iterator[Lesson]:
        """All lessons, those that are ready first."""
        while self._ready:
            yield self._ready.popleft()
        yield from self._lessons


# Runs whose learners and rows a process keeps: one is at work, and another may follow it.
_RUNS = 2

# Kept rows that are copied into their new order at a time.
_ROWS_OF_A_LESSON = 4096


def _refuse_classes(n_known: int, names: tuple[str, ...], where: str) -> None:
    raise NewClassesError(names)


class _LaneRows:
    """The rows of one lane, round by round; kept after the first pass where they are few."""

    def __init__(self, place: Place, lane: int) -> None:
        self._place, self._number = place, lane
        self._keeps = bool(kept_row_bytes(place.lanes.plan, place.work.settings))
        self._kept: dict[int, list[Lesson]] = {}
        self._all: Lesson | None = None
        self._told: dict[int, LaneReport] = {}
        self._ahead: Ahead | None = None

    def lessons(self, pass_number: int, round_number: int) -> Iterator[Lesson]:
        if pass_number and self._keeps:
            return self._again(pass_number, round_number)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.stop() and ahead.which == (pass_number, round_number):
            return ahead.lessons()
        return self._fresh(pass_number, round_number)

    def read_ahead(self, pass_number: int, round_number: int) -> None:
        """Read some lessons of a round that has not begun."""
        if not (pass_number and self._keeps):
            self._ahead = Ahead((pass_number, round_number), self._fresh(pass_number, round_number))
            self._ahead.fill()

    def stop_ahead(self) -> None:
        """Read nothing ahead any more."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.stop()

    def told(self, pass_number: int, round_number: int) -> LaneReport:
        """What the first visit of a round's rows found besides rows to learn; nothing later on."""
        found = None if pass_number else self._told.pop(round_number, None)
        return LaneReport(self._number) if found is None else found

    def _fresh(self, pass_number: int, round_number: int) -> Iterator[Lesson]:
        place, ledger = self._place, Ledger()
        blocks = place.lanes.of_round(self._number, pass_number, round_number)
        lane = place.lane(
            self._number,
            round_number,
            ledger=ledger,
            first=pass_number == 0,
            weights=place.feature_weights(),
        )
        kept: list[Lesson] = []
        for lesson in lane.read(pass_number, blocks):
            if self._keeps:
                kept.append(lesson)
            yield lesson
        if self._keeps:
            self._kept[round_number] = kept
        if pass_number == 0:
            self._told[round_number] = LaneReport(
                self._number,
                held_out=tuple(lane.holdout),
                n_used=ledger.n_used,
                bad_counts=tuple(ledger.counts.items()),
                bad=tuple(ledger.first),
            )

    def _again(self, pass_number: int, round_number: int) -> Iterator[Lesson]:
        """Lessons of the first pass in a new order, over all rounds, and their rows in a new order."""
        rounds = self._place.lanes.rounds
        for number in range(rounds):
            if number not in self._kept:  # this worker has not had that round
                for _ in self._fresh(0, number):
                    pass
                self._told.pop(number, None)
        if self._all is None:
            self._all = joined([lesson for number in range(rounds) for lesson in self._kept[number]])
            self._kept = {number: [] for number in range(rounds)}
        if self._all is None:
            return
        n_rows = len(self._all.classes)
        order = np.random.default_rng((self._place.lanes.seed, pass_number, self._number)).permutation(n_rows)
        mine = np.array_split(order.astype(np.uint32), rounds)[round_number]
        for start in range(0, len(mine), _ROWS_OF_A_LESSON):
            yield self._all.taken(mine[start : start + _ROWS_OF_A_LESSON])


class Place:
    """What a process keeps of one training."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.lanes = work.lanes()
        self._lock = threading.Lock()
        self._idle: list[tuple[int, _core.Learner]] = []
        self._rows: dict[int, _LaneRows] = {}
        self._over = False

    def feature_weights(self) -> NDArray[np.float32] | None:
        """What the values of rows are multiplied by."""
        published = self.work.feature_weights
        return None if published is None else published.load()["weights"]

    def lane(
        self,
        lane: int,
        round_number: int,
        *,
        ledger: Ledger,
        first: bool,
        weights: NDArray[np.float32] | None,
    ) -> Lane:
        """A reader of a lane's rows of a round, all of whose work is done by the thread that takes them."""
        return Lane(
            self.lanes.plan,
            replace(self.work.settings, seed=self.lanes.seed_of(lane, round_number)),
            executor=None,
            threads=1,
            classes=self.work.classes,
            ledger=ledger,
            on_new_classes=_refuse_classes,
            feature_weights=weights,
            first=first,
        )

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if nobody waits for this training any more."""
        if self._over or interrupts.stop_requested():
            raise KeyboardInterrupt

    def end(self) -> None:
        """Have the tasks at work stop soon."""
        self._over = True
        for rows in list(self._rows.values()):
            rows.stop_ahead()

    def rows(self, lane: int) -> _LaneRows:
        """The rows of a lane."""
        with self._lock:
            return self._rows.setdefault(lane, _LaneRows(self, lane))

    @contextmanager
    def learner(self, broadcast: Broadcast) -> Iterator[_core.Learner]:
        """A learner in the broadcast state, kept for the next task unless this one fails."""
        with self._lock:
            version, learner = self._idle.pop() if self._idle else (0, None)
        if learner is None:
            learner = new_learner(self.work.settings, max(2, len(self.work.classes)))
        self._catch_up(learner, version, broadcast)
        yield learner
        with self._lock:
            self._idle.append((broadcast.version, learner))

    def _catch_up(self, learner: _core.Learner, version: int, broadcast: Broadcast) -> None:
        missing = [change for change in broadcast.changes if change[0] > version]
        if broadcast.full is not None and version < broadcast.full[0]:
            missing = [broadcast.full, *broadcast.changes]
        share = len(self.lanes)
        for _, published in missing:
            put(learner, published.load(), share)


_places: OrderedDict[str, Place] = OrderedDict()
_places_lock = threading.Lock()


def place_of(work: Work) -> Place:
    """What this process keeps of a training."""
    with _places_lock:
        if work.token not in _places:
            _places[work.token] = Place(work)
        # The weights of features come later than the first task.
        _places[work.token].work = work
        while len(_places) > _RUNS:
            _places.popitem(last=False)
        _places.move_to_end(work.token)
        return _places[work.token]


def forget(token: str) -> None:
    """Let go of what this process keeps of a training, and have its tasks stop."""
    with _places_lock:
        place = _places.pop(token, None)
    if place is not None:
        place.end()


def learn_round(task: LaneTask) -> tuple[LaneReport, _core.MergeSums | None]:
    """Learn a lane's rows of one round.

    Raises
    ------
    SourceError, RowError
        As reading does.
    FloatingPointError
        If the weights grow without bound.
    """
    started = time.monotonic()
    place = place_of(task.work)
    rows = place.rows(task.lane)
    n_rows, weight_sum, loss_sum, n_correct = 0, 0.0, 0.0, 0
    class_rows = np.zeros(max(2, len(task.work.classes)), np.int64)
    with place.learner(task.broadcast) as learner:
        learner.begin_changes()
        for lesson in rows.lessons(task.pass_number, task.round_number):
            place.check()
            stats = learner.learn(lesson.rows, lesson.classes, lesson.weights)
            n_rows += stats.n_rows
            weight_sum += stats.weight_sum
            loss_sum += stats.loss_sum
            n_correct += stats.n_correct
            class_rows += np.bincount(lesson.classes, minlength=len(class_rows))
        sums = _core.MergeSums.of(learner, n_rows, task.work.rules)
    told = rows.told(task.pass_number, task.round_number)
    seconds = time.monotonic() - started
    return replace(
        told,
        n_rows=n_rows,
        weight_sum=weight_sum,
        loss_sum=loss_sum,
        n_correct=n_correct,
        seconds=seconds,
        class_rows=tuple(class_rows.tolist()),
    ), sums if n_rows else None


def read_ahead(task: LaneTask) -> None:
    """Read the first lessons of a lane's round that has not begun; where memory is shared."""
    place_of(task.work).rows(task.lane).read_ahead(task.pass_number, task.round_number)


def count_lane(task: CountTask) -> tuple[None, _core.FeatureCounts | None]:
    """Count the features of a lane's rows, for the weights of features."""
    place, lane = place_of(task.work), task.lane
    kind = task.work.settings.feature_weights
    assert kind is not None
    counts = counts_for(kind, task.work.settings.analyzer.n_features, max(1, len(task.work.classes)))
    for number in range(place.lanes.rounds):
        rows = place.lane(lane, number, ledger=Ledger(), first=True, weights=None)
        for lesson in rows.read(0, place.lanes.of_round(lane, 0, number)):
            place.check()
            counts.add(lesson.rows, lesson.classes, lesson.weights)
    return None, counts


def add_counts(parts: list[_core.FeatureCounts]) -> _core.FeatureCounts:
    """The counts of several lanes; whole numbers, so that no order changes them."""
    # A copy: on a cluster the parts may be asked for again.
    counts = copy.copy(parts[0])
    for part in parts[1:]:
        counts.merge(part)
    return counts


def add_up(parts: list[_core.MergeSums]) -> _core.MergeSums:
    """The sums of several lanes, in their order."""
    return _core.MergeSums.combine(parts)
