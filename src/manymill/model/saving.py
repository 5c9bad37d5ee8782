"""Save a model to a folder atomically, without touching files of others.

The arrays are streamed to a file in a work folder, which is then named after its checksum and renamed into place; after
that, the JSON that names this file is. The second rename switches the folder to the new model. Then the arrays of the
previous model are removed, and no other file. If a save is killed, or the disk is full, the previous model remains.
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
_ARRAYS = "arrays"  # name in the work folder, while the checksum is unknown
_REPLACED = "replaced.json"


def save_model(
    folder: str | os.PathLike[str],
    description: ModelDescription,
    weights: NDArray[np.float32] | Iterable[NDArray[np.float32]],
    intercept: NDArray[np.float32],
    feature_weights: NDArray[np.float32] | None = None,
    features: NDArray[np.uint32] | None = None,
) -> None:
    """Save a model to a folder; equal models give equal bytes.

    Parameters
    ----------
    folder : path
        Created if missing. An existing model is replaced atomically.
    description : ModelDescription
        May be a :class:`LinearModel`.
    weights : ndarray of float32 or iterable of them, shape (n_columns, n_outputs)
        All rows, or consecutive slices of rows; each slice is written before the next is requested.
    intercept : ndarray of float32, shape (n_outputs,)
    feature_weights : ndarray of float32, shape (n_columns,), optional
        Factor of each feature.
    features : ndarray of uint32, shape (n_columns,), optional
        The hash bucket of each row of the weights, strictly ascending; the other buckets have weight 0. By default row
        i is bucket i, and there are ``n_features`` rows.

    Raises
    ------
    RunFolderError
        If the folder cannot be written, or a file that manymill did not write has one of the model's names; a previous
        model remains.
    ModelError
        If shapes do not match the description, or a number is not finite.
    """
    folder = Path(folder)
    n_features = description.analyzer.n_features
    layout = manifest.Layout(
        n_columns=n_features if features is None else len(features),
        n_outputs=description.n_outputs,
        has_feature_weights=feature_weights is not None,
        has_features=features is not None,
    )
    slices = [weights] if isinstance(weights, np.ndarray) else weights

    def describe(checksum: str) -> tuple[str, bytes]:
        file = manifest.WeightsFile(checksum, layout)
        return file.name, manifest.dump(description, file, __version__)

    pieces = _file_pieces(layout, n_features, slices, intercept, feature_weights, features)
    save_files(folder, _LINEAR, pieces, describe)


def _file_pieces(
    layout: manifest.Layout,
    n_features: int,
    slices: Iterable[NDArray[np.float32]],
    intercept: NDArray[np.float32],
    feature_weights: NDArray[np.float32] | None,
    features: NDArray[np.uint32] | None,
) -> Iterator[bytes | memoryview]:
    n_columns, n_outputs = layout.n_columns, layout.n_outputs
    yield layout.header
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
    if n_rows != n_columns:
        raise ModelError(f"the weights have {n_rows} rows instead of {n_columns}, one for each feature")
    if intercept.dtype != np.float32 or intercept.shape != (n_outputs,):
        raise ModelError(f"the intercept must be float32 of shape ({n_outputs},)")
    yield _finite_bytes("intercept", intercept)
    if feature_weights is not None:
        if feature_weights.dtype != np.float32 or feature_weights.shape != (n_columns,):
            raise ModelError(f"the feature weights must be float32 of shape ({n_columns},)")
        yield _finite_bytes("feature weights", feature_weights)
    if features is not None:
        if features.dtype != np.uint32 or not manifest.are_buckets(features, n_features):
            raise ModelError(f"the features must be strictly ascending uint32 below {n_features}")
        yield np.ascontiguousarray(features, dtype="<u4").data.cast("B")


def _finite_bytes(name: str, values: NDArray[np.float32]) -> memoryview:
    if not np.isfinite(values).all():
        raise ModelError(f"NaN or infinity in the {name}", "train with a lower learning rate")
    return np.ascontiguousarray(values, dtype="<f4").data.cast("B")


@dataclass(frozen=True)
class ModelFiles:
    """The two files of a kind of model.

    Parameters
    ----------
    what : str
        Name of the kind, for messages.
    manifest : str
        Name of the JSON file.
    arrays_name : callable
        From the text of the JSON, the name of its array file; ``ModelError`` if the text is damaged.
    """

    what: str
    manifest: str
    arrays_name: Callable[[bytes], str]


_LINEAR = ModelFiles("model", manifest.FILE_NAME, lambda text: manifest.load(text)[1].name)


def save_files(
    folder: str | os.PathLike[str],
    files: ModelFiles,
    pieces: Iterable[bytes | memoryview],
    describe: Callable[[str], tuple[str, bytes]],
) -> None:
    """Save an array file and the JSON that names it.

    Parameters
    ----------
    folder : path
        Created if missing.
    files : ModelFiles
    pieces : iterable of bytes
        Content of the array file.
    describe : callable
        From the checksum of the array file, its name and the text of the JSON.

    Raises
    ------
    RunFolderError
        If the folder cannot be written, another process is saving to it, or a file there with one of the names was
        not written by manymill.
    """
    folder = Path(folder)
    try:
        check_names(folder, MODEL, [files.manifest, LOCK])
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            check_names(folder, MODEL, [files.manifest])
            sweep(folder, lambda left: _remove_unnamed(folder, left, files), alone=True)
            with work_folder(folder, [_ARRAYS, files.manifest, _REPLACED]) as work:
                digest = hashlib.blake2b(digest_size=32)
                write_durably(work / _ARRAYS, digested(pieces, digest), mode=PUBLIC)
                checksum = checked_json.format_checksum(digest)
                name, text = describe(checksum)
                write_durably(work / files.manifest, [text], mode=PUBLIC)
                _publish(folder, work, name, checksum, files)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot save the {files.what} to {folder}: {error.strerror or error}",
            f"free some disk space or choose another folder; a previous {files.what} there is unchanged",
        ) from error


def _publish(folder: Path, work: Path, name: str, checksum: str, files: ModelFiles) -> None:
    """Rename the files into place, and remove the array file of the previous model."""
    before = _arrays_name(folder / files.manifest, files)
    if before:
        # If the process is killed after the rename, the next save finds the old arrays by this file.
        with open_regular(folder / files.manifest) as file:
            write_durably(work / _REPLACED, [file.read()])
    exists = os.path.lexists(folder / name)
    if exists and _checksum_of(folder / name) != checksum:
        if name != before:
            raise refusal(folder, f"contains {name!r}, which manymill did not write")
        exists = False
    is_new = False
    try:
        if not exists:
            os.replace(work / _ARRAYS, folder / name)
            sync_folder(folder)
        os.replace(work / files.manifest, folder / files.manifest)
        is_new = True
        sync_folder(folder)
    finally:
        current, stale = (name, before) if is_new else (before, None if exists else name)
        if stale and current is not None and stale != current:
            try:
                (folder / stale).unlink(missing_ok=True)
            except OSError:
                leave(work)


def _arrays_name(path: Path, files: ModelFiles) -> str | None:
    """The array file that a JSON file names: empty if the file is missing, None if it is damaged."""
    try:
        with open_regular(path) as file:
            return files.arrays_name(file.read())
    except FileNotFoundError:
        return ""
    except ModelError:
        return None


def _checksum_of(path: Path) -> str | None:
    """The checksum of a regular file; None for anything else."""
    check_file(path)
    try:
        return checked_json.file_checksum(path)
    except OSError:
        return None


def _remove_unnamed(folder: Path, left: Path, files: ModelFiles) -> None:
    """Remove unused arrays of a save that was killed between its renames, or before it removed the old arrays."""
    current = _arrays_name(folder / files.manifest, files)
    renamed = not (left / _ARRAYS).exists()
    new = _arrays_name(left / files.manifest, files)
    replaced = _arrays_name(left / _REPLACED, files)
    for name in (new if renamed else "", replaced if current else ""):
        if name and current not in (name, None):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; ``RunFolderError`` if another process holds it."""
    from filelock import FileLock, Timeout

    try:
        # The system releases the lock of a killed process.
        with FileLock(folder / LOCK, timeout=60):
            yield
    except Timeout:
        raise RunFolderError(
            f"another process is saving a model to {folder}", "wait until it has finished"
        ) from None
