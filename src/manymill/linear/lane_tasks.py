"""What travels between the driver and whoever works on a lane: tasks out, reports back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from manymill.data.batches import BadRow
from manymill.data.dataset import Plan
from manymill.engine.spool import Ref
from manymill.linear.holdout import HashedRows
from manymill.linear.lanes import Lanes, deal
from manymill.linear.settings import Settings


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
