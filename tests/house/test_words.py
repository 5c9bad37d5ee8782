"""Strings that no file may contain: paths of a machine, notes about unfinished work."""

import re
from pathlib import Path

import pytest

from .repository import ROOT, files

FORBIDDEN = {
    "an absolute path of a machine": re.compile(r"(?<![\w.$}])/(?:home|Users|root|work|workspace|mnt)/\w"),
    "a Windows user's path": re.compile(r"[A-Z]:\\{1,2}Users\\"),
    "a mark of unfinished work": re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|HAC[K])\b"),
    "a merge conflict": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
}
TEXT = [path for path in files() if path.suffix not in {".zst", ".gz", ".bz2", ".parquet", ".bin", ".npz"}]


@pytest.mark.parametrize("path", TEXT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_speaks_of_the_product_alone(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        pytest.skip("no text")
    found = {what: match.group() for what, pattern in FORBIDDEN.items() if (match := pattern.search(text))}
    assert not found


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"]
)
def test_the_house_has_its_papers(name: str) -> None:
    assert (ROOT / name).stat().st_size > 500
