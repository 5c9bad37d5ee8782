"""ARCHITECTURE.md is a map of what is there: it names every module, and nothing else."""

import re

from .repository import ROOT, files

PACKAGE = ROOT / "src" / "manymill"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w.][\w./-]*)(?:::(\w+))?`", TEXT)


def paths() -> list[str]:
    """What is written as a path: with a folder, or as the name of a module."""
    return sorted({path for path, _ in NAMED if "/" in path or path.endswith(".py")})


def test_every_module_is_named() -> None:
    modules = {path.relative_to(PACKAGE).as_posix() for path in files(".py") if path.is_relative_to(PACKAGE)}
    modules = {path for path in modules if not path.endswith(("__init__.py", "__main__.py"))}
    assert len(modules) > 100
    assert sorted(modules - set(paths())) == []


def test_every_path_exists() -> None:
    assert len(paths()) > 100
    assert [path for path in paths() if not ((PACKAGE / path).exists() or (ROOT / path).exists())] == []


def test_every_module_is_named_once_among_the_modules() -> None:
    section = TEXT[TEXT.index("## Modules") : TEXT.index("## Where do I change")]
    named = [path for path in re.findall(r"`([\w/]+\.py)`", section) if (PACKAGE / path).exists()]
    assert sorted({path for path in named if named.count(path) > 1}) == []


def test_every_test_that_is_named_exists() -> None:
    tests = [(path, test) for path, test in NAMED if test]
    assert len(tests) >= 7
    for path, test in tests:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


def test_each_law_names_its_tests() -> None:
    laws = re.split(r"^\d\. \*\*", TEXT[: TEXT.index("## How data flows")], flags=re.MULTILINE)[1:]
    assert len(laws) == 3
    assert all("::test_" in law for law in laws)
