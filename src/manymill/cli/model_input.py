"""Input of `evaluate` and `predict`: the model and the plan of reading."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manymill.cli.output import say

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset, Plan
    from manymill.forest.run import TableModel
    from manymill.model import LinearModel


def open_model(path: Path) -> LinearModel:
    """The model of a run folder or a model folder."""
    from manymill.model import load_model, locate_model

    model = load_model(locate_model(path))
    if model.unicode_version != unicodedata.unidata_version:
        say(
            f"warning the model was trained with Unicode {model.unicode_version}, this Python has"
            f" {unicodedata.unidata_version}: words with a few rare characters may be split differently"
        )
    return model


def open_forest(path: Path, threads: int) -> TableModel | None:
    """The forest of a run folder or a model folder; None if it holds another kind of model."""
    from manymill.model.manifest import locate_forest

    if (folder := locate_forest(path)) is None:
        return None
    from manymill.forest.run import load_table_model

    return load_table_model(folder, threads=threads)


def tables_for(files: list[str], *, text: str | None, label: str | None = None, **reading: Any) -> Dataset:
    """The dataset of tables for a forest."""
    from manymill.data.dataset import scan

    if text is not None:
        raise click.UsageError("--text does not apply to a forest: leave it out")
    return scan(files, label=label, labelled=label is not None, **reading)


def plan_for(
    model: LinearModel,
    files: list[str],
    *,
    text: str | None,
    label: str | None,
    labelled: bool,
    **reading: Any,
) -> Plan:
    """The plan of reading; columns that are not given are those of the training, or guessed."""
    from manymill.cli.progress import PlainLines
    from manymill.data.dataset import scan
    from manymill.errors import SchemaError

    lines = PlainLines()
    trained_text, trained_label = _fact(model, "text_column"), _fact(model, "label_column")

    def plan(text: str | None, label: str | None) -> Plan:
        return scan(files, text=text, label=label, labelled=labelled, **reading).plan(observe=lines.show)

    if trained_text is None and trained_label is None:
        chosen = plan(text, label)
    else:
        try:
            chosen = plan(text or trained_text, label or trained_label)
        except SchemaError:
            # The files may have other columns than the training data; the notes say which were guessed.
            chosen = plan(text, label)
    for note in [*chosen.notes, *(f"warning {warning}" for warning in chosen.warnings)]:
        say(note)
    return chosen


def _fact(model: LinearModel, name: str) -> str | None:
    value = model.facts.get(name)
    return value if isinstance(value, str) and value else None
