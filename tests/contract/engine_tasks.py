"""Functions that the engine tests run on workers, in a module that workers can import."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from manymill.engine.shared_arrays import SharedArrays
from manymill.engine.spool import Ref
from manymill.errors import SourceError


@dataclass(frozen=True)
class Lane:
    """An item with a name."""

    number: int
    folder: Path | None = None

    @property
    def name(self) -> str:
        return f"lane {self.number}"


def noise(lane: Lane) -> tuple[int, NDArray[np.float32] | None]:
    """Numbers of all magnitudes, so that every other order of adding them gives other bytes."""
    random = np.random.default_rng(lane.number)
    part = (random.standard_normal(500) * 10.0 ** random.integers(-6, 6, 500)).astype(np.float32)
    return lane.number, None if lane.number % 7 == 3 else part


def add_up(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def large(number: int) -> tuple[int, NDArray[np.uint8]]:
    return number, np.full(100_000, number, np.uint8)


def square(number: int) -> int:
    return number * number


def process_of(_: object) -> int:
    return os.getpid()


def with_process(number: int) -> tuple[int, frozenset[int]]:
    return number, frozenset({os.getpid()})


def processes_and_this_one(parts: list[frozenset[int]]) -> frozenset[int]:
    return frozenset({os.getpid()}).union(*parts)


def refuse(lane: Lane) -> int:
    if lane.number == 2:
        raise SourceError("The file is gone", "bring it back")
    return lane.number


def a_lock(_: object) -> Any:
    import threading

    return threading.Lock()


def speak(lane: Lane) -> None:
    print(f"{lane.name} is heard")
    print(f"{lane.name} complains", file=sys.stderr)


def lists_of(shared: SharedArrays) -> dict[str, tuple[list[Any], bool]]:
    """Values by name, and whether they are in Fortran order."""
    return {
        name: (array.toarray().tolist(), False) if issparse(array) else (array.tolist(), array.flags.fnc)
        for name, array in shared.load().items()
    }


def sum_of(ref: Ref) -> tuple[float, bool]:
    arrays = ref.load()
    return float(sum(array.sum() for array in arrays.values())), any(
        a.flags.writeable for a in arrays.values()
    )


def die_once(lane: Lane) -> int:
    """Be killed at the first attempt; the folder remembers it."""
    assert lane.folder is not None
    attempt = lane.folder / lane.name
    if not attempt.exists():
        attempt.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return lane.number


def noise_or_death(lane: Lane) -> tuple[int, NDArray[np.float32] | None]:
    """The noise of a lane; the process is killed at the first attempt of some."""
    if lane.number in {1, 6}:
        die_once(lane)
    return noise(lane)


def die_always(lane: Lane) -> int:
    if lane.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return lane.number


def stop_once(lane: Lane) -> int:
    """Hang at the first attempt, as a process that is stopped does."""
    assert lane.folder is not None
    attempt = lane.folder / lane.name
    if not attempt.exists():
        attempt.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return lane.number


def hold_the_global_lock(seconds: float) -> int:
    """Be busy, and let no other thread of the process run."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e6)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    sys.setswitchinterval(before)
    return os.getpid()


def hang_once(lane: Lane) -> int:
    """Wait for ever at the first attempt, with Python's global lock held: no other thread runs."""
    assert lane.folder is not None
    attempt = lane.folder / lane.name
    if not attempt.exists():
        attempt.touch()
        ctypes.PyDLL(None).pause()
    return lane.number


def stop_once_and_say_who(lane: Lane) -> int:
    """Stop at the first attempt, having said which process it is; each attempt that ends leaves a mark."""
    assert lane.folder is not None
    attempt = lane.folder / lane.name
    if not attempt.exists():
        attempt.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
    (lane.folder / f"ended by {os.getpid()}").touch()
    return lane.number


def stop_and_say_who_once(lane: Lane) -> int:
    """Stop, having said which process it is; of all attempts of all lanes the first alone."""
    assert lane.folder is not None
    with suppress(FileExistsError), (lane.folder / "stopped").open("x") as file:
        file.write(str(os.getpid()))
        file.close()
        os.kill(os.getpid(), signal.SIGSTOP)
    return lane.number


def large_sum(numbers: NDArray[np.uint8]) -> int:
    return int(numbers.sum())


def die_in_mid_result_once(lane: Lane) -> int:
    """Send the beginning of a result, and be killed before the rest, at the first attempt."""
    assert lane.folder is not None
    attempt = lane.folder / lane.name
    if not attempt.exists():
        attempt.touch()
        for found in gc.get_objects():
            if isinstance(found, Connection) and not found.closed and found.writable:
                os.write(found.fileno(), struct.pack("!i", 1000) + b"the beginning")
        os.kill(os.getpid(), signal.SIGKILL)
    return lane.number


def never_end(path: Path) -> None:
    path.write_text(str(os.getpid()))
    while True:
        time.sleep(1)


def variable(name: str) -> str | None:
    return os.environ.get(name)
