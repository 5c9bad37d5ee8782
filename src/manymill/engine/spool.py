"""Arrays that are published to workers for the lifetime of an engine: written once, memory-mapped by each reader."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import EngineError
from manymill.storage.cache import Cache
from manymill.storage.cache_entry import DamagedEntryError, Entry
from manymill.storage.cache_folder import temporary_folder
from manymill.storage.tensors import ArrayFile, Arrays, arrays_in, lay_out, mapped


@dataclass(frozen=True, slots=True)
class Ref:
    """Small, picklable handle of published arrays.

    Attributes
    ----------
    digest : str
        Digest of the content: equal arrays have equal digests.
    path : str or None
        The file; None if workers share the memory of the driver.
    entry : Entry or None
        The cache entry, if the file belongs to one; it is checked again when it changes.
    """

    digest: str
    path: str | None
    _arrays: Arrays | None = field(default=None, repr=False, compare=False)
    entry: Entry | None = field(default=None, repr=False, compare=False)

    def load(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, read-only; their bytes are read from the disk on first access.

        Raises
        ------
        EngineError
            If the file is not visible here, or is not what was published.
        """
        if self._arrays is not None:
            return dict(self._arrays)
        assert self.path is not None
        try:
            return mapped(
                self.path if self.entry is None else str(self.entry.path(os.path.basename(self.path)))
            )
        except DamagedEntryError as error:
            raise EngineError(
                f"The shared arrays in {self.path} are damaged: {error.reason}",
                "start again: they will be rewritten",
            ) from error
        except OSError as error:
            raise EngineError(
                f"The published arrays cannot be read on this worker: {self.path}: {error.strerror or error}",
                "give the engine a spool folder that every host sees under the same name",
            ) from error


def local_ref(arrays: Arrays) -> Ref:
    """Return a handle that holds the arrays themselves, for workers in this process."""
    views = {}
    for name, array in arrays.items():
        views[name] = array.view()
        views[name].flags.writeable = False
    return Ref("", None, views)


def ref_from_bytes(digest: str, data: bytes) -> Ref:
    """Return a handle of arrays whose file arrived as bytes."""
    return Ref(digest, None, arrays_in(np.frombuffer(data, np.uint8)))


class Spool:
    """Folder of published files; removed when it is closed, or by the next driver if this one is killed.

    Parameters
    ----------
    parent : path, optional
        Folder in which the user's spools are created; the system's temporary folder if not given.
    """

    def __init__(self, parent: str | os.PathLike[str] | None = None) -> None:
        self._parent = parent
        self._cache: Cache | None = None
        self._folder: Path | None = None
        self._refs: dict[str, Ref] = {}

    def publish(self, arrays: Arrays) -> tuple[Ref, int]:
        """Write arrays, and return their handle and the number of bytes written: 0 if they were published before.

        Raises
        ------
        EngineError
            If the file format does not support the dtype of an array, or the file cannot be written.
        """
        file = lay_out(arrays)
        if file.digest in self._refs:
            return self._refs[file.digest], 0
        try:
            path = self._write(file)
        except OSError as error:
            raise EngineError(
                f"Arrays cannot be published in {self._folder or self._parent}: {error.strerror or error}",
                "free some space there, or give the engine another spool folder",
            ) from error
        self._refs[file.digest] = Ref(file.digest, str(path))
        return self._refs[file.digest], file.n_bytes

    def withdraw(self, ref: Ref) -> None:
        """Remove the file of a handle; arrays that are mapped already stay valid."""
        if ref.path is not None and self._refs.pop(ref.digest, None) is not None:
            with suppress(OSError):
                os.unlink(ref.path)

    def close(self) -> None:
        """Remove all files."""
        self._refs.clear()
        if self._cache is not None:
            self._cache.discard()
            self._cache = self._folder = None

    def _write(self, file: ArrayFile) -> Path:
        if self._folder is None:
            self._cache = Cache("published arrays", temporary_folder("manymill-spool", self._parent))
            self._folder = self._cache.scratch()
        target = self._folder / file.name
        # Nobody reads the file after the driver has ended, so it need not survive a power cut.
        file.write(self._folder / f"{file.digest}.partial", target, durable=False)
        return target
