"""How many files a reader enters to follow one document, one lane, one tree.

    python benches/walks.py [--json FILE]

Each walk is one run whose functions are recorded by ``sys.setprofile`` in every thread, after a run that has imported
everything. A file is entered if one of its functions is called. Also counted: modules, their lines, and the imports
between them.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import manymill

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(manymill.__file__).parent
ROWS = [("good fun and really good", "pos"), ("bad plot and really bad", "neg")] * 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS))
        counts = {name: walk(run) for name, run in walks(file).items()}
    counts = {"walks": counts, **sizes()}
    for name, found in counts["walks"].items():
        print(f"{name:<44}{found['files']:>5} files{found['functions']:>6} functions")
    for name in ("modules", "median_lines", "import_arrows", "source_lines", "test_lines"):
        print(f"{name.replace('_', ' '):<44}{counts[name]:>5}")
    if arguments.json:
        arguments.json.write_text(json.dumps(counts, indent=1) + "\n")


def walks(file: Path) -> dict[str, Callable[[], Any]]:
    """The runs, by what is followed."""
    texts, labels = [text for text, _ in ROWS], [label for _, label in ROWS]
    numbers, classes = [[float(n % 7), float(n % 3)] for n in range(200)], [n % 2 for n in range(200)]
    fitted = manymill.TextClassifier(passes=1, threads=1).fit(texts, labels)

    def classifier(**parameters: Any) -> Any:
        return manymill.TextClassifier(passes=1, threads=1, **parameters)

    def forest() -> Any:
        kind = manymill.PartitionedForestClassifier
        return kind(n_estimators=2, mode="partitions", n_partitions=2, random_state=0).fit(numbers, classes)

    def search() -> Any:
        from sklearn.linear_model import SGDClassifier

        return manymill.SearchCV(SGDClassifier(), {"alpha": [1e-4, 1e-3]}, cv=2).fit(numbers, classes)

    return {
        "a document from a list to the model": lambda: classifier().fit(texts, labels),
        "a document from a file to the model": lambda: classifier().fit(manymill.scan(str(file))),
        "two lanes in two rounds, from a file": lambda: classifier(lanes=2, rounds_per_pass=2).fit(
            manymill.scan(str(file))
        ),
        "a prediction": lambda: fitted.predict(texts[:2]),
        "a forest on two partitions": forest,
        "a search over two candidates": search,
    }


def walk(run: Callable[[], Any]) -> dict[str, int]:
    """Files entered and functions called by the second of two runs."""
    run()
    called: set[tuple[str, str]] = set()

    def record(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
            called.add((frame.f_code.co_filename, frame.f_code.co_qualname))

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return {"files": len({file for file, _ in called}), "functions": len(called)}


def sizes() -> dict[str, int]:
    """Modules, their lines, and imports of one by another, without type-only ones."""
    modules = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    arrows = {
        (name, other) for name, path in modules.items() for other in imported(path, modules) if other != name
    }
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in modules.values()]
    tests = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py"))
    return {
        "modules": len(modules),
        "median_lines": int(median(lines)),
        "import_arrows": len(arrows),
        "source_lines": sum(lines),
        "test_lines": tests,
    }


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports, at its top or inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    type_only = {
        id(statement)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in type_only:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in modules else node.module)
    return found & modules.keys()


if __name__ == "__main__":
    main()
