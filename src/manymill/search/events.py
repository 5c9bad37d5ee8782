"""Events and instructions of the search policy.

::

    Proposed, Exhausted, Evaluated, Failed, Cancelled, Aborted, OutOfTime  ──►  policy  ──►  Propose, Evaluate, End
                (events, stored in the journal)                          (pure)         (instructions)

The policy has no clock, no files and no threads: the same events give the same instructions, so a journal can replay
any search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Evaluation:
    """The unit of work of a search: fit a candidate on one split and score it.

    Attributes
    ----------
    trial : int
        Number of the candidate, from 0 in the order of proposal.
    split : int
        Index of the cross-validation split, from 0.
    rung : int
        Rung of successive halving, from 0; always 0 without halving.
    resource : int or None
        Number of rows or passes that the fit may use; None for all.
    """

    trial: int
    split: int
    rung: int = 0
    resource: int | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    """A new candidate."""

    trial: int
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The sampler has no more candidates."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation succeeded.

    Attributes
    ----------
    task : Evaluation
    scores, train_scores : mapping of str to float
        Score by name of the metric; greater is better. `train_scores` is empty unless requested.
    fit_seconds, score_seconds : float
    seconds : float
        Time of the result, from the start of the search.
    worker : str
    n_rows : int
        Number of training rows.
    """

    task: Evaluation
    scores: Mapping[str, float]
    train_scores: Mapping[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    seconds: float = 0.0
    worker: str = ""
    n_rows: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An evaluation raised an exception, or exceeded its timeout.

    Attributes
    ----------
    task : Evaluation
    error : str
        Last line of the traceback.
    traceback : str
    seconds : float
        Time of the failure, from the start of the search.
    worker : str
    """

    task: Evaluation
    error: str
    traceback: str
    seconds: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An evaluation was cancelled before it began, or its worker was stopped."""

    task: Evaluation


@dataclass(frozen=True, slots=True)
class Aborted:
    """The user aborted the search; finished results stay."""


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """The time budget is used up."""


Event = Proposed | Exhausted | Evaluated | Failed | Cancelled | Aborted | OutOfTime


@dataclass(frozen=True, slots=True)
class Propose:
    """Take the next candidate from the sampler; the answer is `Proposed` or `Exhausted`."""

    trial: int


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Submit an evaluation to the engine."""

    task: Evaluation


@dataclass(frozen=True, slots=True)
class End:
    """End the search: nothing is left to do."""

    reason: str


Instruction = Propose | Evaluate | End
