"""Checkpoints of a training: its state, its position, and what the first pass found besides rows.

::

    checkpoint/
    ├── position.json              pass and step, classes, best metrics, counts, bad rows; names and checksums of the
    │                              other two files; its own checksum
    ├── state-12.safetensors       features seen, their weights and squared-gradient sums; intercepts
    └── held-out-4.safetensors     rows held out so far with their classes, and the feature table; written again only
                                   when there are more

``position.json`` is replaced last and names files that never change: at any moment it describes a complete checkpoint,
the old one or the new one. Checksums detect damage; since a checkpoint may still come from anyone, every value is
validated.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import BadRow
from manymill.errors import RunFolderError
from manymill.linear.holdout import HashedRows, HoldoutMetrics
from manymill.linear.state import Arrays, load_table, stream_table
from manymill.storage import checked_json
from manymill.storage.durable import sync_folder
from manymill.storage.ownership import CHECKPOINT, claim_folder, remove_folder
from manymill.storage.records import from_record
from manymill.storage.tensors import Slices, read_arrays, write_arrays

_POSITION = "position.json"
_FORMAT, _FORMAT_VERSION = "manymill-checkpoint", 3
_ARRAYS = re.compile(r"(state|held-out)-(\d{1,18})\.safetensors")
_STATE_ARRAYS = frozenset({"features", "weights", "sums", "intercept", "n_rows_seen"})


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a training in its passes."""

    pass_number: int = 1  # the current pass, from 1
    step: int = 0  # merged rounds, or finished windows, of the pass
    pass_sums: tuple[float, ...] = ()  # running sums of the pass: see PassStats.sums
    best: HoldoutMetrics | None = None  # metrics of the best saved state
    best_pass: int = 0
    classes: tuple[str, ...] = ()  # in the order of the learner's outputs
    class_rows: tuple[int, ...] = ()  # rows of each class, for balanced weights
    n_used: int = 0  # rows read
    bad_counts: Mapping[str, int] = field(default_factory=dict)  # bad rows by reason
    bad_rows: tuple[BadRow, ...] = ()  # the first bad rows, to write their list again
    n_classes_at_start: int = 2  # classes when the learner was created: its rate depends on it
    fingerprint: str = ""  # of the plan and the settings


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A stored training state with its position."""

    position: Position
    state: Arrays
    held_out: tuple[HashedRows, ...]
    table: _core.FeatureTable | None  # features in use


@dataclass(frozen=True, slots=True)
class _File:
    """A file of arrays next to ``position.json``."""

    name: str
    checksum: str


class OtherVersionError(RunFolderError):
    """A checkpoint of another version of manymill."""


class Checkpoints:
    """The checkpoint folder of one run.

    Parameters
    ----------
    folder : path
        Created with the first checkpoint.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._number = 0
        self._n_held_out = -1
        self._held_out = _File("", "")
        self._used: set[str] = set()

    def save(
        self,
        position: Position,
        state: Mapping[str, NDArray[Any] | Slices],
        held_out: Iterable[HashedRows],
        table: _core.FeatureTable | None,
    ) -> None:
        """Replace the checkpoint.

        Raises
        ------
        RunFolderError
            If writing fails; the old checkpoint stays.
        """
        try:
            claim_folder(self._folder, CHECKPOINT)
            self._number += 1
            held, held_file = list(held_out), self._held_out
            if len(held) != self._n_held_out:
                arrays = _held_out_arrays(held, table)
                held_file = self._write(f"held-out-{self._number}.safetensors", arrays)
            state_file = self._write(f"state-{self._number}.safetensors", state)
            content = {
                "format": _FORMAT,
                "format_version": _FORMAT_VERSION,
                "position": asdict(position),
                "state": asdict(state_file),
                "held_out": asdict(held_file),
            }
            self._replace_position(content)
            self._n_held_out, self._held_out = len(held), held_file
            self._used = {_POSITION, state_file.name, held_file.name}
            self._drop_unused()
        except (OSError, ValueError) as error:  # JSON has no infinite loss
            self._drop_unused()
            reason = getattr(error, "strerror", None) or str(error)
            raise RunFolderError(f"cannot write a checkpoint to {self._folder}: {reason}") from error

    def _replace_position(self, content: dict[str, Any]) -> None:
        try:
            checked_json.write(self._folder / _POSITION, content)
        except OSError:
            # The rename may have happened although syncing failed: keep the files of both positions.
            with suppress(OSError, ValueError):
                if (self._folder / _POSITION).read_bytes() == checked_json.encode(content):
                    self._used |= {content["state"]["name"], content["held_out"]["name"]}
                    self._n_held_out = -1
            raise

    def _write(self, name: str, arrays: Mapping[str, NDArray[Any] | Slices]) -> _File:
        file = _File(name, write_arrays(self._folder / name, arrays))
        sync_folder(self._folder)
        return file

    def _drop_unused(self) -> None:
        with suppress(OSError):
            for entry in self._folder.iterdir():
                if entry.name not in self._used and re.fullmatch(CHECKPOINT.files, entry.name):
                    entry.unlink()

    def load(self) -> Checkpoint | None:
        """The checkpoint, or None.

        Raises
        ------
        RunFolderError
            If it is damaged, or of another version of manymill.
        """
        content = self._content()
        if content is None:
            return None
        try:
            position = from_record(Position, content["position"])
            _check_position(position)
            state_file, held_file = (
                from_record(_File, content["state"]),
                from_record(_File, content["held_out"]),
            )
            number = _number_of(state_file.name, "state")
            _number_of(held_file.name, "held-out")
            state = self._arrays(state_file)
            if set(state) != _STATE_ARRAYS:
                raise ValueError(f"{state_file.name} holds other arrays")
            arrays = self._arrays(held_file)
            held = _held_out_of(arrays, len(position.classes))
            table = load_table(arrays)
            if set(arrays) != _held_out_names(len(held), table):
                raise ValueError(f"{held_file.name} holds other arrays")
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise self.damaged(error) from error
        self._number, self._n_held_out, self._held_out = number, len(held), held_file
        self._used = {_POSITION, state_file.name, held_file.name}
        return Checkpoint(position, state, tuple(held), table)

    def _arrays(self, file: _File) -> Arrays:
        try:
            return read_arrays(self._folder / file.name, file.checksum)
        except OSError as error:
            self._cannot_read(file.name, error)

    def fingerprint(self) -> str | None:
        """The fingerprint of the training that wrote the checkpoint; None without a checkpoint.

        Raises
        ------
        OtherVersionError
            If it is of another version of manymill.
        RunFolderError
            If it is damaged.
        """
        content = self._content()
        if content is None:
            return None
        try:
            return from_record(Position, content["position"]).fingerprint
        except (ValueError, KeyError) as error:
            raise self.damaged(error) from error

    def _content(self) -> dict[str, Any] | None:
        try:
            content = checked_json.read(self._folder / _POSITION)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._cannot_read(_POSITION, error)
        except ValueError as error:
            raise self.damaged(ValueError(f"{_POSITION}: {error}")) from error
        if content.get("format") != _FORMAT:
            raise self.damaged(ValueError(f"{_POSITION} is not a file of a checkpoint"))
        if content.get("format_version") != _FORMAT_VERSION:
            raise OtherVersionError(
                f"the checkpoint in {self._folder} is of another version of manymill",
                "resume with that version, or remove the folder to train from the beginning",
            )
        return content

    def remove(self) -> None:
        """Remove the checkpoint."""
        self._used = set()
        with suppress(OSError):
            remove_folder(self._folder, CHECKPOINT)

    def _cannot_read(self, name: str, error: OSError) -> NoReturn:
        raise RunFolderError(
            f"cannot read {self._folder / name}: {error.strerror or error}",
            f"copy the file back, or remove {self._folder} to train from the beginning",
        ) from error

    def damaged(self, error: Exception) -> RunFolderError:
        """The error for a checkpoint whose content is invalid."""
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        return RunFolderError(
            f"the checkpoint in {self._folder} is damaged: {what}",
            "remove that folder to train from the beginning",
        )


