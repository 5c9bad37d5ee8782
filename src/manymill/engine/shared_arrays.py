"""The arrays that workers share: found in the store, published by the engine, or mapped from the file they are in.

::

    workers are threads        ──► the arrays themselves
    array is mapped (mode "r") ──► path, offset, type, shape, order: nothing is copied
    workers are on this host   ──► the store: written once, found again by every later fit
    workers may be elsewhere   ──► Engine.publish
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from manymill.engine.array_store import ArrayStore, Hold
from manymill.engine.base import Engine
from manymill.engine.spool import Ref
from manymill.errors import EngineError
from manymill.storage.tensors import Arrays, storable

# What is smaller travels with each call.
_LEAST_BYTES = 1 << 12
# What is larger has a file of its own in the store, which is found again whatever it is shared together with.
_OWN_FILE_BYTES = 1 << 20
_OWN_NAME = "array"
_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True, slots=True)
class InFile:
    """An array that lies in a file: mapped by whoever needs it.

    Attributes
    ----------
    path : str
    offset : int
        Bytes before it.
    dtype : str
    shape : tuple of int
    order : {"C", "F"}
    stamp : tuple of int, or None
        Length and time of change (ns) of a file that was mapped to be read only.
    """

    path: str
    offset: int
    dtype: str
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"
    stamp: tuple[int, int] | None = None

    def load(self, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
        """The array, read-only, or (``"c"``) such that what is written to it stays in memory.

        Raises
        ------
        EngineError
            If the file cannot be read, or is not as it was when it was shared.
        """
        try:
            if self.stamp is not None and _stamp(self.path) != self.stamp:
                raise EngineError(
                    f"{self.path} was changed while its arrays were in use",
                    "load it anew and start again, and leave the file as it is meanwhile",
                )
            return np.memmap(self.path, self.dtype, mode, self.offset, self.shape, self.order)
        except OSError as error:
            raise EngineError(
                f"The arrays of {self.path} cannot be read on this worker: {error.strerror or error}",
                "put the file where every worker sees it under the same name",
            ) from error


@dataclass(frozen=True, slots=True)
class Shared:
    """Arrays and sparse matrices by name; small, and it pickles. A context manager, for the driver.

    Attributes
    ----------
    refs : tuple of (str or None, Ref)
        The one array of a file and its name; or a file of several.
    here : mapping
        All of them, where workers share our memory.
    files : mapping of str to InFile
    sparse : mapping of str to (type, (int, int))
        Class, such as ``csr_matrix``, and shape.
    transposed : frozenset of str
        Those in Fortran order, whose transposes are in C order.
    bytes_written : int
        0 if nothing had to be written, as for arrays that were shared before.
    """

    refs: tuple[tuple[str | None, Ref], ...] = ()
    here: Mapping[str, Any] | None = None
    files: Mapping[str, InFile] | None = None
    sparse: Mapping[str, tuple[type[Any], tuple[int, int]]] | None = None
    transposed: frozenset[str] = frozenset()
    bytes_written: int = 0
    _owner: Hold | Engine | None = None

    def load(self) -> dict[str, Any]:
        """All of them, read-only.

        Raises
        ------
        EngineError
            If a file cannot be read, or was changed.
        """
        if self.here is not None:
            return dict(self.here)
        arrays: dict[str, Any] = {}
        for name, ref in self.refs:
            arrays |= ref.load() if name is None else {name: ref.load()[_OWN_NAME]}
        arrays |= {name: arrays[name].T for name in self.transposed}
        arrays |= {name: file.load() for name, file in (self.files or {}).items()}
        for name, (kind, shape) in (self.sparse or {}).items():
            arrays[name] = sparse_of({part: arrays.pop(f"{name}.{part}") for part in _PARTS}, kind, shape)
        return arrays

    def close(self) -> None:
        """Let go of what was shared; workers that have loaded it keep it."""
        if isinstance(self._owner, Hold):
            self._owner.close()
        elif self._owner is not None:
            for _, ref in self.refs:
                self._owner.withdraw(ref)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Whoever gets a copy owns nothing.
        state = (self.refs, self.here, self.files, self.sparse, self.transposed, self.bytes_written)
        return Shared, state


def share(engine: Engine, arrays: Mapping[str, Any], *, store: ArrayStore | None = None) -> Shared:
    """Give arrays and sparse matrices to all workers; those that are mapped from a file stay there.

    Parameters
    ----------
    engine : Engine
    arrays : mapping of str to ndarray, or sparse matrix (CSR or CSC)
    store : ArrayStore, optional
        That of the engine if not given. Every worker must see its folder.

    Raises
    ------
    EngineError
        If they cannot be written.
    """
    if engine.shares_memory:
        return Shared(here=dict(arrays))
    files: dict[str, InFile] = {}
    sparse: dict[str, tuple[type[Any], tuple[int, int]]] = {}
    parts: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if issparse(array):
            sparse[name] = (type(array), array.shape)
            parts |= {f"{name}.{part}": value for part, value in sparse_parts(array).items()}
        else:
            parts[name] = array
    out: dict[str, NDArray[Any]] = {}
    transposed: set[str] = set()
    for name, array in parts.items():
        if (file := in_file(array)) is not None:
            files[name] = file
        elif array.flags.f_contiguous and not array.flags.c_contiguous:
            transposed.add(name)
            out[name] = array.T
        else:
            out[name] = array
    refs, written, owner = _published(engine, out, store or engine.store, files)
    return Shared(refs, None, files, sparse, frozenset(transposed), written, owner)


def _published(
    engine: Engine, out: Arrays, store: ArrayStore | None, files: Mapping[str, InFile]
) -> tuple[tuple[tuple[str | None, Ref], ...], int, Hold | Engine | None]:
    if store is None:
        before = engine.bytes_out
        refs = ((None, engine.publish(out)),) if out else ()
        return refs, engine.bytes_out - before, engine
    ours = [file.path for file in files.values() if store.has(file.path)]
    if not out and not ours:
        return (), 0, None
    own = [name for name, array in out.items() if array.nbytes >= _OWN_FILE_BYTES]
    rest = {name: array for name, array in out.items() if name not in own}
    groups: list[tuple[str | None, Arrays]] = [(name, {_OWN_NAME: out[name]}) for name in own]
    if rest:
        groups.append((None, rest))
    hold = store.hold([group for _, group in groups], files=ours)
    engine.count_out(hold.bytes_written)
    return tuple(zip([name for name, _ in groups], hold.refs, strict=True)), hold.bytes_written, hold


def in_file(array: NDArray[Any]) -> InFile | None:
    """Where an array lies in a file; None if it is not mapped from one, or not in one piece."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not (isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap) and root.filename):
        return None
    # What was written to a copy-on-write map is not in the file.
    if root.mode == "c" or not (array.flags.c_contiguous or array.flags.f_contiguous):
        return None
    offset = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    path = os.path.abspath(root.filename)
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    try:
        # A map that is written to changes the time of its file whenever the system sees fit.
        stamp = _stamp(path) if root.mode == "r" else None
    except OSError:  # the map outlives its file
        return None
    return InFile(path, int(offset), array.dtype.str, array.shape, order, stamp)


