"""Arrays that all workers of an engine read.

::

    workers are threads        ──► the arrays themselves
    array is mapped (mode "r") ──► path, offset, dtype, shape, order: nothing is copied
    workers are on this host   ──► the array store: written once, reused by later fits
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

from manymill.engine.array_store import ArrayStore, StoredArrays
from manymill.engine.base import Engine
from manymill.engine.spool import Ref
from manymill.errors import EngineError
from manymill.storage.tensors import Arrays, storable

# Smaller arrays are sent with each call.
_MIN_SHARED_BYTES = 1 << 12
# Larger arrays get their own file in the store, which is reused whatever other arrays are shared with them.
_OWN_FILE_BYTES = 1 << 20
_OWN_NAME = "array"
_COMPONENTS = ("data", "indices", "indptr")


@dataclass(frozen=True, slots=True)
class MappedArray:
    """Location of an array in a file; every reader maps it.

    Attributes
    ----------
    path : str
    offset : int
        Bytes before the array.
    dtype : str
    shape : tuple of int
    order : {"C", "F"}
    stamp : tuple of int, or None
        Size and modification time (ns) of a file that was mapped read-only.
    """

    path: str
    offset: int
    dtype: str
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"
    stamp: tuple[int, int] | None = None

    def load(self, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
        """Map the array, read-only (``"r"``) or copy-on-write (``"c"``).

        Raises
        ------
        EngineError
            If the file cannot be read, or has changed since it was shared.
        """
        try:
            if self.stamp is not None and _stamp(self.path) != self.stamp:
                raise EngineError(
                    f"{self.path} was changed while its arrays were in use",
                    "load it and start again, and do not change the file meanwhile",
                )
            return np.memmap(self.path, self.dtype, mode, self.offset, self.shape, self.order)
        except OSError as error:
            raise EngineError(
                f"The arrays of {self.path} cannot be read on this worker: {error.strerror or error}",
                "put the file where every worker sees it under the same name",
            ) from error


@dataclass(frozen=True, slots=True)
class SharedArrays:
    """Arrays and sparse matrices by name, as a small, picklable object; a context manager for the driver.

    Attributes
    ----------
    refs : tuple of (str or None, Ref)
        Published files: a name and the file of that array, or None and a file of several arrays.
    local : mapping
        All arrays, if workers share our memory.
    files : mapping of str to MappedArray
    sparse : mapping of str to (type, (int, int))
        Class, such as ``csr_matrix``, and shape.
    transposed : frozenset of str
        Arrays in Fortran order, stored as their transposes.
    bytes_written : int
        0 if nothing had to be written, as for arrays that were shared before.
    """

    refs: tuple[tuple[str | None, Ref], ...] = ()
    local: Mapping[str, Any] | None = None
    files: Mapping[str, MappedArray] | None = None
    sparse: Mapping[str, tuple[type[Any], tuple[int, int]]] | None = None
    transposed: frozenset[str] = frozenset()
    bytes_written: int = 0
    _owner: StoredArrays | Engine | None = None

    def load(self) -> dict[str, Any]:
        """Return all arrays, read-only.

        Raises
        ------
        EngineError
            If a file cannot be read, or has changed.
        """
        if self.local is not None:
            return dict(self.local)
        arrays: dict[str, Any] = {}
        for name, ref in self.refs:
            arrays |= ref.load() if name is None else {name: ref.load()[_OWN_NAME]}
        arrays |= {name: arrays[name].T for name in self.transposed}
        arrays |= {name: file.load() for name, file in (self.files or {}).items()}
        for name, (kind, shape) in (self.sparse or {}).items():
            components = {component: arrays.pop(f"{name}.{component}") for component in _COMPONENTS}
            arrays[name] = sparse_from_components(components, kind, shape)
        return arrays

    def close(self) -> None:
        """Release what was shared; arrays that workers have loaded stay valid."""
        if isinstance(self._owner, StoredArrays):
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
        # A copy owns nothing.
        state = (self.refs, self.local, self.files, self.sparse, self.transposed, self.bytes_written)
        return SharedArrays, state


def share(engine: Engine, arrays: Mapping[str, Any], *, store: ArrayStore | None = None) -> SharedArrays:
    """Share arrays and sparse matrices with all workers; arrays that are mapped from a file are not copied.

    Parameters
    ----------
    engine : Engine
    arrays : mapping of str to ndarray, or sparse matrix (CSR or CSC)
    store : ArrayStore, optional
        The engine's store if not given. Every worker must see its folder.

    Raises
    ------
    EngineError
        If they cannot be written.
    """
    if engine.shares_memory:
        return SharedArrays(local=dict(arrays))
    files: dict[str, MappedArray] = {}
    sparse: dict[str, tuple[type[Any], tuple[int, int]]] = {}
    dense: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if issparse(array):
            sparse[name] = (type(array), array.shape)
            dense |= {f"{name}.{component}": value for component, value in sparse_components(array).items()}
        else:
            dense[name] = array
    unmapped: dict[str, NDArray[Any]] = {}
    transposed: set[str] = set()
    for name, array in dense.items():
        if (file := mapped_array(array)) is not None:
            files[name] = file
        elif array.flags.f_contiguous and not array.flags.c_contiguous:
            transposed.add(name)
            unmapped[name] = array.T
        else:
            unmapped[name] = array
    refs, written, owner = _write(engine, unmapped, store or engine.store, files)
    return SharedArrays(refs, None, files, sparse, frozenset(transposed), written, owner)


def mapped_array(array: NDArray[Any]) -> MappedArray | None:
    """Return where an array lies in a file; None if it is not mapped from a file, or not contiguous."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not (isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap) and root.filename):
        return None
    # Changes to a copy-on-write map are not in the file.
    if root.mode == "c" or not (array.flags.c_contiguous or array.flags.f_contiguous):
        return None
    offset = root.offset + array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    path = os.path.abspath(root.filename)
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    try:
        # Writing to a map changes the modification time of its file at any later moment.
        stamp = _stamp(path) if root.mode == "r" else None
    except OSError:  # the file was removed
        return None
    return MappedArray(path, int(offset), array.dtype.str, array.shape, order, stamp)


