"""The cost of a command: wall and CPU seconds and peak memory of a child process.

Import nothing heavy here: until a child has loaded its own program, its memory counts as that of its parent, so a
large parent would hide a small child.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """The cost of one run of a command.

    Attributes
    ----------
    wall_seconds, cpu_seconds
        From start to end of the process; CPU is user and system, including its children.
    peak_bytes
        Peak resident memory, including shared libraries and mapped files.
    output
        Its output.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(command: list[str]) -> Cost:
    """The cost of a command; raises ``RuntimeError`` with its last output if it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        output = out.read().decode(errors="replace")
        if process.returncode != 0:
            words = err.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{words}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak, output)


def machine() -> dict[str, Any]:
    """Machine and time of the measurement, and the load."""
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of packages; "absent" for a missing one."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Save results as JSON with readable diffs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Load saved results."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
