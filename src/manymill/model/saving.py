"""Saving a model to a folder, with nothing half-done and nothing of others touched.

The arrays are streamed to a file in a work folder, named after their checksum and renamed into place; then the JSON
that names that file is. That second renaming is the only moment at which the folder's model changes. The file of arrays
that the JSON before it named is removed then, and no other. A save that is killed, or meets a full disk, leaves the old
model, or none where there was none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manymill._core import __version__
from manymill.errors import ManymillError, ModelError, RunFolderError
from manymill.model import manifest
from manymill.model.linear import ModelDescription
from manymill.storage import checked_json
from manymill.storage.durable import PUBLIC, sync_folder, write_durably
from manymill.storage.own_files import check_file, open_regular, refusal
from manymill.storage.ownership import LOCK, MODEL, check_names
from manymill.storage.tensors import digested
from manymill.storage.work_folder import leave, sweep, work_folder

_PIECE_BYTES = 2**20
_ARRAYS = "arrays"  # as long as they have no name
_REPLACED = "replaced.json"


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
        If the folder cannot be written, or a file of others has one of the model's names; the model that was there is
        still there.
    ModelError
        If shapes do not fit the description or a number is not finite.
    """
    folder = Path(folder)
    n_features, n_outputs = description.analyzer.n_features, description.n_outputs
    slices = [weights] if isinstance(weights, np.ndarray) else weights

    def described(checksum: str) -> tuple[str, bytes]:
        file = manifest.WeightsFile(checksum, n_features, n_outputs, feature_weights is not None)
        return file.name, manifest.dump(description, file, __version__)

    pieces = _file_pieces(n_features, n_outputs, slices, intercept, feature_weights)
    save_files(folder, _LINEAR, pieces, described)


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


@dataclass(frozen=True)
class ModelFiles:
    """The two files of a kind of model.

    Parameters
    ----------
    what : str
        For messages.
    manifest : str
        Name of the JSON.
    arrays_of : callable
        The name of the file of arrays that a text of the JSON names; ``ModelError`` if it is damaged.
    """

    what: str
    manifest: str
    arrays_of: Callable[[bytes], str]


_LINEAR = ModelFiles("model", manifest.FILE_NAME, lambda text: manifest.load(text)[1].name)


def save_files(
    folder: str | os.PathLike[str],
    files: ModelFiles,
    pieces: Iterable[bytes | memoryview],
    described: Callable[[str], tuple[str, bytes]],
) -> None:
    """Save arrays and the JSON that names them.

    Parameters
    ----------
    folder : path
        Made if missing.
    files : ModelFiles
    pieces : iterable of bytes
        The file of arrays.
    described : callable
        From the checksum of that file, its name and the text of the JSON.

    Raises
    ------
    RunFolderError
        If the folder cannot be written, another process is saving to it, or one of our names is not ours there.
    """
    folder = Path(folder)
    try:
        check_names(folder, MODEL, [files.manifest, LOCK])
        folder.mkdir(parents=True, exist_ok=True)
        with _saving_alone(folder):
            check_names(folder, MODEL, [files.manifest])
            sweep(folder, lambda left: _remove_unnamed(folder, left, files), alone=True)
            with work_folder(folder, [_ARRAYS, files.manifest, _REPLACED]) as work:
                digest = hashlib.blake2b(digest_size=32)
                write_durably(work / _ARRAYS, digested(pieces, digest), mode=PUBLIC)
                checksum = checked_json.format_checksum(digest)
                name, text = described(checksum)
                write_durably(work / files.manifest, [text], mode=PUBLIC)
                _publish(folder, work, name, checksum, files)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot save the {files.what} to {folder}: {error.strerror or error}",
            f"free some space or choose another folder; a {files.what} that was there is untouched",
        ) from error


def _publish(folder: Path, work: Path, name: str, checksum: str, files: ModelFiles) -> None:
    """Rename the files into place; of the model before, the file that it named is removed."""
    before = _arrays_named_in(folder / files.manifest, files)
    if before:
        # A kill after the renaming must not leave the old arrays for good.
        with open_regular(folder / files.manifest) as file:
            write_durably(work / _REPLACED, [file.read()])
    is_there = os.path.lexists(folder / name)
    if is_there and _checksum_of(folder / name) != checksum:
        if name != before:
            raise refusal(folder, f"holds {name!r}, which manymill did not write")
        is_there = False
    is_new = False
    try:
        if not is_there:
            os.replace(work / _ARRAYS, folder / name)
            sync_folder(folder)
        os.replace(work / files.manifest, folder / files.manifest)
        is_new = True
        sync_folder(folder)
    finally:
        named, stale = (name, before) if is_new else (before, None if is_there else name)
        if stale and named is not None and stale != named:
            try:
                (folder / stale).unlink(missing_ok=True)
            except OSError:
                leave(work)


def _arrays_named_in(path: Path, files: ModelFiles) -> str | None:
    """The file of arrays that a JSON names: empty if there is no JSON, None if it is damaged."""
    try:
        with open_regular(path) as file:
            return files.arrays_of(file.read())
    except FileNotFoundError:
        return ""
    except ModelError:
        return None


def _checksum_of(path: Path) -> str | None:
    """The checksum of a regular file; None of anything else."""
    check_file(path)
    try:
        with open_regular(path) as file:
            return checked_json.checksum(iter(lambda: file.read(_PIECE_BYTES), b""))
    except OSError:
        return None


def _remove_unnamed(folder: Path, left: Path, files: ModelFiles) -> None:
    """Remove the arrays that a save left which was killed between its renamings, or before it removed the old ones."""
    now = _arrays_named_in(folder / files.manifest, files)
    renamed = not (left / _ARRAYS).exists()
    made = _arrays_named_in(left / files.manifest, files)
    replaced = _arrays_named_in(left / _REPLACED, files)
    for name in (made if renamed else "", replaced if now else ""):
        if name and now not in (name, None):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def _saving_alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; ``RunFolderError`` if another process does."""
    from filelock import FileLock, Timeout

    try:
        # The system frees the lock of a process that was killed.
        with FileLock(folder / LOCK, timeout=60):
            yield
    except Timeout:
        raise RunFolderError(f"another process is saving a model to {folder}", "wait for it to end") from None
