"""The code and the commands of the documents run, in a folder with the data of the examples."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .repository import ROOT, files

DOCUMENTS = [path for path in files(".md") if path.parent in {ROOT, ROOT / "docs"}]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = ["train", "evaluate", "predict", "plan", "hash", "watch"]


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """Blocks of a language with the line number of each."""
    text = path.read_text(encoding="utf-8")
    found = [match for match in FENCE.finditer(text) if match.group(1) == language]
    return [(text.count("\n", 0, match.start(2)), match.group(2)) for match in found]


def python_of(path: Path) -> str:
    """All Python of a document as one program; line numbers are preserved, so a traceback points into the document."""
    lines: list[str] = []
    for start, code in blocks(path, "python"):
        lines += [""] * (start - len(lines)) + code.splitlines()
    return "\n".join(lines)


def commands_of(path: Path) -> list[str]:
    """The lines after a prompt that call manymill, with continued lines joined."""
    code = "\n".join(block for _, block in blocks(path, "console")).replace("\\\n", " ")
    return [line[2:] for line in code.splitlines() if line.startswith("$ manymill ")]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in a folder that has ``examples/data``, with the commands of this environment first."""
    shutil.copytree(ROOT / "examples" / "data", folder / "examples" / "data")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if python_of(p)], ids=lambda path: path.name)
def test_the_python_of_a_document_runs(path: Path, tmp_path: Path) -> None:
    done = run([sys.executable, "-W", "error", "-c", python_of(path)], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if commands_of(p)], ids=lambda path: path.name)
def test_the_commands_of_a_document_run(path: Path, tmp_path: Path) -> None:
    done = run(["bash", "-euxc", "\n".join(commands_of(path))], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_shows_a_command(command: str) -> None:
    assert any(line.split()[1] == command for line in commands_of(ROOT / "README.md"))


def test_links_between_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!\w+:|#)([^)#]+)")
    pairs = [
        (path, target) for path in DOCUMENTS for target in link.findall(path.read_text(encoding="utf-8"))
    ]
    assert not [(path.name, target) for path, target in pairs if not (path.parent / target).exists()]
