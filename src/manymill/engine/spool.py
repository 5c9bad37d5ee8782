"""Arrays published to workers: written once to a file that is named by its content, mapped by whoever reads it.

The file is a safetensors file (eight bytes of length, a JSON header, the tensors without gaps), the widest numbers
first, so that each array starts at a multiple of its item's size. It is written under another name and renamed: a
reader finds it whole or not at all.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from manymill.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]

_PREFIX = "manymill-spool-"
_FRESH_SECONDS = 60.0

# The tensors start at a multiple of a cache line.
_ALIGNMENT = 64
_NAMES = {
    "bool": "BOOL",
    "int8": "I8",
    "uint8": "U8",
    "int16": "I16",
    "uint16": "U16",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "uint64": "U64",
    "float32": "F32",
    "float64": "F64",
}  # fmt: skip
_DTYPES = {name: np.dtype(dtype).newbyteorder("<") for dtype, name in _NAMES.items()}


@dataclass(frozen=True, slots=True)
class Ref:
    """A handle of published arrays: small, and it pickles.

    Attributes
    ----------
    digest : str
        Of the content: equal arrays have equal digests.
    path : str or None
        The file; None where workers share the memory of the driver.
    """

    digest: str
    path: str | None
    _arrays: Arrays | None = field(default=None, repr=False, compare=False)

    def load(self) -> dict[str, NDArray[Any]]:
        """The arrays, read-only; their bytes are read from the disk where they are first touched.

        Raises
        ------
        EngineError
            If the file cannot be seen here, or is not what was published.
        """
        if self._arrays is not None:
            return dict(self._arrays)
        assert self.path is not None
        try:
            return _arrays_in(np.memmap(self.path, np.uint8, "r"))
        except OSError as error:
            raise EngineError(
                f"The published arrays cannot be read on this worker: {self.path}: {error.strerror or error}",
                "give the engine a spool folder that every host sees under the same name",
            ) from error


def shared(arrays: Arrays) -> Ref:
    """A handle of the arrays themselves, for workers in this process."""
    views = {}
    for name, array in arrays.items():
        views[name] = array.view()
        views[name].flags.writeable = False
    return Ref("", None, views)


def received(digest: str, data: bytes) -> Ref:
    """A handle of what came as the bytes of a file."""
    return Ref(digest, None, _arrays_in(np.frombuffer(data, np.uint8)))


class Spool:
    """A folder of published files, removed when it is closed.

    Parameters
    ----------
    parent : path, optional
        Where the folder is made; the system's folder for temporary files if not given.
    """

    def __init__(self, parent: str | os.PathLike[str] | None = None) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._refs: dict[str, Ref] = {}

    def publish(self, arrays: Arrays) -> tuple[Ref, int]:
        """The handle of the arrays, and the bytes that were written: 0 if they had been published before.

        Raises
        ------
        EngineError
            If an array's dtype is none that the file knows, or the file cannot be written.
        """
        stored = [(name, _stored(name, array)) for name, array in arrays.items()]
        kept = dict(sorted(stored, key=lambda pair: (-pair[1].itemsize, pair[0])))
        header = _header(kept)
        digest = blake2b(header, digest_size=20)
        for array in kept.values():
            digest.update(_bytes(array))
        name = digest.hexdigest()
        if name in self._refs:
            return self._refs[name], 0
        try:
            path, n_bytes = self._write(name, header, kept)
        except OSError as error:
            raise EngineError(
                f"Arrays cannot be published in {self._folder or self._parent}: {error.strerror or error}",
                "free some room there, or give the engine another spool folder",
            ) from error
        self._refs[name] = Ref(name, str(path))
        return self._refs[name], n_bytes

    def withdraw(self, ref: Ref) -> None:
        """Remove the file of a handle; who has mapped it keeps what it has."""
        if ref.path is not None and self._refs.pop(ref.digest, None) is not None:
            with suppress(OSError):
                os.unlink(ref.path)

    def close(self) -> None:
        """Remove everything."""
        self._refs.clear()
        if self._folder is not None:
            self._lock.release()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _write(self, name: str, header: bytes, arrays: Arrays) -> tuple[Path, int]:
        if self._folder is None:
            if self._parent is not None:
                os.makedirs(self._parent, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            self._lock = _lock(self._folder)
            self._lock.acquire(blocking=False)
            _sweep(self._folder.parent)
        target, partial = self._folder / f"{name}.safetensors", self._folder / f"{name}.partial"
        try:
            with open(partial, "wb") as file:
                file.write(header)
                for array in arrays.values():
                    file.write(_bytes(array))
                n_bytes = file.tell()
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return target, n_bytes


def _lock(folder: Path) -> FileLock:
    """Held as long as the driver lives."""
    return FileLock(folder / "in-use")


def _sweep(parent: Path) -> None:
    """Remove the folders of drivers that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        # Who cannot tell, or is not allowed, leaves the folder; one that was just made may not be locked yet.
        with suppress(OSError, Timeout, NotImplementedError):
            if time.time() - folder.stat().st_mtime > _FRESH_SECONDS:
                with _lock(folder).acquire(blocking=False):
                    pass
                shutil.rmtree(folder, ignore_errors=True)


def _stored(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the order and the byte order of the file."""
    if array.dtype.name not in _NAMES:
        raise EngineError(f"The array {name!r} of dtype {array.dtype} cannot be published", "use numbers")
    shape = array.shape  # ascontiguousarray makes one dimension of none
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(shape)


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _header(arrays: Arrays) -> bytes:
    tensors, start = {}, 0
    for name, array in arrays.items():
        offsets = [start, start + array.nbytes]
        tensors[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": offsets,
        }
        start += array.nbytes
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _arrays_in(data: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    arrays = {}
    for name, tensor in json.loads(data[8:start].tobytes()).items():
        low, high = (start + offset for offset in tensor["data_offsets"])
        arrays[name] = np.asarray(data[low:high]).view(_DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return arrays
