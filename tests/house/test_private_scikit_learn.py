"""Private names of scikit-learn, which change without notice, stand in one module of each package."""

import ast
from pathlib import Path

import pytest

from .repository import ROOT

SOURCE = ROOT / "src" / "manymill"
PACKAGES = sorted(path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists())


def private_imports(code: str) -> list[str]:
    """The private names of scikit-learn that some code imports, or that stand in the path of an import."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [
        name
        for name in found
        if name.split(".")[0] == "sklearn" and any(part.startswith("_") for part in name.split("."))
    ]


def private_modules(files: list[Path]) -> set[Path]:
    return {file.relative_to(SOURCE) for file in files if private_imports(file.read_text(encoding="utf-8"))}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from sklearn.tree._tree import Tree", ["sklearn.tree._tree.Tree"]),
        ("from sklearn.utils import _safe_indexing, check_array", ["sklearn.utils._safe_indexing"]),
        ("def f():\n    import sklearn.ensemble._forest", ["sklearn.ensemble._forest"]),
        ("from sklearn.base import clone\nfrom manymill import _core", []),
    ],
)
def test_private_imports_are_found(code: str, found: list[str]) -> None:
    assert private_imports(code) == found


@pytest.mark.parametrize("package", PACKAGES)
def test_one_module_of_a_package_imports_private_names_of_scikit_learn(package: str) -> None:
    assert len(private_modules(sorted((SOURCE / package).rglob("*.py")))) <= 1


def test_no_module_outside_a_package_imports_private_names_of_scikit_learn() -> None:
    assert not private_modules(sorted(SOURCE.glob("*.py")))
