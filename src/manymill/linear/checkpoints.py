"""Where a training can go on from: a state, how far it came, and what the first pass found besides rows to learn.

::

    checkpoint/
    ├── position.json       how far, the classes, the best measures, counts; names the two files beside it
    ├── state-12.npz        features met, their weights and squared-gradient sums; intercepts
    └── held-out-4.npz      rows held out so far with their classes, and weights of features; written again only when
                            there are more

``position.json`` is replaced last and names files that are never written again: at any moment it speaks of a whole
checkpoint, the old one or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.errors import RunFolderError
from manymill.linear.holdout import HashedRows, Measured
from manymill.linear.exchange import Arrays, taken
from manymill.model.durable import replace_durably, sync_file, write_durably

if TYPE_CHECKING:
    from manymill.data.ledger import Ledger
    from manymill.data.plan import Plan
    from manymill.linear.learning import Learning
    from manymill.linear.settings import Settings

# Between two checkpoints: how much work a kill may cost.
LEAST_SECONDS = 10.0

_POSITION = "position.json"
_STATE_ARRAYS = frozenset({"features", "weights", "sums", "intercept", "n_rows_seen"})


@dataclass(frozen=True, slots=True)
class Position:
    """How far a training came."""

    pass_number: int = 1  # that is begun
    step: int = 0  # rounds of it that are merged, or windows that are learnt
    tally: tuple[float, ...] = ()  # the running figures of the pass
    best: Measured | None = None  # measures of the state that was kept
    best_pass: int = 0
    classes: tuple[str, ...] = ()  # in the order of the learner's outputs
    class_rows: tuple[int, ...] = ()  # rows of each class that balanced weights count
    n_used: int = 0  # rows read, and bad rows by reason
    bad_counts: Mapping[str, int] = field(default_factory=dict)
    asked: str = ""  # digest of the plan and the settings: what may be gone on with


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training that can be gone on with."""

    position: Position
    state: Arrays
    held_out: tuple[HashedRows, ...]
    feature_weights: NDArray[np.float32] | None  # (n_features,)