def writable(array: Any) -> Any:
    """The same values where scikit-learn takes them: its search for missing values wants memory it could write to.

    Of a file that is mapped no page is copied.
    """
    if not isinstance(array, np.ndarray) or array.flags.writeable:
        return array
    if (file := in_file(array)) is not None:
        return file.load("c")
    return array.copy(order="K")


def worth_sharing(array: Any) -> bool:
    """Whether it is an array, or a sparse matrix, too large to travel with each call."""
    if issparse(array):
        return array.format in ("csr", "csc") and storable(array)
    return isinstance(array, np.ndarray) and storable(array) and array.nbytes >= _LEAST_BYTES


def sparse_parts(matrix: Any) -> Arrays:
    """The three arrays of a matrix in CSR or CSC; its indices sorted, since who has views of them cannot sort them."""
    matrix = matrix if matrix.has_sorted_indices else matrix.sorted_indices()
    return {part: getattr(matrix, part) for part in _PARTS}


def sparse_of(parts: Arrays, kind: type[Any], shape: tuple[int, int]) -> Any:
    """The matrix of three arrays, which are not copied."""
    matrix = kind(shape, dtype=parts["data"].dtype)
    # SciPy's constructor copies what is a small part of a larger memory, such as a map of several arrays.
    matrix.data, matrix.indices, matrix.indptr = (parts[part] for part in _PARTS)
    matrix.has_sorted_indices = True
    return matrix


def _stamp(path: str) -> tuple[int, int]:
    told = os.stat(path)
    return told.st_size, told.st_mtime_ns
