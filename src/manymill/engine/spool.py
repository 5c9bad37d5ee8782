"""Arrays published to workers for as long as an engine lives: written once, mapped by whoever reads them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from manymill.errors import EngineError
from manymill.storage.tensors import ArrayFile, Arrays, arrays_in, lay_out, mapped

_PREFIX = "manymill-spool-"
_FRESH_SECONDS = 60.0


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
            return mapped(self.path)
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
    return Ref(digest, None, arrays_in(np.frombuffer(data, np.uint8)))


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
        file = lay_out(arrays)
        if file.digest in self._refs:
            return self._refs[file.digest], 0
        try:
            path = self._write(file)
        except OSError as error:
            raise EngineError(
                f"Arrays cannot be published in {self._folder or self._parent}: {error.strerror or error}",
                "free some room there, or give the engine another spool folder",
            ) from error
        self._refs[file.digest] = Ref(file.digest, str(path))
        return self._refs[file.digest], file.n_bytes

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

    def _write(self, file: ArrayFile) -> Path:
        if self._folder is None:
            if self._parent is not None:
                os.makedirs(self._parent, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            self._lock = _lock(self._folder)
            self._lock.acquire(blocking=False)
            _sweep(self._folder.parent)
        target = self._folder / file.name
        # Nobody reads it once the driver has ended: it need not survive a power cut.
        file.write(self._folder / f"{file.digest}.partial", target, durable=False)
        return target


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
