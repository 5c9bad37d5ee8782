"""Recorder of checkpoints: when a training writes them, and how it resumes from one."""

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
from manymill.linear.state import stream_state

if TYPE_CHECKING:
    from manymill.data.dataset import Plan
    from manymill.data.ledger import Ledger
    from manymill.linear.settings import Settings
    from manymill.linear.trainers import Trainer

# Between two checkpoints: the work that a kill may cost.
MIN_SECONDS = 10.0


class Recorder:
    """Writes the checkpoints of a training at a minimum distance in time.

    Parameters
    ----------
    checkpoints : Checkpoints
    plan_fingerprint : str
        Fingerprint of the plan and the settings: see :func:`fingerprint`.
    observe : callable
        Called with a warning if a checkpoint cannot be written; the training continues.
    min_seconds : float
        Minimum time between two checkpoints.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        plan_fingerprint: str,
        *,
        observe: Observer = lambda event: None,
        min_seconds: float = MIN_SECONDS,
    ) -> None:
        self._checkpoints, self._fingerprint, self._observe = checkpoints, plan_fingerprint, observe
        self._min_seconds = min_seconds
        self._next = time.monotonic() + min_seconds
        self._has_warned = False

    def resume(self, trainer: Trainer, ledger: Ledger, settings: Settings) -> Position | None:
        """Restore the trainer and the ledger from the checkpoint and return its position; None without a checkpoint.

        Raises
        ------
        RunFolderError
            If it is damaged, or of another training.
        """
        checkpoint = self._checkpoints.load()
        if checkpoint is None:
            return None
        position = checkpoint.position
        if position.fingerprint != self._fingerprint:
            raise RunFolderError(
                "the source or the settings differ from those of the run that was stopped",
                "give the same files and options, or name another folder with --out",
            )
        try:
            if position.pass_number > settings.n_passes:
                raise ValueError(f"its pass {position.pass_number} is greater than {settings.n_passes}")
            if (checkpoint.table is None) != (settings.feature_weights is None):
                raise ValueError("the feature table is missing, or its settings need none")
            trainer.restore(checkpoint)
            _check_features(checkpoint, trainer)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
            raise self._checkpoints.damaged(error) from error
        if trainer.rereads_first_pass:
            ledger.resume(0, {}, ())
        else:
            ledger.resume(position.n_used, position.bad_counts, position.bad_rows)
        return position

    def record(self, position: Position, trainer: Trainer, ledger: Ledger) -> None:
        """Write a checkpoint, unless the last one is recent or nothing was learnt yet."""
        state = trainer.state
        if state is None or time.monotonic() < self._next:
            return
        full = replace(
            position,
            fingerprint=self._fingerprint,
            classes=trainer.index.names,
            class_rows=trainer.class_rows,
            n_classes_at_start=state.n_classes_at_start,
            n_used=ledger.n_used,
            bad_counts=dict(ledger.counts),
            bad_rows=tuple(ledger.first),
        )
        arrays = stream_state(state.learner)
        try:
            self._checkpoints.save(full, arrays, trainer.held_out(), state.table)
        except RunFolderError as error:
            # Losing a checkpoint is better than losing the training; the next one may succeed.
            if not self._has_warned:
                self._observe(Warned(f"{error.what}; the training continues, and the last checkpoint stays"))
            self._has_warned = True
        self._next = time.monotonic() + self._min_seconds

    def remove(self) -> None:
        """Remove the checkpoint."""
        self._checkpoints.remove()


def fingerprint(plan: Plan, settings: Settings, holdout: Plan | None = None) -> str:
    """Hash of everything that decides the model besides the files' data: file stamps, blocks and settings."""
    content = {
        "plan": plan.to_json(),
        "settings": settings.to_json(),
        "holdout": None if holdout is None else holdout.to_json(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _check_features(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Refuse held-out rows and a feature table that do not match the learner's features: they are used only later."""
    assert trainer.state is not None
    n_features = trainer.state.learner.n_features
    for rows, _ in checkpoint.held_out:
        if np.any(rows.arrays()[1] >= n_features):
            raise ValueError("held-out rows have unknown features")
    if checkpoint.table is not None and checkpoint.table.n_hashed != trainer.state.analyzer.n_features:
        raise ValueError("its feature table is of another number of hash buckets")
