"""A forest of tables in files, trained into a run folder.

::

    files ──► table in the map ──► fit(run=folder): events, trees as they come ──► model/: nodes, schema, facts

The same call with the same folder goes on with the trees of a run that was stopped.

A forest and the columns that it was grown from: all that a new table has to be given to it by.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.data.dataset import Dataset, SourceFile
from manymill.data.table import Table, encode_table
from manymill.data.table.blocks import table_batches, table_files
from manymill.data.table.schema import TableSchema, as_strings
from manymill.engine import interrupts
from manymill.errors import ModelError, PlanError, RowError, SchemaError, SettingsError
from manymill.events import Observer, Warned
from manymill.forest.estimators import PartitionedForestClassifier, PartitionedForestRegressor
from manymill.forest.reports import ForestReport
from manymill.forest.saving import load_forest, save_forest
from manymill.log import warnings_told
from manymill.model.manifest import FOREST_FILE, check_kind
from manymill.run_folder import RunFolder
from manymill.storage import checked_json
from manymill.storage.ownership import CHECKPOINT, RUN, check_folder, remove_folder

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class TableModel:
    """A forest with its columns.

    Attributes
    ----------
    forest : fitted forest of scikit-learn
    schema : TableSchema
    task : {"classification", "regression"}
    checksum : str
    """

    forest: Any
    schema: TableSchema
    task: Task
    checksum: str = ""

    @property
    def classes(self) -> list[str]:
        """The labels; none of a regression."""
        return [str(label) for label in self.forest.classes_] if self.task == "classification" else []

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the forest, its columns and what else is known of it."""
        kept = {"task": self.task, "schema": self.schema.to_json(), **facts}
        save_forest(folder, self.forest, facts=kept)


def load_table_model(folder: str | os.PathLike[str], *, threads: int = 1) -> TableModel:
    """The forest in a folder, with the columns it was grown from.

    Raises
    ------
    ModelError
        If there is none, it is damaged or hostile, or was grown on a matrix and knows no columns.
    """
    folder = Path(folder)
    forest = load_forest(folder)
    facts = forest.facts_
    if "schema" not in facts:
        raise ModelError(
            f"{folder}: the forest was grown on a matrix and knows no columns",
            "predict with load_forest in Python, or train with `manymill train --model forest`",
        )
    task = "classification" if hasattr(forest, "classes_") else "regression"
    path = folder / FOREST_FILE
    try:
        schema = TableSchema.from_json(facts["schema"])
    except ModelError as error:
        raise ModelError(f"{path}: {error.what}", error.hint) from error
    fits = len(schema.columns) == forest.n_features_in_ and getattr(forest, "n_outputs_", 1) == 1
    if not fits or facts.get("task") != task:
        raise ModelError(f"{path}: its columns are not those of its forest", "copy the folder again")
    forest.n_jobs = threads
    return TableModel(forest, schema, task, checked_json.checksum([path.read_bytes()]))  # type: ignore[arg-type]


def blocks(
    model: TableModel, file: SourceFile, dataset: Dataset
) -> Iterator[tuple[int, NDArray[np.float32], pa.RecordBatch]]:
    """The rows of a file, block by block: where the first stands, numbers, and the columns as they are."""
    start = 0
    for batch in table_batches(file, dataset):
        if batch.num_rows:
            yield start, model.schema.encode(batch, file.path, start + 1), batch
        start += batch.num_rows


def words_of(batch: pa.RecordBatch, column: str, path: str) -> tuple[list[str], NDArray[np.bool_]]:
    """What a column says, where it says anything, and in which rows it does.

    Raises
    ------
    SchemaError
        If there is no such column.
    """
    place = batch.schema.get_field_index(column)
    if place < 0:
        raise SchemaError(
            f"{path}: there is no column {column!r}", f"it has {', '.join(batch.schema.names)[:200]}"
        )
    words = as_strings(batch.column(place))
    return words.drop_null().to_pylist(), np.asarray(pc.is_valid(words))


def numbers_of(words: list[str], column: str, path: str) -> NDArray[np.float64]:
    """Words as values.

    Raises
    ------
    RowError
        If one is no number.
    """
    try:
        values = np.array([float(word) for word in words], np.float64)
    except ValueError as error:
        raise RowError(f"{path}: in the column {column!r}: {error}", "mend the row") from None
    if not np.isfinite(values).all():
        raise RowError(f"{path}: a value of the column {column!r} is not finite", "mend the row")
    return values


def check_rows(n_rows: int) -> None:
    """Raise ``PlanError`` if there is not one."""
    if not n_rows:
        raise PlanError("there is no row to evaluate", "name files with labelled rows")


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
            file.path for read in (source, holdout) if read is not None for file in table_files(read)
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
