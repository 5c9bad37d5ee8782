"""Saving a model to a folder, with nothing half-done.

The weights are streamed to a file that is then named after its checksum; ``model.json`` is written aside and
renamed into place. That renaming is the only moment at which the folder's model changes; weights files that
no ``model.json`` names are removed afterwards. A save that is killed, or meets a full disk, leaves the old
model, or none where there was none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manymill._core import __version__
from manymill.errors import ManymillError, ModelError, RunFolderError
from manymill.model import manifest
from manymill.model.linear import ModelDescription
from manymill.storage import checked_json
from manymill.storage.durable import replace_durably, write_durably
from manymill.storage.tensors import digested

_PIECE_BYTES = 2**20


def save_model(
    folder: str | os.PathLike[str],
    description: ModelDescription,
    weights: NDArray[np.float32] | Iterable[NDArray[np.float32]],
    intercept: NDArray[np.float32],
    feature_weights: NDArray[np.float32] | None = None,
) -> None:
    """Save a model to a folder; equal models give equal bytes.

    Parameters
    ----------
    folder : path
        Made if missing. A model already there is replaced at one moment.
    description : ModelDescription
        A :class:`LinearModel` is one too.
    weights : ndarray of float32 or iterable of them, shape (n_features, n_outputs)
        All rows, or slices of rows in order; a slice is written before the next is asked for.
    intercept : ndarray of float32, shape (n_outputs,)
    feature_weights : ndarray of float32, shape (n_features,), optional
        What each value of a row is multiplied by.

    Raises
    ------
    RunFolderError
        If the folder cannot be written; the model that was there is still there.
    ModelError
        If shapes do not fit the description or a number is not finite.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with saving_alone(folder):
            _save(folder, description, weights, intercept, feature_weights)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot save the model to {folder}: {error.strerror or error}",
            "free some space or choose another folder; a model that was there is untouched",
        ) from error


def _save(
    folder: Path,
    description: ModelDescription,
    weights: NDArray[np.float32] | Iterable[NDArray[np.float32]],
    intercept: NDArray[np.float32],
    feature_weights: NDArray[np.float32] | None,
) -> None:
    n_features, n_outputs = description.analyzer.n_features, description.n_outputs
    digest = hashlib.blake2b(digest_size=32)
    slices = [weights] if isinstance(weights, np.ndarray) else weights
    unnamed = folder / "weights.partial"
    pieces = _file_pieces(n_features, n_outputs, slices, intercept, feature_weights)
    write_durably(unnamed, digested(pieces, digest))
    try:
        checksum = checked_json.format_checksum(digest)
        file = manifest.WeightsFile(checksum, n_features, n_outputs, feature_weights is not None)
        text = manifest.dump(description, file, __version__)
        replace_durably(unnamed, folder / file.name)
        write_durably(folder / "model.json.partial", [text])
        replace_durably(folder / "model.json.partial", folder / manifest.FILE_NAME)
    finally:
        _remove_stale(folder)


def _file_pieces(
    n_features: int,
    n_outputs: int,
    slices: Iterable[NDArray[np.float32]],
    intercept: NDArray[np.float32],
    feature_weights: NDArray[np.float32] | None,
) -> Iterator[bytes | memoryview]:
    yield manifest.weights_header(n_features, n_outputs, weighed=feature_weights is not None)
    n_rows = 0
    step = max(1, _PIECE_BYTES // (4 * n_outputs))
    for part in slices:
        if part.dtype != np.float32 or part.ndim != 2 or part.shape[1] != n_outputs:
            raise ModelError(
                f"weights must be float32 of shape (n, {n_outputs}), not {part.dtype} {part.shape}"
            )
        n_rows += len(part)
        for start in range(0, len(part), step):
            yield _finite_bytes("weights", part[start : start + step])
    if n_rows != n_features:
        raise ModelError(f"the weights have {n_rows} rows, but the analyzer {n_features} features")
    if intercept.dtype != np.float32 or intercept.shape != (n_outputs,):
        raise ModelError(f"the intercept must be float32 of shape ({n_outputs},)")
    yield _finite_bytes("intercept", intercept)
    if feature_weights is not None:
        if feature_weights.dtype != np.float32 or feature_weights.shape != (n_features,):
            raise ModelError(f"the feature weights must be float32 of shape ({n_features},)")
        yield _finite_bytes("feature weights", feature_weights)


def _finite_bytes(name: str, values: NDArray[np.float32]) -> memoryview:
    if not np.isfinite(values).all():
        raise ModelError(f"the {name} hold NaN or infinity", "train with a lower learning rate")
    return np.ascontiguousarray(values, dtype="<f4").data.cast("B")


@contextmanager
def saving_alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; ``RunFolderError`` if another process does."""
    from filelock import FileLock, Timeout

    try:
        # The system frees the lock of a process that was killed.
        with FileLock(folder / ".lock", timeout=60):
            yield
    except Timeout:
        raise RunFolderError(f"another process is saving a model to {folder}", "wait for it to end") from None


def _remove_stale(folder: Path) -> None:
    """Remove weights that ``model.json`` does not name; keep them all if that cannot be told."""
    with suppress(OSError):
        (folder / "weights.partial").unlink(missing_ok=True)
    try:
        kept = manifest.load((folder / manifest.FILE_NAME).read_bytes())[1].name
    except FileNotFoundError:
        kept = ""
    except (OSError, ModelError):
        return
    for path in folder.glob("weights-*.safetensors"):
        if path.name != kept:
            with suppress(OSError):
                path.unlink()
