"""The figures of docs/reliability.md are those of the last campaigns."""

import re
import subprocess
import sys

from .repository import ROOT

REPORT = ROOT / "benches" / "reliability" / "report.py"


def test_the_figures_of_the_page_are_those_of_the_files() -> None:
    done = subprocess.run([sys.executable, str(REPORT), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}run python benches/reliability/report.py"


def test_the_tests_that_the_page_names_are_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/.]+)`", page))
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]