def writable(array: Any) -> Any:
    """Return the same values in writable memory, which scikit-learn's search for missing values requires.

    No page of a mapped file is copied.
    """
    if not isinstance(array, np.ndarray) or array.flags.writeable:
        return array
    if (file := mapped_array(array)) is not None:
        return file.load("c")
    return array.copy(order="K")


def worth_sharing(array: Any) -> bool:
    """Return whether a value is an array, or a sparse matrix, that is too large to be sent with each call."""
    if issparse(array):
        return array.format in ("csr", "csc") and storable(array)
    return isinstance(array, np.ndarray) and storable(array) and array.nbytes >= _MIN_SHARED_BYTES


def sparse_components(matrix: Any) -> Arrays:
    """Return the three arrays of a CSR or CSC matrix, with sorted indices: read-only views cannot be sorted later."""
    matrix = matrix if matrix.has_sorted_indices else matrix.sorted_indices()
    return {component: getattr(matrix, component) for component in _COMPONENTS}


def sparse_from_components(components: Arrays, kind: type[Any], shape: tuple[int, int]) -> Any:
    """Return the matrix of three arrays without copying them."""
    matrix = kind(shape, dtype=components["data"].dtype)
    # SciPy's constructor copies arrays that are a small part of a larger buffer, such as a map of several arrays.
    matrix.data, matrix.indices, matrix.indptr = (components[component] for component in _COMPONENTS)
    matrix.has_sorted_indices = True
    return matrix


def _write(
    engine: Engine, arrays: Arrays, store: ArrayStore | None, files: Mapping[str, MappedArray]
) -> tuple[tuple[tuple[str | None, Ref], ...], int, StoredArrays | Engine | None]:
    """Write arrays to the store, or publish them; return the handles, the bytes written, and the owner."""
    if store is None:
        before = engine.bytes_out
        refs = ((None, engine.publish(arrays)),) if arrays else ()
        return refs, engine.bytes_out - before, engine
    in_store = [file.path for file in files.values() if store.contains(file.path)]
    if not arrays and not in_store:
        return (), 0, None
    own = [name for name, array in arrays.items() if array.nbytes >= _OWN_FILE_BYTES]
    rest = {name: array for name, array in arrays.items() if name not in own}
    groups: list[tuple[str | None, Arrays]] = [(name, {_OWN_NAME: arrays[name]}) for name in own]
    if rest:
        groups.append((None, rest))
    stored = store.put([group for _, group in groups], files=in_store)
    engine.count_out(stored.bytes_written)
    names = [name for name, _ in groups]
    return tuple(zip(names, stored.refs, strict=True)), stored.bytes_written, stored


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
