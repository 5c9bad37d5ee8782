"""Train a forest on tables in files into a run folder, and load it with its columns.

::

    files ──► encoded, mapped table ──► fit(run=folder): events, checkpointed trees ──► model/: nodes, schema, facts

The same call with the same folder resumes a run that was stopped.
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
from numpy.typing import NDArray

from manymill.data.dataset import Dataset, SourceFile
from manymill.data.table import Table, encode_table
from manymill.data.table.blocks import table_batches, table_files
from manymill.data.table.schema import TableSchema
from manymill.engine import interrupts
from manymill.errors import ModelError, SettingsError
from manymill.events import Observer, Warned
from manymill.forest.estimators import PartitionedForestClassifier, PartitionedForestRegressor
from manymill.forest.reports import ForestReport
from manymill.forest.saving import load_forest, save_forest
from manymill.log import forward_warnings
from manymill.model.manifest import FOREST_FILE, check_kind
from manymill.run_folder import RunFolder
from manymill.storage import checked_json
from manymill.storage.ownership import CHECKPOINT, RUN, check_folder, remove_folder
from manymill.validation import check

LearningTask = Literal["classification", "regression"]


# ---- train


@dataclass(frozen=True, slots=True)
class ForestSettings:
    """Settings of a forest; see the two estimators.

    Raises
    ------
    SettingsError
        If the seed is too large for scikit-learn.
    """

    task: LearningTask = "classification"
    n_trees: int = 100
    mode: str = "shared"
    n_partitions: int = 8
    max_bytes: int | None = None
    holdout: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**32, "seed", self.seed, "an integer from 0 to 2^32 - 1")


@dataclass(frozen=True, slots=True)
class ForestRun:
    """The result of a run."""

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
    """Train a forest on tables in files and write a run folder.

    Parameters
    ----------
    source : Dataset
        Parquet or CSV files; ``label`` is the column to predict.
    out : path
        The run folder. If it contains a run that was stopped, that run is resumed.
    settings : ForestSettings
    holdout : Dataset, optional
        Rows to score the forest and its partitions with.
    engine : optional
        Executes the tasks; see :func:`manymill.engine.selection.as_engine`.
    observe : callable
        Called with every event.

    Raises
    ------
    SettingsError, SchemaError, SourceError, RowError
        If the settings or the rows are invalid.
    RunFolderError
        If the folder cannot be written, or contains another kind of model.
    """
    check_folder(out, RUN)
    check_kind(out, "forest")
    if settings.holdout and settings.mode == "shared":
        raise SettingsError(
            "a share of the rows cannot be held out in mode shared, in which workers map all rows from one file",
            "name a file of rows to hold out, or use another mode",
        )
    messages: list[str] = []
    validation = None
    with forward_warnings(messages.append, exclusive=False):
        table = encode_table(source, task=settings.task)
        if holdout is not None:
            held_out = encode_table(holdout, task=settings.task, schema=table.schema)
            validation = held_out.X, held_out.labels
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
        for message in [*messages, *left_out]:
            folder.record(Warned(message))
    forest = _build_estimator(settings, engine)
    with warnings.catch_warnings():
        # The fit reports its warnings as events as well.
        warnings.simplefilter("ignore")
        forest.fit(table.X, table.labels, validation=validation, run=out, observe=observe)
    report = forest.report_
    model = TableModel(forest.forest_, table.schema, settings.task)
    with interrupts.defer_interrupts():
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
        with suppress(OSError):  # a checkpoint that remains does no harm
            remove_folder(Path(out) / "checkpoint", CHECKPOINT)
    return ForestRun(Path(out), table, report)


def _build_estimator(settings: ForestSettings, engine: Any) -> Any:
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


# ---- load and use


@dataclass(frozen=True, slots=True)
class TableModel:
    """A forest with the columns of its training data.

    Attributes
    ----------
    forest : fitted forest of scikit-learn
    schema : TableSchema
    task : {"classification", "regression"}
    checksum : str
    """

    forest: Any
    schema: TableSchema
    task: LearningTask
    checksum: str = ""

    @property
    def classes(self) -> list[str]:
        """The labels; empty for regression."""
        return [str(label) for label in self.forest.classes_] if self.task == "classification" else []

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the forest, its columns and further facts."""
        model_facts = {"task": self.task, "schema": self.schema.to_json()}
        save_forest(folder, self.forest, facts={**model_facts, **facts})


def load_table_model(folder: str | os.PathLike[str], *, threads: int = 1) -> TableModel:
    """Load the forest in a folder, with the columns of its training data.

    Raises
    ------
    ModelError
        If the folder does not contain a forest, it is damaged or hostile, or it was trained on a matrix.
    """
    folder = Path(folder)
    forest = load_forest(folder)
    facts = forest.facts_
    if "schema" not in facts:
        raise ModelError(
            f"{folder}: the forest was trained on a matrix and has no column names",
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
        raise ModelError(f"{path}: its columns do not match its forest", "copy the folder again")
    forest.n_jobs = threads
    return TableModel(forest, schema, task, checked_json.file_checksum(path))  # type: ignore[arg-type]


def encoded_blocks(
    model: TableModel, file: SourceFile, dataset: Dataset
) -> Iterator[tuple[int, NDArray[np.float32], pa.RecordBatch]]:
    """Read a file block by block: the index of the first row, the encoded rows, and the original columns."""
    start = 0
    for batch in table_batches(file, dataset):
        if batch.num_rows:
            yield start, model.schema.encode(batch, file.path, start + 1), batch
        start += batch.num_rows
