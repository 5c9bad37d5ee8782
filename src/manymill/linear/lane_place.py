"""What a worker keeps of a training between rounds: learners, and the rows of its lanes.

It saves time and decides nothing: a worker that has lost it, or never had it, makes it anew to the same bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.ledger import Ledger
from manymill.engine import interrupts
from manymill.linear.exchange import put
from manymill.linear.lane import Lane, Lesson, joined
from manymill.linear.lane_ahead import Ahead
from manymill.linear.lane_tasks import Broadcast, LaneReport, NewClassesError, Work
from manymill.linear.sizes import kept_row_bytes
from manymill.linear.state import new_learner

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
        if self._over or interrupts.was_asked():
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
