"""Arrays as one file whose name is the digest of its bytes: how they are laid out, written, checked and mapped.

A safetensors file (eight bytes of length, a JSON header, the tensors without gaps), the widest numbers first, so that
each array starts at a multiple of its item's size.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]

SUFFIX = ".safetensors"

# The tensors start at a multiple of a cache line.
_ALIGNMENT = 64
_READ_BYTES = 1 << 22
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
class ArrayFile:
    """A file that is to be written.

    Attributes
    ----------
    digest : str
        Of all its bytes: equal arrays under equal names have equal digests.
    n_bytes : int
        Its length.
    """

    digest: str
    n_bytes: int
    _header: bytes
    _arrays: Arrays

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.digest + SUFFIX

    def write(self, partial: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Write it under another name and rename it: a reader finds it whole or not at all."""
        try:
            with open(partial, "wb") as file:
                file.write(self._header)
                for array in self._arrays.values():
                    file.write(_bytes(array))
            os.replace(partial, target)
        except BaseException:
            if os.path.exists(partial):
                os.unlink(partial)
            raise

    def is_whole(self, path: str | os.PathLike[str]) -> bool:
        """Whether the file of this name has the length and the header that it must have."""
        try:
            with open(path, "rb") as file:
                return os.fstat(file.fileno()).st_size == self.n_bytes and (
                    file.read(len(self._header)) == self._header
                )
        except FileNotFoundError:
            return False


def storable(array: Any) -> bool:
    """Whether the file knows the dtype of an array, or of a sparse matrix."""
    return array.dtype.name in _NAMES


def lay_out(arrays: Arrays) -> ArrayFile:
    """The file of some arrays; reads all of them for the digest.

    Raises
    ------
    EngineError
        If an array's dtype is none that the file knows.
    """
    stored = [(name, _stored(name, array)) for name, array in arrays.items()]
    kept = dict(sorted(stored, key=lambda pair: (-pair[1].itemsize, pair[0])))
    header = _header(kept)
    digest = _digest([header, *map(_bytes, kept.values())])
    return ArrayFile(digest, len(header) + sum(array.nbytes for array in kept.values()), header, kept)


def digest_of(path: str | os.PathLike[str]) -> str:
    """The digest of a file as it is on the disk."""
    with open(path, "rb") as file:
        return _digest(iter(lambda: file.read(_READ_BYTES), b""))


def mapped(path: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read-only; their bytes are read from the disk where they are first touched.

    Raises
    ------
    OSError
        If it cannot be read.
    EngineError
        If it is cut off, or something else.
    """
    try:
        return arrays_in(np.memmap(path, np.uint8, "r"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # whatever the bytes are taken for
        raise EngineError(
            f"{path} is not the file of arrays that was published: {error}",
            "remove it; it is written anew the next time",
        ) from error


def arrays_in(data: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of a file."""
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    arrays = {}
    for name, tensor in json.loads(data[8:start].tobytes()).items():
        low, high = (start + offset for offset in tensor["data_offsets"])
        arrays[name] = np.asarray(data[low:high]).view(_DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return arrays


def _digest(pieces: Iterable[bytes | memoryview]) -> str:
    digest = blake2b(digest_size=20)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _stored(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the order and the byte order of the file."""
    if not storable(array):
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
