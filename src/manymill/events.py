"""What happens in a run: small frozen records. Progress, the event log and debugging all read these.

A record becomes one line of ``events.jsonl``: its fields, ``"event"`` for its name and ``"time"`` for the
seconds since the run began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; the base of all records."""

    def to_json(self) -> dict[str, Any]:
        """The record as JSON-serialisable fields, its name under ``"event"``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """The plan is made; nothing has been trained yet."""

    files: int
    source_bytes: int
    n_rows: int  # an estimate unless `exact`
    exact: bool
    text: str
    label: str
    classes: int  # those in the sample
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sampled(Event):
    """The plan is being made: how far the reading of its sample is."""

    file: str  # that is being read
    n_bytes: int  # of it, as stored, that have been read
    size: int  # of the file, as stored
    n_rows: int  # of the sample so far
    seconds: float  # since sampling began


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something deserves the user's attention; the run goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class ClassesFound(Event):
    """Labels were met that neither the plan nor an earlier row had."""

    names: tuple[str, ...]
    n_classes: int  # all that are known now


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Where the training is."""

    pass_number: int  # from 1
    passes: int
    share: float  # of this pass, 0 to 1
    n_rows: int  # learnt from in this pass
    megabytes_per_second: float  # of the source as it lies on disk, over this pass so far
    rows_per_second: float
    loss: float  # mean over the rows since the last record, each predicted before it was learnt
    accuracy: float  # likewise
    holdout_accuracy: float | None  # when it was last measured, in this pass or the one before
    memory_bytes: int  # resident set of this process
    eta_seconds: float  # until the last pass ends


@dataclass(frozen=True, slots=True)
class PassEnded(Event):
    """Every row was visited once more."""

    pass_number: int
    n_rows: int
    n_bad: int
    loss: float  # mean over the pass; in the first pass this is the honest loss of progressive validation
    accuracy: float
    holdout_rows: int
    holdout_loss: float | None  # None without held-out rows
    holdout_accuracy: float | None
    kept: bool  # whether this state is the best so far, and was kept
    seconds: float


@dataclass(frozen=True, slots=True)
class LaneEnded(Event):
    """A lane has learnt its rows of a round."""

    pass_number: int
    round_number: int  # from 1
    lane: int  # from 1
    lanes: int
    n_rows: int
    loss: float  # mean, each row predicted by the lane's own state before it was learnt
    seconds: float  # of the worker


@dataclass(frozen=True, slots=True)
class RoundEnded(Event):
    """The lanes of a round were merged."""

    pass_number: int
    round_number: int  # from 1
    rounds: int  # of a pass
    rule: str
    step: float  # along the rule's direction; 1 is the rule itself
    n_features: int  # that any lane changed
    holdout_loss: float | None  # of the rows that the choice looked at; None without held-out rows
    holdout_accuracy: float | None
    bytes_out: int  # that have travelled to the workers since the run began
    bytes_back: int  # likewise from them
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerLost(Event):
    """A worker was lost; what it did is done again elsewhere."""

    what: str  # it was doing
    why: str
    loss: int  # how many workers were lost on this; 0 if this one had not begun it


@dataclass(frozen=True, slots=True)
class WorkerSilent(Event):
    """A worker gives no sign of life; it is waited for until the limit to that is reached."""

    what: str  # it was doing
    worker: str  # a process, or an address
    seconds: float  # since it was last heard


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A run goes on from a checkpoint."""

    pass_number: int  # that is begun or gone on with, from 1
    round_number: int  # from 1


@dataclass(frozen=True, slots=True)
class ModelSaved(Event):
    """A model folder was written."""

    path: str
    pass_number: int


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """The user or the system asked the run to stop."""

    pass_number: int
    kept: bool  # whether the state of that moment was kept


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """The training is over."""

    passes: int
    best_pass: int
    n_rows: int  # of one pass
    n_bad: int
    n_classes: int
    holdout_accuracy: float | None
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class TreeGrown(Event):
    """A tree of a forest came back."""

    tree: int  # from 1; they come in any order
    trees: int  # that are wanted
    partition: int | None  # that it grew on, from 1; None if it has seen all rows, or a patch of them
    n_nodes: int
    seconds: float  # of the worker


@dataclass(frozen=True, slots=True)
class ForestGrown(Event):
    """The trees of a forest are grown."""

    trees: int
    n_nodes: int
    score: float | None  # on held-out rows: accuracy, or R²
    settled: bool  # whether growing was stopped because the score did not change any more
    interrupted: bool  # whether the user stopped it
    seconds: float


Observer = Callable[[Event], None]