def _check_position(position: Position) -> None:
    """Refuse values that no training writes."""
    counts = (position.step, position.best_pass, position.n_used, position.n_classes_at_start)
    if min(*counts, *position.class_rows, *position.bad_counts.values()) < 0:
        raise ValueError("a count is negative")
    if position.pass_number < 1 or position.best_pass > position.pass_number:
        raise ValueError("its pass number is invalid")
    if (position.best is None) != (position.best_pass == 0):
        raise ValueError("the metrics of the best pass are missing")
    if len(position.pass_sums) not in (0, 4) or (position.step and not position.pass_sums):
        raise ValueError("the sums of the pass are not four numbers")
    if len(set(position.classes)) < len(position.classes):
        raise ValueError("a class occurs twice")
    if not 2 <= position.n_classes_at_start <= max(2, len(position.classes)):
        raise ValueError("its number of classes at the start is invalid")
    if position.best is not None:
        _check_metrics(position.best)


def _check_metrics(best: HoldoutMetrics) -> None:
    without_rows = best.n_rows == 0
    if best.n_rows < 0 or (best.loss is None) != without_rows or (best.accuracy is None) != without_rows:
        raise ValueError("the metrics of the best pass are invalid")
    if not best.temperature > 0:
        raise ValueError("the temperature of the best pass is invalid")


def _number_of(name: str, kind: str) -> int:
    """The number in the name of a checkpoint file."""
    found = _ARRAYS.fullmatch(name)
    if found is None or found[1] != kind:
        raise ValueError(f"{name[:40]!r} is not a file of a checkpoint")
    return int(found[2])


def _held_out_arrays(
    parts: list[HashedRows], table: _core.FeatureTable | None
) -> dict[str, NDArray[Any] | Slices]:
    arrays: dict[str, NDArray[Any] | Slices] = {"n_parts": np.array([len(parts)], np.int64)}
    if table is not None:
        arrays |= stream_table(table)
    for i, (rows, classes) in enumerate(parts):
        indptr, indices, values = rows.arrays()
        arrays |= {f"indptr{i}": indptr, f"indices{i}": indices, f"values{i}": values, f"classes{i}": classes}
    return arrays


def _held_out_names(n_parts: int, table: _core.FeatureTable | None) -> set[str]:
    names = {f"{name}{i}" for i in range(n_parts) for name in ("indptr", "indices", "values", "classes")}
    return names | {"n_parts"} | (set() if table is None else stream_table(table).keys())


def _held_out_of(arrays: Arrays, n_classes: int) -> list[HashedRows]:
    n_parts = arrays["n_parts"]
    if n_parts.shape != (1,) or n_parts.dtype != np.int64:
        raise ValueError("the number of held-out parts is invalid")
    parts = []
    for i in range(int(n_parts[0])):
        rows = _core.Rows.from_arrays(arrays[f"indptr{i}"], arrays[f"indices{i}"], arrays[f"values{i}"])
        classes = arrays[f"classes{i}"]
        if classes.dtype != np.int32 or classes.shape != (len(rows),):
            raise ValueError(f"the classes of held-out rows {i} have the wrong shape or type")
        if len(classes) and (classes.min() < -1 or classes.max() >= n_classes):
            raise ValueError(f"held-out rows {i} have unknown classes")
        parts.append((rows, classes))
    return parts
