"""The arrays that workers share: published once by the engine, or mapped from the file that they are in already."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from manymill.engine.seam import Engine
from manymill.engine.spool import Ref

# What is smaller travels with each call.
_LEAST_BYTES = 1 << 12


@dataclass(frozen=True, slots=True)
class InFile:
    """An array that lies in a file of the user's: mapped by whoever needs it."""

    path: str
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def load(self) -> NDArray[Any]:
        """The array, read-only."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True, slots=True)
class Shared:
    """Arrays and sparse matrices by name; small, and it pickles."""

    ref: Ref | None
    here: Mapping[str, Any]  # where workers share our memory
    files: Mapping[str, InFile]
    sparse: Mapping[str, tuple[str, tuple[int, int]]]  # kind ("csr", "csc") and shape

    def load(self) -> dict[str, Any]:
        """All of them, read-only."""
        if self.here:
            return dict(self.here)
        arrays: dict[str, Any] = {} if self.ref is None else self.ref.load()
        arrays |= {name: file.load() for name, file in self.files.items()}
        for name, (kind, shape) in self.sparse.items():
            parts = tuple(arrays.pop(f"{name}.{part}") for part in ("data", "indices", "indptr"))
            arrays[name] = _sparse(kind, parts, shape)
        return arrays


def share(engine: Engine, arrays: Mapping[str, Any]) -> Shared:
    """Publish arrays and sparse matrices; those that are mapped from a file stay there.

    Parameters
    ----------
    engine : Engine
    arrays : mapping of str to ndarray, or sparse matrix (CSR or CSC)

    Raises
    ------
    EngineError
        If they cannot be written.
    """
    if engine.shares_memory:
        return Shared(None, dict(arrays), {}, {})
    files: dict[str, InFile] = {}
    sparse: dict[str, tuple[str, tuple[int, int]]] = {}
    out: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if issparse(array):
            sparse[name] = (array.format, array.shape)
            out |= {f"{name}.{part}": getattr(array, part) for part in ("data", "indices", "indptr")}
        elif (file := in_file(array)) is not None:
            files[name] = file
        else:
            out[name] = array
    return Shared(engine.publish(out) if out else None, {}, files, sparse)


def in_file(array: NDArray[Any]) -> InFile | None:
    """Where an array lies in a file; None if it is not mapped from one, or not in one piece."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not (isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap) and root.filename):
        return None
    # What was written to a copy-on-write map is not in the file.
    if root.mode == "c" or not array.flags.c_contiguous:
        return None
    offset = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return InFile(str(root.filename), int(offset), array.dtype.str, array.shape)


def writable(array: Any) -> Any:
    """The same values where scikit-learn takes them: its search for missing values wants memory it could write to.

    Of a file that is mapped no page is copied.
    """
    if not isinstance(array, np.ndarray) or array.flags.writeable:
        return array
    if (file := in_file(array)) is not None:
        return np.memmap(file.path, file.dtype, "c", file.offset, file.shape)
    return array.copy()


def worth_sharing(array: Any) -> bool:
    """Whether it is an array, or a sparse matrix, too large to travel with each call."""
    if issparse(array):
        return array.format in ("csr", "csc")
    return isinstance(array, np.ndarray) and array.dtype != object and array.nbytes >= _LEAST_BYTES


def _sparse(kind: str, parts: tuple[Any, ...], shape: tuple[int, int]) -> Any:
    from scipy.sparse import csc_matrix, csr_matrix

    matrix = (csr_matrix if kind == "csr" else csc_matrix)(parts, shape=shape, copy=False)
    matrix.has_sorted_indices = True
    return matrix
