"""Run the tests on other Pythons: each gets an environment and the wheel that it would install.

    python tests/pythons.py [python3.12 python3.14t ...] [--data FOLDER] [-- PYTEST ARGUMENTS]

Without names, those of `KNOWN` that are installed. One stable-ABI wheel serves every ordinary build; a free-threaded
build gets one of its own. With the full corpora at hand, the bits that differ from scikit-learn's are counted on
each Python as well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ["python3.11", "python3.12", "python3.13", "python3.14", "python3.14t"]
TESTS = ["tests/unit", "tests/golden", "tests/property", "tests/contract"]
TOOLS = Path(sys.executable).parent
PROBE = """
import json, platform, sysconfig, unicodedata
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps([platform.python_version(), free, unicodedata.unidata_version]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python to test on."""

    path: str
    version: str
    free_threaded: bool
    unicode: str

    @property
    def name(self) -> str:
        return f"{self.version}{'t' if self.free_threaded else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("interpreters", nargs="*", help="names on PATH, or paths")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    ours, to_pytest = _split(sys.argv[1:])
    arguments = parser.parse_args(ours)
    found = [_interpreter(name) for name in arguments.interpreters] or _installed()
    rows = [_row(python, arguments.data, to_pytest) for python in found]
    print(f"\n{'Python':<10}{'Unicode':<9}{'tests':<42}differing bits")
    for python, (tests, bits) in zip(found, rows, strict=True):
        print(f"{python.name:<10}{python.unicode:<9}{tests.summary:<42}{bits.summary}")
    if any(not part.right for row in rows for part in row):
        sys.exit("not every Python passes")


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def _installed() -> list[Interpreter]:
    found = []
    for name in KNOWN:
        try:
            found.append(_interpreter(name))
        except LookupError as missing:
            print(missing)
    return found


def _interpreter(name: str) -> Interpreter:
    path = shutil.which(name)
    # A name on PATH may be a stand-in of a version manager, with nothing behind it.
    done = path and subprocess.run([path, "-c", PROBE], capture_output=True, text=True)
    if not path or not done or done.returncode:
        raise LookupError(f"there is no {name} that runs. Hint: name a program on PATH, or its path")
    version, free_threaded, unicode = json.loads(done.stdout)
    return Interpreter(path, version, free_threaded, unicode)


@dataclass(frozen=True)
class Outcome:
    """What one program said, in a few words, and whether that is good."""

    summary: str
    right: bool


def _row(python: Interpreter, data: Path, to_pytest: list[str]) -> tuple[Outcome, Outcome]:
    print(f"\n=== {python.name} ({python.path})", flush=True)
    inside = _environment(python)
    return _tested(inside, to_pytest or TESTS), _compared(inside, data)


def _environment(python: Interpreter) -> Path:
    """The interpreter of an environment that has the wheel and what the tests need."""
    folder = ROOT / f".venv-{python.name}"
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not inside.exists():
        # Without pip of its own: this environment's installs there, and some distributions ship none.
        subprocess.run([python.path, "-m", "venv", "--without-pip", str(folder)], check=True)
    with tempfile.TemporaryDirectory() as wheels:
        build = [str(TOOLS / "maturin"), "build", "--release", "--quiet", "--out", wheels]
        interpreter = str(inside) if python.free_threaded else sys.executable
        subprocess.run([*build, "--interpreter", interpreter], cwd=ROOT, check=True)
        wheel = next(Path(wheels).glob("*.whl"))
        pip = [sys.executable, "-m", "pip", "--python", str(inside), "install", "--quiet"]
        subprocess.run([*pip, str(wheel), "--group", "test"], cwd=ROOT, check=True)
        subprocess.run([*pip, "--force-reinstall", "--no-deps", str(wheel)], cwd=ROOT, check=True)
    return inside


def _tested(inside: Path, to_pytest: list[str]) -> Outcome:
    done = subprocess.run(
        [str(inside), "-m", "pytest", "-q", "-p", "no:cacheprovider", *to_pytest],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    print(done.stdout[-4000:])
    closing = re.findall(r"^\D*(\d+ (?:passed|failed|error).*?) in ", done.stdout, re.MULTILINE)
    return Outcome(closing[-1] if closing else "did not end", done.returncode == 0)


def _compared(inside: Path, data: Path) -> Outcome:
    if not data.is_dir():
        return Outcome("not counted: no corpora", True)
    command = [str(inside), "benches/hash.py", "--quick", "--data", str(data)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    return Outcome("none" if done.returncode == 0 else "see above", done.returncode == 0)


if __name__ == "__main__":
    try:
        main()
    except LookupError as missing:
        sys.exit(str(missing))
