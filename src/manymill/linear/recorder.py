"""When a training writes checkpoints, what they say, and how it goes on from one."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from manymill.errors import RunFolderError
from manymill.events import Observer, Warned
from manymill.linear.checkpoints import Checkpoint, Checkpoints, Position
from manymill.linear.state import taken

if TYPE_CHECKING:
    from manymill.data.dataset import Plan
    from manymill.data.ledger import Ledger
    from manymill.linear.settings import Settings
    from manymill.linear.trainers import Learning

# Between two checkpoints: how much work a kill may cost.
LEAST_SECONDS = 10.0


class Recorder:
    """Writes the checkpoints of a training, none sooner than is worth its time.

    Parameters
    ----------
    checkpoints : Checkpoints
    asked : str
        What :func:`digest` says of the plan and the settings.
    observe : callable
        Told if a checkpoint cannot be written, which ends no training.
    least_seconds : float
        Between two checkpoints.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        asked: str,
        *,
        observe: Observer = lambda event: None,
        least_seconds: float = LEAST_SECONDS,
    ) -> None:
        self._checkpoints, self._asked, self._observe = checkpoints, asked, observe
        self._least_seconds = least_seconds
        self._next = time.monotonic() + least_seconds
        self._has_warned = False

    def found(self, learning: Learning, ledger: Ledger, passes: int) -> Position | None:
        """The position of the checkpoint that is there, its state put into who learns; None if there is none.

        ``passes`` is how many the training has at most.

        Raises
        ------
        RunFolderError
            If it is damaged, or of another training.
        """
        checkpoint = self._checkpoints.load()
        if checkpoint is None:
            return None
        position = checkpoint.position
        if position.asked != self._asked:
            raise RunFolderError(
                "the source or the settings differ from those of the run that was stopped",
                "give the same files and options, or name another folder with --out",
            )
        try:
            if position.pass_number > passes:
                raise ValueError(f"it is of pass {position.pass_number} of {passes}")
            learning.restore(checkpoint)
            _check_features(checkpoint, learning)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
            raise self._checkpoints.damaged(error) from error
        if learning.reads_again:
            ledger.resume(0, {}, ())
        else:
            ledger.resume(position.n_used, position.bad_counts, position.listed)
        return position

    def record(self, position: Position, learning: Learning, ledger: Ledger) -> None:
        """Write a checkpoint, unless the last one is recent or nothing has been learnt."""
        state = learning.state
        if state is None or time.monotonic() < self._next:
            return
        whole = replace(
            position,
            asked=self._asked,
            classes=learning.index.names,
            class_rows=learning.class_rows,
            n_classes_begun=state.n_classes_begun,
            n_used=ledger.n_used,
            bad_counts=dict(ledger.counts),
            listed=tuple(ledger.first),
        )
        arrays = taken(state.learner, state.learner.met())
        try:
            self._checkpoints.save(whole, arrays, learning.held_out(), state.feature_weights)
        except RunFolderError as error:
            # A checkpoint is not worth hours of training; there may be room for the next one.
            if not self._has_warned:
                self._observe(Warned(f"{error.what}; the training goes on, and the last checkpoint stays"))
            self._has_warned = True
        self._next = time.monotonic() + self._least_seconds

    def remove(self) -> None:
        """There is nothing to go on with any more."""
        self._checkpoints.remove()


def digest(plan: Plan, settings: Settings, holdout: Plan | None = None) -> str:
    """What decides the model's bytes besides the data of the files: files with their stamps, blocks, settings."""
    told = {
        "plan": plan.to_json(),
        "settings": settings.to_json(),
        "holdout": None if holdout is None else holdout.to_json(),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _check_features(checkpoint: Checkpoint, learning: Learning) -> None:
    """Refuse held-out rows and weights that are not of the learner's features: nobody looks at them until later."""
    assert learning.state is not None
    n_features = learning.state.learner.n_features
    for rows, _ in checkpoint.held_out:
        if np.any(rows.arrays()[1] >= n_features):
            raise ValueError("held-out rows have features that are not there")
    weights = checkpoint.feature_weights
    if weights is not None and (weights.shape != (n_features,) or weights.dtype != np.float32):
        raise ValueError("there are weights of other features")
