"""Which kind of model a folder holds: what reads it depends on that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from manymill.errors import RunFolderError
from manymill.model import manifest

Kind = Literal["linear", "forest"]

FOREST_FILE = "forest.json"


def locate_forest(path: str | os.PathLike[str]) -> Path | None:
    """The forest folder that ``path`` means: itself, or ``model`` in a run folder; None if there is no forest."""
    path = Path(path)
    return next((folder for folder in (path, path / "model") if (folder / FOREST_FILE).is_file()), None)


def check_kind(run: str | os.PathLike[str], kind: Kind) -> None:
    """Refuse to train one kind of model into a run folder that holds the other.

    Raises
    ------
    RunFolderError
    """
    other = FOREST_FILE if kind == "linear" else manifest.FILE_NAME
    if (Path(run) / "model" / other).exists():
        held = "a forest" if kind == "linear" else "a linear model"
        raise RunFolderError(f"{os.fspath(run)} holds {held}", "name another folder with --out")
