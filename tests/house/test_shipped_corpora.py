"""The shipped corpora match their README."""

import hashlib
import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
import zstandard

from .repository import ROOT

FOLDER = ROOT / "examples" / "data"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
CORPORA = sorted(FOLDER.glob("*.zst"))
TABLES = sorted(FOLDER.glob("*.csv"))


def test_they_stay_small() -> None:
    assert sum(path.stat().st_size for path in CORPORA) < 4_000_000


@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.name)
def test_a_corpus_has_the_bytes_that_the_page_names(path: Path) -> None:
    assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" in PAGE


@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.name)
def test_a_corpus_has_the_rows_that_the_page_names(path: Path) -> None:
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    stated = re.search(rf"`{re.escape(path.name)}` \| ([\d,]+)", PAGE)
    assert stated is not None
    assert int(stated.group(1).replace(",", "")) == len(rows)
    assert all(set(row) == {"label", "text"} for row in rows)


def test_the_tables_are_those_that_are_made_up_by_the_program_beside_them(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "make_fruit.py", tmp_path)
    runpy.run_path(str(tmp_path / "make_fruit.py"), run_name="__main__")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")} == {
        path.name: path.read_bytes() for path in TABLES
    }
