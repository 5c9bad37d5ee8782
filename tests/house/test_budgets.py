"""Files and functions stay short; ``pytest -rP`` shows the table."""

import ast
from collections.abc import Iterator
from pathlib import Path

from .repository import ROOT, files

# Lines of code: docstrings, comments and blank lines do not count. 150 to 400 a file and 50 a function are aimed at;
# these are the walls.
FILE_LINES = 450
FUNCTION_LINES = 80
SOURCES = [path for path in files(".py") if path.is_relative_to(ROOT / "src")]


def lines_of_code(path: Path) -> int:
    """Lines of a file without docstrings, comments and blank lines."""
    source = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node) is not None:
            text = node.body[0]
            left_out.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return sum(
        number not in left_out and bool(line.strip()) and not line.lstrip().startswith("#")
        for number, line in enumerate(source.splitlines(), 1)
    )


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of every function with its name; the signature counts, the docstring does not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                text = node.body[0]
                lines -= (text.end_lineno or text.lineno) - text.lineno + 1
            yield lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def longest(title: str, rows: list[tuple[int, str]], wall: int) -> list[tuple[int, str]]:
    """Print the ten longest; returns those above the limit."""
    rows = sorted(rows, reverse=True)
    print(f"{title}: {len(rows)}, median {rows[len(rows) // 2][0]} lines, wall {wall}")
    for lines, name in rows[:10]:
        print(f"{lines:6}  {name}")
    return [row for row in rows if row[0] > wall]


def test_no_file_is_too_long() -> None:
    rows = [(lines_of_code(path), str(path.relative_to(ROOT))) for path in SOURCES]
    assert not longest("files", rows, FILE_LINES)


def test_no_function_is_too_long() -> None:
    assert not longest("functions", [row for path in SOURCES for row in functions(path)], FUNCTION_LINES)
