"""Safetensors files of arrays: written durably with a checksum, and validated when read.

::

    lay_out(arrays) ──► ArrayFile, named by its content        write_arrays(path, arrays) ──► checksum
    mapped(path)    ──► read-only memory maps                   read_arrays(path, checksum) ──► arrays

A file consists of eight bytes of length, a JSON header padded with spaces, and the arrays without gaps. Names, dtypes
and shapes determine the header completely (`header_of`), so a reader rebuilds it and compares: overlapping offsets, a
wrong shape or dtype, and missing or extra bytes are found before anything is allocated.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import EngineError
from manymill.storage.checked_json import checksum as checksum_of
from manymill.storage.checked_json import format_checksum
from manymill.storage.durable import replace_durably, write_durably
from manymill.storage.own_files import open_regular

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Slices:
    """An array that is never in memory as a whole: its slices along the first axis are made while they are written."""

    dtype: type[np.generic]
    shape: tuple[int, ...]
    make: Callable[[], Iterator[NDArray[Any]]]

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize


SUFFIX = ".safetensors"

# The arrays start at a multiple of a cache line in the file, and so in a memory map.
_ALIGNMENT = 64
_CODES = {
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
_NAMES = {code: name for name, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """File of arrays that is ready to be written, named by its content.

    Attributes
    ----------
    digest : str
        Digest of all bytes: equal arrays under equal names have equal digests.
    n_bytes : int
        Size of the file.
    """

    digest: str
    n_bytes: int
    _header: bytes
    _arrays: Arrays

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.digest + SUFFIX

    def write(
        self,
        partial: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        durable: bool = True,
    ) -> None:
        """Write the file under a temporary name and rename it, so that readers never see a partial file.

        Parameters
        ----------
        partial, target : path
            Temporary and final path, in the same folder.
        durable : bool
            Whether the file survives a power cut once this returns; not needed if no later process reads it.

        Raises
        ------
        OSError
            If it cannot be written; ``partial`` is then removed.
        """
        partial, target = Path(partial), Path(target)
        write_durably(partial, _pieces(self._header, self._arrays), sync=durable)
        if durable:
            replace_durably(partial, target)
            return
        try:
            os.replace(partial, target)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise


def storable(array: Any) -> bool:
    """Return whether the format supports the dtype of an array or a sparse matrix."""
    return array.dtype.name in _CODES


def lay_out(arrays: Arrays) -> ArrayFile:
    """Lay out arrays as a file; reads all of them to compute the digest.

    Raises
    ------
    EngineError
        If the format does not support the dtype of an array.
    """
    for name, array in arrays.items():
        if not storable(array):
            raise EngineError(
                f"The array {name!r} of dtype {array.dtype} cannot be published", "use a numeric dtype"
            )
    sorted_arrays = _sorted(arrays)
    header = _header(sorted_arrays)
    digest = _digest(_pieces(header, sorted_arrays))
    n_bytes = len(header) + sum(array.nbytes for array in sorted_arrays.values())
    return ArrayFile(digest, n_bytes, header, sorted_arrays)


def mapped(path: str) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file, read-only; their bytes are read from the disk on first access.

    Raises
    ------
    OSError
        If it cannot be read.
    EngineError
        If it is truncated, or not such a file.
    """
    try:
        return arrays_in(np.memmap(path, np.uint8, "r"))
    except ValueError as error:
        raise EngineError(
            f"{path} is not the file of arrays that was published: {error}",
            "remove it; it will be written again",
        ) from error


def arrays_in(data: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return the arrays in the bytes of a file, as views.

    Raises
    ------
    ValueError
        If the bytes are not exactly those of such a file.
    """
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    if not 8 < start <= len(data):
        raise ValueError("it is too short for its header")
    try:
        entries = json.loads(data[8:start].tobytes())
        tensors = {name: (_NAMES[entry["dtype"]], entry["shape"]) for name, entry in entries.items()}
        known = all(type(size) is int and size >= 0 for _, shape in tensors.values() for size in shape)
        matches = known and header_of(tensors) == data[:start].tobytes()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError("its header cannot be read") from error
    if not matches:
        raise ValueError("its header is damaged")
    arrays = {}
    for name, (dtype, shape) in tensors.items():
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > len(data) - start or start % np.dtype(dtype).itemsize:
            raise ValueError("it is too short for its arrays" if size > len(data) - start else "it has gaps")
        arrays[name] = (
            np.asarray(data[start : start + size]).view(np.dtype(dtype).newbyteorder("<")).reshape(shape)
        )
        start += size
    if start != len(data):
        raise ValueError(f"it has {len(data) - start} bytes too many")
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any] | Slices]) -> str:
    """Write a file, sync it to the disk and return its checksum; the arrays are read once.

    The folder is not synced.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    digest = blake2b(digest_size=32)
    names = _sorted_names(arrays)
    header = header_of({name: (np.dtype(arrays[name].dtype).name, arrays[name].shape) for name in names})
    write_durably(path, digested(_all_pieces(header, [arrays[name] for name in names]), digest))
    return format_checksum(digest)


def read_arrays(path: Path, checksum: str) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file, read-only, and verify its checksum.

    Raises
    ------
    OSError
        If it cannot be read, or is not a regular file.
    ValueError
        If its bytes do not match the checksum, or are not such a file.
    """
    with open_regular(path) as file:
        is_empty = not os.fstat(file.fileno()).st_size  # cannot be mapped
        content = b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(content, np.uint8)
    if checksum_of([data.data]) != checksum:
        raise ValueError(f"{path.name} does not match its checksum")
    try:
        return arrays_in(data)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def header_of(tensors: Mapping[str, tuple[str, Sequence[int]]]) -> bytes:
    """Return the bytes before tensors (dtype and shape by name) that are stored in this order without gaps."""
    entries, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        entries[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def digested(pieces: Iterable[bytes | memoryview], digest: blake2b) -> Iterator[bytes | memoryview]:
    """Yield the pieces, and add each to the digest."""
    for piece in pieces:
        digest.update(piece)
        yield piece


def _sorted_names(arrays: Mapping[str, NDArray[Any] | Slices]) -> list[str]:
    """The names in the order of the file: the widest dtypes first, so that each array is aligned."""
    return sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))


def _sorted(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays in the order and the byte order of the file."""
    return {name: _little_endian(arrays[name]) for name in _sorted_names(arrays)}


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    shape = array.shape  # ascontiguousarray turns zero dimensions into one
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(shape)


def _header(arrays: Arrays) -> bytes:
    return header_of({name: (array.dtype.name, array.shape) for name, array in arrays.items()})


def _pieces(header: bytes, arrays: Arrays) -> Iterator[bytes | memoryview]:
    return _all_pieces(header, arrays.values())


def _all_pieces(header: bytes, arrays: Iterable[NDArray[Any] | Slices]) -> Iterator[bytes | memoryview]:
    yield header
    for array in arrays:
        for part in array.make() if isinstance(array, Slices) else (array,):
            yield _little_endian(part).reshape(-1).view(np.uint8).data


def _digest(pieces: Iterable[bytes | memoryview]) -> str:
    digest = blake2b(digest_size=20)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
