"""What happens in a search and what is to be done next: the vocabulary of its state machine.

::

    Proposed, Exhausted, Evaluated, Failed, Dropped, Aborted, OutOfTime  ──►  policy  ──►  Propose, Run, End
               (events, as the journal has them)                       (pure)       (instructions)

The policy has no clock, no file and no thread: the same events give the same instructions, so that a journal
replays any search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """One fit and its scores: a candidate on one split.

    Attributes
    ----------
    trial : int
        The candidate, numbered from 0 in the order of proposal.
    split : int
        The split of the data, from 0.
    rung : int
        Of successive halving, from 0; always 0 where every evaluation is a full one.
    resource : int or None
        Rows or passes that the fit may use; None for all.
    """

    trial: int
    split: int
    rung: int = 0
    resource: int | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    """A candidate came up."""

    trial: int
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exhausted:
    """There are no more candidates to propose."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A task is done.

    Attributes
    ----------
    scores, train_scores : mapping of str to float
        By the name of the metric; greater is better. The latter is empty unless asked for.
    """

    task: Task
    scores: Mapping[str, float]
    train_scores: Mapping[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    seconds: float = 0.0  # when, from the start of the search
    worker: str = ""
    n_rows: int = 0  # that it was fitted on


@dataclass(frozen=True, slots=True)
class Failed:
    """The evaluation raised, or took too long; others go on."""

    task: Task
    error: str  # the last line of the traceback
    traceback: str
    seconds: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A task that had not begun, or whose worker was stopped: it is not to be done any more."""

    task: Task


@dataclass(frozen=True, slots=True)
class Aborted:
    """Nobody wants more; what is finished is kept."""


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """The budget of seconds is used up."""


Event = Proposed | Exhausted | Evaluated | Failed | Dropped | Aborted | OutOfTime


@dataclass(frozen=True, slots=True)
class Propose:
    """Have another candidate proposed: `Proposed` or `Exhausted` answers."""

    trial: int


@dataclass(frozen=True, slots=True)
class Run:
    """Have this task done."""

    task: Task


@dataclass(frozen=True, slots=True)
class End:
    """Nothing is left to do."""

    why: str


Instruction = Propose | Run | End
