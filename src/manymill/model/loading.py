"""Load a model from an untrusted folder.

Sizes and the header are compared with ``model.json`` before anything is allocated, the weights are memory-mapped
read-only, and no file decides which classes are instantiated.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import ModelError
from manymill.model import manifest
from manymill.model.linear import LinearModel, ModelDescription
from manymill.storage import checked_json
from manymill.storage.own_files import open_regular

_PIECE_BYTES = 2**20


def locate_model(path: str | os.PathLike[str]) -> Path:
    """The model folder for a path: the path itself, or ``model`` in a run folder."""
    path = Path(path)
    inside = path / "model"
    return inside if not (path / manifest.FILE_NAME).exists() and inside.is_dir() else path


def load_model(folder: str | os.PathLike[str], *, verify: bool = True) -> LinearModel:
    """Load the model of a folder, with memory-mapped weights.

    Parameters
    ----------
    folder : path
        A folder written by :func:`save_model`.
    verify : bool
        Whether to read the weights file once to verify its checksum; otherwise damaged weights are not detected.

    Raises
    ------
    ModelError
        If the folder has no model, or one that is damaged, hostile, or of a newer version.
    """
    folder = Path(folder)
    text = _read_manifest(folder)
    while True:
        try:
            return _load(folder, text, verify)
        except FileNotFoundError as error:
            # A concurrent save may have replaced the weights after model.json was read: try again with the new one.
            text, previous = _read_manifest(folder), text
            if text == previous:
                raise ModelError(
                    f"{folder}: the file {Path(error.filename).name} is missing", "copy the complete folder"
                ) from None


def _read_manifest(folder: Path) -> bytes:
    path = folder / manifest.FILE_NAME
    if folder.is_file():
        raise ModelError(
            f"{folder} is a file, but a model is a folder", "name the folder that contains model.json"
        )
    try:
        with open_regular(path) as file:
            # One byte above the limit shows that the file is too large.
            return file.read(min(os.fstat(file.fileno()).st_size, manifest.MAX_BYTES) + 1)
    except OSError as error:
        raise ModelError(
            f"{folder} is not a model folder: cannot read {manifest.FILE_NAME}: {error.strerror}",
            "name a folder written by `manymill train` or save",
        ) from error


def _load(folder: Path, text: bytes, verify: bool) -> LinearModel:
    try:
        description, weights_file = manifest.load(text)
    except ModelError as error:
        raise ModelError(f"{folder / manifest.FILE_NAME}: {error.what}", error.hint) from error
    path = folder / weights_file.name
    try:
        with open_regular(path) as file:
            tensors = _map_tensors(file, weights_file, description.analyzer.n_features, verify)
    except FileNotFoundError:
        raise
    except ModelError as error:
        raise ModelError(f"{path}: {error.what}", error.hint) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    fields = {name: getattr(description, name) for name in ModelDescription.__dataclass_fields__}
    checksum = checked_json.checksum([text])
    return LinearModel(
        **fields,
        weights=tensors["weights"],
        intercept=tensors["intercept"],
        feature_weights=tensors.get("feature_weights"),
        features=tensors.get("features"),
        checksum=checksum,
    )


def _map_tensors(
    file: IO[bytes], weights: manifest.WeightsFile, n_features: int, verify: bool
) -> dict[str, NDArray[Any]]:
    layout = weights.layout
    size = os.fstat(file.fileno()).st_size
    if size != layout.n_bytes:
        raise ModelError(f"it has {size} bytes instead of {layout.n_bytes}", "copy the folder again")
    header = layout.header
    if file.read(len(header)) != header:
        raise ModelError("its header does not match model.json", "copy the folder again")
    if verify:
        file.seek(0)
        if checked_json.checksum(iter(lambda: file.read(_PIECE_BYTES), b"")) != weights.checksum:
            raise ModelError("its bytes do not match their checksum", "copy the folder again")
    values = np.asarray(np.memmap(file, dtype="<f4", mode="r", offset=len(header)))
    tensors: dict[str, NDArray[Any]] = {}
    end = 0
    for name, (dtype, shape) in layout.tensors.items():
        start, end = end, end + math.prod(shape)
        tensor = values[start:end].reshape(shape)
        if name != "weights":
            # Only the weights stay memory-mapped: the other tensors are small, or read for every row.
            tensor = np.array(tensor.view(np.dtype(dtype).newbyteorder("<")), dtype=dtype)
            tensor.flags.writeable = False
        if name in ("intercept", "feature_weights") and not np.isfinite(tensor).all():
            raise ModelError(f"its {name} contains NaN or infinity")
        if name == "features" and not manifest.are_buckets(tensor, n_features):
            raise ModelError(f"its features are not strictly ascending and below {n_features}")
        tensors[name] = tensor
    return tensors
