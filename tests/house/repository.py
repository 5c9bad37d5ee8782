"""The repository for the house tests: its root and its tracked files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("benches", "docs", "examples", "rust", "src", "tests")
BUILT = {"target", "__pycache__"}


def files(*suffixes: str) -> list[Path]:
    """Files with one of the suffixes (all files without any), sorted, without those that git ignores."""
    listed = _tracked() if shutil.which("git") and (ROOT / ".git").exists() else _walked()
    return sorted(path for path in listed if path.is_file() and (not suffixes or path.suffix in suffixes))


def _tracked() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name]


def _walked() -> list[Path]:
    """The same from an unpacked archive, without git."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return [path for path in [*ROOT.glob("*"), *inside] if not BUILT & set(path.parts)]
