"""The public names: sorted, complete, and each with a docstring and an example that runs."""

import doctest
import inspect
import shutil
from pathlib import Path

import pytest

import manymill

from .repository import ROOT

NAMES = list(manymill.__all__)
EXPLAINED = [name for name in NAMES if not name.endswith("Error")]


def test_the_list_of_public_names_is_sorted_and_complete() -> None:
    assert sorted(set(NAMES)) == NAMES
    assert all(hasattr(manymill, name) for name in NAMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        manymill.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(manymill, name))


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_docstring_of_a_public_name_has_an_example(name: str) -> None:
    assert "Examples\n--------\n>>> " in (inspect.getdoc(getattr(manymill, name)) or "")


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_example_of_a_public_name_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "examples" / "data")
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder().find(getattr(manymill, name), name, globs={}):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
