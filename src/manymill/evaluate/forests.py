"""Evaluate a forest on tables in files, block by block."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manymill import metrics
from manymill.data.dataset import Dataset
from manymill.data.table.blocks import table_files
from manymill.data.table.schema import as_strings
from manymill.errors import PlanError, RowError, SchemaError
from manymill.evaluate.run import ClassificationEvaluation
from manymill.forest.run import TableModel, encoded_blocks
from manymill.metrics import Counts

_MISSING = "label missing"


@dataclass(frozen=True, slots=True)
class RegressionEvaluation:
    """Metrics of a regression.

    Attributes
    ----------
    n_rows : int
    r2 : float
        Coefficient of determination; NaN if the true values are constant.
    rmse : float
        Root mean squared error.
    mae : float
        Mean absolute error.
    bad_rows : int
        Number of rows without a true value.
    """

    n_rows: int
    r2: float
    rmse: float
    mae: float
    bad_rows: int

    def to_json(self) -> dict[str, Any]:
        """All metrics as JSON types; an undefined R² is null."""
        return {**asdict(self), "r2": None if math.isnan(self.r2) else self.r2}

    def to_text(self) -> str:
        """All metrics, one per line."""
        lines = [f"rows      {self.n_rows:,}", f"R2        {self.r2:.4f}"]
        lines += [f"RMSE      {self.rmse:.6g}", f"MAE       {self.mae:.6g}"]
        if self.bad_rows:
            lines.append(f"bad       {self.bad_rows:,} rows have no value")
        return "\n".join(lines)


def evaluate_tables(model: TableModel, dataset: Dataset) -> ClassificationEvaluation | RegressionEvaluation:
    """Evaluate a forest on the rows of tables.

    Parameters
    ----------
    model : TableModel
    dataset : Dataset
        Parquet or CSV files; the target column is its ``label``, or that of the training.

    Raises
    ------
    SourceError, SchemaError, RowError
        If a file cannot be read, lacks a column, or has a value that is not a number.
    PlanError
        If there are no rows.
    """
    target = dataset.label or model.schema.target
    if target is None:
        raise SchemaError("the target column is unknown", "set it with --label")
    if model.task == "regression":
        return _regression(model, dataset, target)
    return _classification(model, dataset, target)


def _classification(model: TableModel, dataset: Dataset, target: str) -> ClassificationEvaluation:
    classes = model.classes
    index = {label: i for i, label in enumerate(classes)}
    total, n_bad = Counts(len(classes)), 0
    for file in table_files(dataset):
        for _, X, batch in encoded_blocks(model, file, dataset):
            labels, valid = _column_strings(batch, target, file.path)
            n_bad += int((~valid).sum())
            if not labels:
                continue
            true = np.array([index.get(label, -1) for label in labels], np.int64)
            probabilities = model.forest.predict_proba(X[valid])
            total += metrics.count(
                true,
                probabilities.argmax(axis=1),
                len(classes),
                probabilities=probabilities,
                unknown_labels=[label for label in labels if label not in index],
            )
    summary = metrics.summarise(total, classes)
    _check_rows(summary.n_rows)
    return ClassificationEvaluation(summary, total, {_MISSING: n_bad} if n_bad else {})


def _regression(model: TableModel, dataset: Dataset, target: str) -> RegressionEvaluation:
    n_bad = 0
    true: list[NDArray[np.float64]] = []
    errors: list[NDArray[np.float64]] = []
    for file in table_files(dataset):
        for _, X, batch in encoded_blocks(model, file, dataset):
            strings, valid = _column_strings(batch, target, file.path)
            n_bad += int((~valid).sum())
            if strings:
                true.append(_parse_numbers(strings, target, file.path))
                errors.append(model.forest.predict(X[valid]) - true[-1])
    _check_rows(len(true))
    y, residuals = np.concatenate(true), np.concatenate(errors)
    total = float(np.square(y - y.mean()).sum())
    r2 = 1 - float(np.square(residuals).sum()) / total if total else math.nan
    return RegressionEvaluation(
        len(y), r2, math.sqrt(float(np.square(residuals).mean())), float(np.abs(residuals).mean()), n_bad
    )


def _column_strings(batch: pa.RecordBatch, column: str, path: str) -> tuple[list[str], NDArray[np.bool_]]:
    """The values of a column that are not missing, as strings, and a mask of the rows that have one.

    Raises
    ------
    SchemaError
        If there is no such column.
    """
    index = batch.schema.get_field_index(column)
    if index < 0:
        raise SchemaError(
            f"{path}: there is no column {column!r}", f"it has {', '.join(batch.schema.names)[:200]}"
        )
    strings = as_strings(batch.column(index))
    return strings.drop_null().to_pylist(), np.asarray(pc.is_valid(strings))


def _parse_numbers(strings: list[str], column: str, path: str) -> NDArray[np.float64]:
    """The values of a column as numbers.

    Raises
    ------
    RowError
        If one is not a finite number.
    """
    try:
        values = np.array([float(string) for string in strings], np.float64)
    except ValueError as error:
        raise RowError(f"{path}: in the column {column!r}: {error}", "correct the row") from None
    if not np.isfinite(values).all():
        raise RowError(f"{path}: a value of the column {column!r} is not finite", "correct the row")
    return values


def _check_rows(n_rows: int) -> None:
    """Raise ``PlanError`` if there are no rows to evaluate."""
    if not n_rows:
        raise PlanError("there are no rows to evaluate", "name files with labelled rows")
