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

import json
import math
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.errors import RunFolderError
from manymill.linear.exchange import Arrays
from manymill.linear.holdout import HashedRows, Measured
from manymill.storage.durable import replace_durably, sync_file, write_durably
from manymill.storage.ownership import CHECKPOINT, claim_folder, remove_folder

_POSITION = "position.json"
_STATE_ARRAYS = frozenset({"features", "weights", "sums", "intercept", "n_rows_seen"})
_BEST_ARRAYS = frozenset({"best_weights", "best_intercept"})


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
    n_listed: int = 0  # bad rows that are listed
    n_classes_begun: int = 2  # that the learner had room for at first: its rate depends on that
    asked: str = ""  # digest of the plan and the settings: what may be gone on with


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training that can be gone on with."""

    position: Position
    state: Arrays  # with the best weights of these features so far, where a finish will start from them
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
        self._used: set[str] = set()

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
            claim_folder(self._folder, CHECKPOINT)
            self._number += 1
            held = list(held_out)
            held_name = self._held_out_name
            if len(held) != self._n_held_out:
                held_name = self._write(
                    f"held-out-{self._number}.npz", _held_out_arrays(held, feature_weights)
                )
            name = self._write(f"state-{self._number}.npz", state)
            told = {**asdict(position), "state": name, "held_out": held_name}
            temporary = self._folder / f"{_POSITION}.tmp"
            write_durably(temporary, [json.dumps(told, ensure_ascii=False).encode()])
            replace_durably(temporary, self._folder / _POSITION)
            self._n_held_out, self._held_out_name = len(held), held_name
            self._used = {_POSITION, name, held_name}
            self._drop_unused()
        except OSError as error:
            self._drop_unused()
            reason = error.strerror or str(error)
            raise RunFolderError(f"cannot write a checkpoint to {self._folder}: {reason}") from error

    def _drop_unused(self) -> None:
        with suppress(OSError):
            for entry in self._folder.iterdir():
                if entry.name not in self._used and re.fullmatch(CHECKPOINT.files, entry.name):
                    entry.unlink()

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
        told = self._told()
        if told is None:
            return None
        try:
            state_name, held_name = _plain_name(told["state"]), _plain_name(told["held_out"])
            number = int(state_name.removeprefix("state-").removesuffix(".npz"))
            position = _position_of(told)
            state = read_arrays(self._folder / state_name)
            if set(state) not in (_STATE_ARRAYS, _STATE_ARRAYS | _BEST_ARRAYS):
                raise ValueError(f"{state_name} holds other arrays")
            arrays = read_arrays(self._folder / held_name)
            held = _held_out_of(arrays, len(position.classes))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise self.damaged(error) from error
        self._number, self._n_held_out, self._held_out_name = number, len(held), held_name
        self._used = {_POSITION, state_name, held_name}
        return Checkpoint(position, state, tuple(held), arrays.get("feature_weights"))

    def asked(self) -> str | None:
        """The digest of the training whose checkpoint is there; None without one.

        Raises
        ------
        RunFolderError
            If it is damaged.
        """
        told = self._told()
        return None if told is None else str(told.get("asked"))

    def _told(self) -> dict[str, Any] | None:
        try:
            told = json.loads((self._folder / _POSITION).read_bytes())
            if not isinstance(told, dict):
                raise ValueError(f"{_POSITION} is no position")
            return told
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise self.damaged(error) from error

    def remove(self) -> None:
        """There is nothing to go on with any more."""
        with suppress(OSError):
            remove_folder(self._folder, CHECKPOINT)

    def damaged(self, error: Exception) -> RunFolderError:
        """What to raise if what was read cannot be gone on with."""
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        return RunFolderError(
            f"the checkpoint in {self._folder} is damaged: {what}",
            "remove that folder to train from the beginning",
        )


def _position_of(told: Mapping[str, Any]) -> Position:
    """The position, after a look at every field: the file may have been damaged, or made by someone else."""
    values = {f.name: told[f.name] for f in fields(Position)}
    for name in ("pass_number", "step", "best_pass", "n_used", "n_listed", "n_classes_begun"):
        if type(values[name]) is not int or values[name] < 0:
            raise ValueError(f"{name} is {values[name]!r}")
    for name, kinds in _LISTS.items():
        if not isinstance(values[name], list) or not all(type(entry) in kinds for entry in values[name]):
            raise ValueError(f"{name} is no list of {kinds[0].__name__}")
        values[name] = tuple(values[name])
    if not isinstance(values["bad_counts"], dict) or values["pass_number"] < 1:
        raise ValueError("it is of no pass")
    if len(values["tally"]) not in (0, 4):
        raise ValueError("the figures of the pass are not four")
    if not 2 <= values["n_classes_begun"] <= max(2, len(values["classes"])):
        raise ValueError("it began with other classes")
    best = values.pop("best")
    return Position(**values, best=None if best is None else Measured(**best))


_LISTS: dict[str, tuple[type, ...]] = {"tally": (float, int), "classes": (str,), "class_rows": (int,)}


def _plain_name(name: object) -> str:
    """A file name that stays in its folder."""
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".npz"):
        raise ValueError(f"{name!r} is no file of a checkpoint")
    return name


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file; nothing is unpickled, and nothing allocated that the file does not hold.

    Raises
    ------
    ValueError, OSError, EOFError, zipfile.BadZipFile
        If it is no file that :meth:`Checkpoints.save` writes.
    """
    size = path.stat().st_size
    arrays: Arrays = {}
    with zipfile.ZipFile(path) as file:
        if sum(entry.file_size for entry in file.infolist()) > size:
            raise ValueError(f"{path.name} tells of more than it holds")
        for entry in file.infolist():
            with file.open(entry) as member:
                if np.lib.format.read_magic(member) != (1, 0):
                    raise ValueError(f"{path.name} holds arrays of another version")
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                n_bytes = entry.file_size - member.tell()
                if dtype.hasobject or math.prod(shape) * dtype.itemsize != n_bytes:
                    raise ValueError(f"{path.name}: {entry.filename} is no array of numbers of its size")
                content = np.frombuffer(member.read(), dtype)
                arrays[entry.filename.removesuffix(".npy")] = content.reshape(shape)
    return arrays


def _held_out_arrays(parts: list[HashedRows], feature_weights: NDArray[np.float32] | None) -> Arrays:
    arrays: Arrays = {"n_parts": np.array([len(parts)], np.int64)}
    if feature_weights is not None:
        arrays["feature_weights"] = feature_weights
    for i, (rows, classes) in enumerate(parts):
        indptr, indices, values = rows.arrays()
        arrays |= {f"indptr{i}": indptr, f"indices{i}": indices, f"values{i}": values, f"classes{i}": classes}
    return arrays


def _held_out_of(arrays: Arrays, n_classes: int) -> list[HashedRows]:
    parts = []
    for i in range(int(arrays["n_parts"][0])):
        rows = _core.Rows.from_arrays(arrays[f"indptr{i}"], arrays[f"indices{i}"], arrays[f"values{i}"])
        classes = arrays[f"classes{i}"]
        if classes.dtype != np.int32 or classes.shape != (len(rows),):
            raise ValueError(f"held-out rows {i} have other classes")
        if len(classes) and (classes.min() < -1 or classes.max() >= n_classes):
            raise ValueError(f"held-out rows {i} are of classes that are not there")
        parts.append((rows, classes))
    return parts
