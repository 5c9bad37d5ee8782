"""Faults in the n-th call that changes a file: compiles, loads and controls ``shim.c``.

A process that needs it restarts itself with the shim preloaded (:func:`ensure_loaded`); the shim is inactive until a
child calls :func:`arm`. The log of calls lies in memory shared by parent and child.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_VARIABLE = "MANYMILL_SHIM"
_KILL, _ONCE, _FROM, _SHORT = 1, 2, 3, 4
_NEVER = 2**40


@dataclass(frozen=True, slots=True)
class Mode:
    """The fault at the n-th call."""

    name: str
    kind: int
    error: int = 0

    def applies(self, call: str) -> bool:
        """Whether a call such as ``"write"`` can fail in this mode; the same rule as ``applies`` in ``shim.c``."""
        if self.kind == _SHORT:
            return call == "write"
        return self.error != errno.ENOSPC or call not in ("unlink", "rmdir")


MODES = {
    mode.name: mode
    for mode in (
        Mode("kill", _KILL),
        Mode("ENOSPC once", _ONCE, errno.ENOSPC),
        Mode("ENOSPC from n on", _FROM, errno.ENOSPC),
        Mode("EIO once", _ONCE, errno.EIO),
        Mode("EROFS from n on", _FROM, errno.EROFS),
        Mode("short write", _SHORT),
    )
}


def ensure_loaded() -> None:
    """Restart this program with the shim preloaded, unless it is.

    Raises ------ SystemExit
        If there is no C compiler, or it fails.
    """
    if _VARIABLE in os.environ:
        # Workers that are started as new processes need no shim.
        os.environ.pop("LD_PRELOAD", None)
        return
    folder = Path(tempfile.mkdtemp(prefix="manymill-shim-"))
    library = folder / "shim.so"
    try:
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
        if shutil.which("cc") is None or subprocess.run(command, check=False).returncode:
            raise SystemExit("the shim needs a C compiler called cc")
        told = {_VARIABLE: str(library), "LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *sys.argv], env={**os.environ, **told}, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(done.returncode)


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ[_VARIABLE])
    library.shim_count.restype = library.shim_hits.restype = ctypes.c_long
    library.shim_record.restype = ctypes.c_char_p
    library.shim_record.argtypes = [ctypes.c_long]
    library.shim_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    return library


class Log:
    """The calls of one child: created by the parent, written by the child, read by the parent."""

    def __init__(self) -> None:
        self._library = _library()
        self._library.shim_new_log()

    def arm(self, folders: Iterable[Path], mode: Mode | None = None, number: int = _NEVER) -> None:
        """From now on count the calls below the folders, and fail at one of them; only in a child."""
        paths = ":".join(os.path.realpath(folder) for folder in folders).encode()
        kind, error = (_ONCE, 0) if mode is None else (mode.kind, mode.error)
        self._library.shim_arm(paths, kind, error, number)

    @property
    def hits(self) -> int:
        """Number of injected faults."""
        return int(self._library.shim_hits())

    def calls(self) -> list[str]:
        """The calls so far, each with its path: ``"write …/model/weights.partial"``."""
        n_calls = int(self._library.shim_count())
        return [
            self._library.shim_record(number).decode(errors="replace") for number in range(1, n_calls + 1)
        ]

    def drop(self) -> None:
        """Release the memory."""
        self._library.shim_drop_log()
