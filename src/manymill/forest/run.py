"""A forest of tables in files, trained into a run folder.

::

    files ──► table in the map ──► fit(run=folder): events, trees as they come ──► model/: nodes, schema, facts

The same call with the same folder goes on with the trees of a run that was stopped.
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manymill.data.dataset import Dataset
from manymill.data.table import Table, encode_table
from manymill.data.table.blocks import files_of
from manymill.engine import interrupts
from manymill.errors import SettingsError
from manymill.events import Observer, Warned
from manymill.forest.classifier import PartitionedForestClassifier
from manymill.forest.regressor import PartitionedForestRegressor
from manymill.forest.reports import ForestReport
from manymill.forest.table_model import TableModel, Task
from manymill.log import warnings_told
from manymill.model.manifest import check_kind
from manymill.run_folder import RunFolder
from manymill.storage.ownership import CHECKPOINT, RUN, check_folder, remove_folder


@dataclass(frozen=True, slots=True)
class ForestSettings:
    """What decides a forest besides its rows; see the two estimators."""

    task: Task = "classification"
    n_trees: int = 100
    mode: str = "shared"
    n_partitions: int = 8
    max_bytes: int | None = None
    holdout: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ForestRun:
    """A forest that was trained."""

    folder: Path
    table: Table
    report: ForestReport


def train_forest_run(
    source: Dataset,
    out: str | os.PathLike[str],
    settings: ForestSettings,
    *,
    holdout: Dataset | None = None,
    engine: Any = None,
    observe: Observer = lambda event: None,
) -> ForestRun:
    """Grow a forest on tables in files, and leave a run folder.

    Parameters
    ----------
    source : Dataset
        Parquet or CSV files; ``label`` is the column to learn.
    out : path
        The run folder. One that holds a run that was stopped is gone on with.
    settings : ForestSettings
    holdout : Dataset, optional
        Rows to score the forest and its parts with.
    engine : optional
        Who grows; see :func:`manymill.engine.selection.as_engine`.
    observe : callable
        Called with every event.

    Raises
    ------
    SettingsError, SchemaError, SourceError, RowError
        If the request or the rows cannot be.
    RunFolderError
        If the folder cannot be written, or holds another kind of model.
    """
    check_folder(out, RUN)
    check_kind(out, "forest")
    if settings.holdout and settings.mode == "shared":
        raise SettingsError(
            "rows that every worker maps from one file are not cut: --mode shared holds no share out",
            "name a file of rows to hold out, or another mode",
        )
    told: list[str] = []
    validation = None
    with warnings_told(told.append, instead=False):
        table = encode_table(source, task=settings.task)
        if holdout is not None:
            held = encode_table(holdout, task=settings.task, schema=table.schema)
            validation = held.X, held.labels
    left_out = [
        f"the column {name!r} is left out: {reason}" for name, reason in table.schema.left_out.items()
    ]
    if table.n_bad:
        left_out.append(f"{table.n_bad:,} rows are left out: {source.label!r} is missing")
    for message in left_out:
        observe(Warned(message))
    with RunFolder(out) as folder:
        folder.refuse_to_read_own_files(
            file.path for read in (source, holdout) if read is not None for file in files_of(read)
        )
        if not folder.checkpoint.exists():
            folder.begin()
        for message in [*told, *left_out]:
            folder.record(Warned(message))
    forest = _estimator(settings, engine)
    with warnings.catch_warnings():
        # What the fit warns of is among its events.
        warnings.simplefilter("ignore")
        forest.fit(table.X, table.labels, validation=validation, run=out, observe=observe)
    report = forest.report_
    model = TableModel(forest.forest_, table.schema, settings.task)
    with interrupts.deferred():
        model.save(
            Path(out) / "model",
            {
                "label_column": source.label,
                "rows": len(table.X),
                "mode": settings.mode,
                "holdout_rows": report.n_held_out,
                "holdout_score": report.score,
            },
        )
    if not report.interrupted:
        with suppress(OSError):  # what is left of it is no harm
            remove_folder(Path(out) / "checkpoint", CHECKPOINT)
    return ForestRun(Path(out), table, report)


def _estimator(settings: ForestSettings, engine: Any) -> Any:
    kind = PartitionedForestClassifier if settings.task == "classification" else PartitionedForestRegressor
    return kind(
        n_estimators=settings.n_trees,
        mode=settings.mode,
        n_partitions=settings.n_partitions,
        max_bytes=settings.max_bytes,
        validation_fraction=settings.holdout or None,
        random_state=settings.seed,
        engine=engine,
    )
