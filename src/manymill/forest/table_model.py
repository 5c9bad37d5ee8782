"""A forest and the columns that it was grown from: all that a new table has to be given to it by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill.data.dataset import Dataset, SourceFile
from manymill.data.table.blocks import blocks_of
from manymill.data.table.schema import TableSchema, text_of
from manymill.errors import ModelError, PlanError, RowError, SchemaError
from manymill.forest.saving import load_forest, save_forest
from manymill.model.manifest import FOREST_FILE
from manymill.storage import checked_json

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
    for batch in blocks_of(file, dataset):
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
    words = text_of(batch.column(place))
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