class Checkpoints:
    """The checkpoint of one run.

    Parameters
    ----------
    folder : path
        Made when the first checkpoint is written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._number = 0
        self._n_held_out = -1
        self._held_out_name = ""

    def save(
        self,
        position: Position,
        state: Arrays,
        held_out: Iterable[HashedRows],
        feature_weights: NDArray[np.float32] | None,
    ) -> None:
        """Replace the checkpoint.

        Raises
        ------
        RunFolderError
            If it cannot be written; the old one stays.
        """
        try:
            self._folder.mkdir(exist_ok=True)
            self._number += 1
            held = list(held_out)
            if len(held) != self._n_held_out:
                self._held_out_name = self._write(
                    f"held-out-{self._number}.npz", _held_out_arrays(held, feature_weights)
                )
                self._n_held_out = len(held)
            name = self._write(f"state-{self._number}.npz", state)
            told = {**asdict(position), "state": name, "held_out": self._held_out_name}
            temporary = self._folder / f"{_POSITION}.tmp"
            write_durably(temporary, [json.dumps(told, ensure_ascii=False).encode()])
            replace_durably(temporary, self._folder / _POSITION)
            for entry in self._folder.iterdir():
                if entry.name not in (_POSITION, name, self._held_out_name):
                    entry.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(f"cannot write a checkpoint to {self._folder}: {reason}") from error

    def _write(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> str:
        path = self._folder / name
        try:
            np.savez(path, **arrays)  # type: ignore[arg-type]
            sync_file(path)
        except OSError:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        return name

    def load(self) -> Checkpoint | None:
        """The checkpoint; None if there is none.

        Raises
        ------
        RunFolderError
            If it is damaged.
        """
        try:
            told = json.loads((self._folder / _POSITION).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        try:
            state_name, held_name = _plain_name(told.pop("state")), _plain_name(told.pop("held_out"))
            self._number = int(state_name.removeprefix("state-").removesuffix(".npz"))
            state = _read(self._folder / state_name)
            if set(state) != _STATE_ARRAYS:
                raise ValueError(f"{state_name} holds other arrays")
            arrays = _read(self._folder / held_name)
            held = _held_out_of(arrays)
            self._n_held_out, self._held_out_name = len(held), held_name
            best = told.pop("best")
            known = {f.name for f in fields(Position)}
            values = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in told.items()
                if name in known
            }
            position = Position(**values, best=None if best is None else Measured(**best))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise self._damaged(str(error)) from error
        return Checkpoint(position, state, tuple(held), arrays.get("feature_weights"))

    def asked(self) -> str | None:
        """The digest of the training whose checkpoint is there; None without one, or if it is damaged."""
        try:
            return str(json.loads((self._folder / _POSITION).read_bytes())["asked"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        """There is nothing to go on with any more."""
        with suppress(OSError):
            (self._folder / _POSITION).unlink(missing_ok=True)
            for entry in self._folder.iterdir():
                entry.unlink()
            self._folder.rmdir()

    def _damaged(self, reason: str) -> RunFolderError:
        return RunFolderError(
            f"the checkpoint in {self._folder} cannot be read: {reason}",
            "remove it to train from the beginning",
        )


class Recorder:
    """Writes the checkpoints of a training, none sooner than is worth its time.

    Parameters
    ----------
    checkpoints : Checkpoints
    learning : Learning
    ledger : Ledger
    asked : str
        What :func:`digest` says of the plan and the settings.
    """

    def __init__(self, checkpoints: Checkpoints, learning: Learning, ledger: Ledger, asked: str) -> None:
        self._checkpoints, self._learning, self._ledger, self._asked = checkpoints, learning, ledger, asked
        self._next = time.monotonic() + LEAST_SECONDS

    def found(self) -> Position | None:
        """The position of the checkpoint that is there, its state put into the learner; None if there is none.

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
        self._learning.restore(checkpoint)
        self._ledger.n_used = position.n_used
        self._ledger.counts = Counter(position.bad_counts)
        return position

    def record(self, position: Position) -> None:
        """Write a checkpoint, unless the last one is recent."""
        if time.monotonic() < self._next:
            return
        state = self._learning.state
        assert state is not None
        self._checkpoints.save(
            replace(
                position,
                asked=self._asked,
                classes=self._learning.index.names,
                class_rows=self._learning.class_rows,
                n_used=self._ledger.n_used,
                bad_counts=dict(self._ledger.counts),
            ),
            taken(state.learner, state.learner.met()),
            self._learning.held_out(),
            state.feature_weights,
        )
        self._next = time.monotonic() + LEAST_SECONDS

    def remove(self) -> None:
        """There is nothing to go on with any more."""
        self._checkpoints.remove()


def digest(plan: Plan, settings: Settings) -> str:
    """What decides the model's bytes besides the data of the files: files with their stamps, blocks, settings."""
    told = {"plan": plan.to_json(), "settings": settings.to_json()}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _plain_name(name: object) -> str:
    """A file name that stays in its folder."""
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".npz"):
        raise ValueError(f"{name!r} is no file of a checkpoint")
    return name


def _read(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _held_out_arrays(parts: list[HashedRows], feature_weights: NDArray[np.float32] | None) -> Arrays:
    arrays: Arrays = {"n_parts": np.array([len(parts)], np.int64)}
    if feature_weights is not None:
        arrays["feature_weights"] = feature_weights
    for i, (rows, classes) in enumerate(parts):
        indptr, indices, values = rows.arrays()
        arrays |= {f"indptr{i}": indptr, f"indices{i}": indices, f"values{i}": values, f"classes{i}": classes}
    return arrays


def _held_out_of(arrays: Arrays) -> list[HashedRows]:
    return [
        (
            _core.Rows.from_arrays(arrays[f"indptr{i}"], arrays[f"indices{i}"], arrays[f"values{i}"]),
            arrays[f"classes{i}"],
        )
        for i in range(int(arrays["n_parts"][0]))
    ]
