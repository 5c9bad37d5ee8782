"""Starting imports nothing heavy: scikit-learn's import alone takes a second and 190 MB."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "sklearn",
    "scipy",
    "pandas",
    "polars",
    "matplotlib",
    "dask",
    "fsspec",
    "pyarrow.parquet",
    "pyarrow.csv",
}
IMPORT = "import manymill"
VERSION = """
from manymill.cli import main
sys.argv = ["manymill", "--version"]
try:
    main()
except SystemExit as end:
    assert not end.code
"""


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has imported after running the code."""
    script = f"import sys\n{code}\nprint('\\n' + ' '.join(sys.modules))"
    command = [sys.executable, "-W", "error", "-c", script]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(out.splitlines()[-1].split())


@pytest.mark.parametrize("code", [IMPORT, VERSION], ids=["import manymill", "manymill --version"])
def test_nothing_heavy_is_imported_at_start(code: str) -> None:
    assert not HEAVY & modules_after(code)


def test_the_import_alone_needs_not_even_numpy_or_arrow() -> None:
    assert not {"numpy", "pyarrow"} & modules_after(IMPORT)


def test_scan_and_errors_do_not_bring_scikit_learn() -> None:
    assert not {"sklearn", "scipy"} & modules_after("from manymill import ManymillError, scan")


def test_text_files_are_trained_on_without_arrow_and_scikit_learn(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a b", "label": "x"}\n{"text": "c", "label": "y"}\n' * 9)
    script = f"""
import os
from manymill.cli import main
os.chdir({str(tmp_path)!r})
sys.argv = ["manymill", "train", "rows.jsonl", "--out", "run", "--n-features", "64", "--json"]
try:
    main()
except SystemExit as end:
    assert not end.code
"""
    found = modules_after(script)
    assert "numpy" in found
    assert not (HEAVY | {"pyarrow", "pydantic"}) & found
