"""Events of a run: small frozen records for progress output, the event log and debugging.

An event is written as one line of ``events.jsonl``: its fields, its name under ``"event"``, and the seconds since the
start of the run under ``"time"``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from manymill.constants import MAX_LOSSES

# Time between two progress events.
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """Base class of all events."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values, with the name under ``"event"``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """The plan is complete; training has not started."""

    files: int
    source_bytes: int
    n_rows: int  # an estimate unless `exact`
    exact: bool
    text: str
    label: str
    classes: int  # classes in the sample
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecipeChosen(Event):
    """The recipe "auto" has chosen the parameters of the training."""

    values: dict[str, Any]  # by name; ``l2_times_rows`` is None if l2 was given
    is_standard: bool  # whether they are those of the recipe standard
    reason: str
    n_training: int  # rows that candidates learnt; 0 if none were compared
    n_judging: int  # other rows, that judged them
    candidates: tuple[dict[str, Any], ...]  # their values and accuracies; differences are from standard


@dataclass(frozen=True, slots=True)
class Sampled(Event):
    """Progress of reading the sample for the plan, or a compressed file to its end, to know its length."""

    file: str  # the file that is being read
    n_bytes: int  # bytes of it read so far, as stored
    size: int  # bytes of the file, as stored
    n_rows: int  # rows of the sample so far
    seconds: float  # since sampling began


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """A warning; the run continues."""

    message: str


@dataclass(frozen=True, slots=True)
class ClassesFound(Event):
    """Rows have labels that neither the plan nor an earlier row had."""

    names: tuple[str, ...]
    n_classes: int  # number of classes known so far


@dataclass(frozen=True, slots=True)
class Counting(Event):
    """Progress of the pass that counts features."""

    share: float  # completed part, 0 to 1
    n_rows: int  # rows counted
    megabytes_per_second: float  # of the source as stored
    eta_seconds: float  # until the end of this pass


@dataclass(frozen=True, slots=True)
class FeaturesCounted(Event):
    """The features of all rows are counted."""

    n_rows: int
    n_features: int  # features in use: columns of the model
    n_buckets: int  # hash buckets
    weights: str  # kind of the feature weights
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Progress of the training."""

    pass_number: int  # from 1
    passes: int
    share: float  # completed part of this pass, 0 to 1
    n_rows: int  # rows trained on in this pass
    megabytes_per_second: float  # of the source as stored, over this pass so far
    rows_per_second: float
    loss: float  # mean over the rows since the last event, each predicted before it was trained on
    accuracy: float  # likewise
    holdout_accuracy: float | None  # last measurement, in this pass or the one before
    memory_bytes: int  # resident set size of this process
    eta_seconds: float  # until the end of the last pass


@dataclass(frozen=True, slots=True)
class PassEnded(Event):
    """A pass over all rows has ended."""

    pass_number: int
    n_rows: int
    n_bad: int
    # Mean over the pass. In the first pass this is the loss of progressive validation, which feature weights by naive
    # Bayes make optimistic: they depend on the labels of all rows.
    loss: float
    accuracy: float
    holdout_rows: int
    holdout_loss: float | None  # None without held-out rows
    holdout_accuracy: float | None
    kept: bool  # whether this state is the best so far, and was saved
    seconds: float


@dataclass(frozen=True, slots=True)
class LaneEnded(Event):
    """A lane has trained on its rows of a round."""

    pass_number: int
    round_number: int  # from 1
    lane: int  # from 1
    lanes: int
    n_rows: int
    loss: float  # mean, each row predicted by the lane's own state before it was trained on
    seconds: float  # on the worker


@dataclass(frozen=True, slots=True)
class RoundEnded(Event):
    """The lanes of a round were merged."""

    pass_number: int
    round_number: int  # from 1
    rounds: int  # rounds of a pass
    rule: str
    step: float  # step length along the rule's direction; 1 is the rule itself
    n_features: int  # features that any lane changed
    holdout_loss: float | None  # on the rows that selected the rule; None without held-out rows
    holdout_accuracy: float | None
    bytes_out: int  # bytes sent to the workers since the start of the run
    bytes_back: int  # bytes received from them
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerLost(Event):
    """A worker was lost; its task runs again on another one."""

    what: str  # its task
    why: str
    loss: int  # number of workers lost on this task; 0 if this one had not started it

    def __str__(self) -> str:
        action = (
            f"trying again (loss {self.loss} of {MAX_LOSSES})" if self.loss else "starting another worker"
        )
        return f"{self.what}: {self.why}; {action}"


@dataclass(frozen=True, slots=True)
class WorkerSilent(Event):
    """A worker gives no sign of life; it is replaced when the limit is reached."""

    what: str  # its task
    worker: str  # a process, or an address
    seconds: float  # since its last sign of life

    def __str__(self) -> str:
        return f"{self.what}: no sign of life from its worker ({self.worker}) for {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A run resumes from a checkpoint."""

    pass_number: int  # the pass that starts or continues, from 1
    round_number: int  # from 1


@dataclass(frozen=True, slots=True)
class ModelSaved(Event):
    """A model folder was written."""

    path: str
    pass_number: int


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """The user or the system has requested a stop."""

    pass_number: int
    kept: bool  # whether the state of that moment was saved


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """The training has ended."""

    passes: int
    best_pass: int
    n_rows: int  # rows of one pass
    n_bad: int
    n_classes: int
    holdout_accuracy: float | None
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class TreeGrown(Event):
    """A tree of a forest has been fitted."""

    tree: int  # from 1; events come in any order
    trees: int  # requested number of trees
    partition: int | None  # that it was fitted on, from 1; None if on all rows, or on a patch of them
    n_nodes: int
    seconds: float  # on the worker


@dataclass(frozen=True, slots=True)
class ForestGrown(Event):
    """The trees of a forest have been fitted."""

    trees: int
    n_nodes: int
    score: float | None  # on held-out rows: accuracy, or R²
    settled: bool  # whether early stopping ended it because the score no longer changed
    interrupted: bool  # whether the user stopped it
    seconds: float


Observer = Callable[[Event], None]
