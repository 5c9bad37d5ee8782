"""Children of a process that has imported everything: starting a command takes milliseconds.

The parent never starts a thread. A child runs the command in its own process, with files for its output, and exits as
Python does: threads joined, exit functions called.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Matrices are multiplied in one thread, as on the command line: no library starts its own when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_MODULES = (
    "loky", "pyarrow.csv", "pyarrow.parquet", "scipy.sparse", "sklearn.ensemble", "sklearn.linear_model",
    "sklearn.model_selection", "manymill.cli.app", "manymill.cli.progress", "manymill.cli.app",
    "manymill.cli.summary", "manymill.evaluate", "manymill.features", "manymill.forest.run", "manymill.linear.run",
    "manymill.predict", "manymill.predict.forests", "manymill.search.run",
)  # fmt: skip

# Arrow's allocator has a thread that returns memory, and handlers that stop it while a process forks.
_JEMALLOC = "jemalloc_bg_thd"


def preload() -> None:
    """Import what the commands import, so that no child has to.

    Raises ------ RuntimeError
        If an import started a thread, which children would lack.
    """
    for name in _MODULES:
        importlib.import_module(name)
    manymill = importlib.import_module("manymill")
    for name in manymill.__all__:
        getattr(manymill, name)
    if others := _threads() - {Path("/proc/self/comm").read_text().strip(), _JEMALLOC}:
        raise RuntimeError(f"an import started threads, which children would lack: {', '.join(others)}")


def _threads() -> set[str]:
    return {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}


@contextmanager
def scratch(name: str, *, keep: bool = False) -> Iterator[Path]:
    """A folder for tries, in memory if possible, where syncing is cheap."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    base = Path(tempfile.mkdtemp(prefix=f"manymill-{name}-", dir=where))
    try:
        yield base
    finally:
        if not keep:
            shutil.rmtree(base, ignore_errors=True)


def fork(work: Callable[[], int | None], output: Path | None = None) -> int:
    """Run a function in a child; returns its process id. Its stdout and stderr go to files next to ``output``."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code: Any = 1
    try:
        os.setpgid(0, 0)
        if output is not None:
            for name, number in (("stdout", 1), ("stderr", 2)):
                file = os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(file, number)
                os.close(file)
        code = work()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(code)
    return 0


def _leave(code: Any) -> None:
    """Exit as the interpreter does, but without finalising it."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code if isinstance(code, int) else int(code is not None))


def forget_program() -> None:
    """Keep workers that start as new processes from importing this program."""
    sys.modules["__main__"].__dict__.pop("__file__", None)
    sys.modules["__main__"].__spec__ = None


def wait(pid: int, seconds: float) -> int | None:
    """The exit code of a child, negative for a signal; None if it timed out and was killed."""
    if not ends_within(pid, seconds):
        kill(pid)
        os.waitpid(pid, 0)
        return None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ends_within(pid: int, seconds: float) -> bool:
    """Whether a child ends within this time."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def kill(pid: int) -> None:
    """Kill a child."""
    os.kill(pid, signal.SIGKILL)


def map_forked(work: Callable[[Any], Any], items: Iterable[Any], jobs: int) -> Iterator[tuple[Any, Any]]:
    """Yield the result for each item as it arrives; each runs in a child of its own, ``jobs`` at a time.

    An item whose child died yields ``{"error": …}``.
    """
    left, pipes = iter(items), {}
    poll = select.poll()

    def begin() -> bool:
        for item in left:
            reading, writing = os.pipe()

            def child(item: Any = item, writing: int = writing) -> int:
                with open(writing, "w") as file:
                    json.dump(work(item), file)
                return 0

            pid = fork(child)
            os.close(writing)
            poll.register(reading, select.POLLIN | select.POLLHUP)
            pipes[reading] = (item, pid, bytearray())
            return True
        return False

    while len(pipes) < jobs and begin():
        pass
    while pipes:
        for reading, _ in poll.poll():
            item, pid, data = pipes[reading]
            if piece := os.read(reading, 1 << 16):
                data += piece
                continue
            poll.unregister(reading)
            os.close(reading)
            del pipes[reading]
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            begin()
            yield item, json.loads(data) if not code else {"error": f"the harness ended with {code}"}
