"""How good a forest is on tables in files: rows are predicted block by block, and counts added up."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import metrics
from manymill.data.dataset import Dataset
from manymill.data.table.blocks import files_of
from manymill.errors import SchemaError
from manymill.evaluate.run import Evaluation
from manymill.forest.run import TableModel, check_rows, column_strings, encoded_blocks, parse_numbers
from manymill.metrics import Counts

_MISSING = "label missing"


@dataclass(frozen=True, slots=True)
class RegressionEvaluation:
    """How good predicted values are.

    Attributes
    ----------
    n_rows : int
    r2 : float
        The share of the variance that is explained; NaN if the values do not differ.
    rmse : float
        The root of the mean squared error.
    mae : float
        The mean absolute error.
    bad_rows : int
        Rows whose value is missing.
    """

    n_rows: int
    r2: float
    rmse: float
    mae: float
    bad_rows: int

    def to_json(self) -> dict[str, Any]:
        """All figures; R² is null where there is none."""
        return {**asdict(self), "r2": None if math.isnan(self.r2) else self.r2}

    def to_text(self) -> str:
        """All figures, one a line."""
        lines = [f"rows      {self.n_rows:,}", f"R2        {self.r2:.4f}"]
        lines += [f"RMSE      {self.rmse:.6g}", f"MAE       {self.mae:.6g}"]
        if self.bad_rows:
            lines.append(f"bad       {self.bad_rows:,} rows have no value")
        return "\n".join(lines)


def evaluate_tables(model: TableModel, dataset: Dataset) -> Evaluation | RegressionEvaluation:
    """How good a forest is on the rows of tables.

    Parameters
    ----------
    model : TableModel
    dataset : Dataset
        Parquet or CSV files; the column to compare with is its ``label``, or that of the training.

    Raises
    ------
    SourceError, SchemaError, RowError
        If a file cannot be read, lacks a column, or has a value that is no number.
    PlanError
        If there is not one row.
    """
    target = dataset.label or model.schema.target
    if target is None:
        raise SchemaError("the column to compare with is not known", "name it with --label")
    if model.task == "regression":
        return _regression(model, dataset, target)
    return _classification(model, dataset, target)


def _classification(model: TableModel, dataset: Dataset, target: str) -> Evaluation:
    classes = model.classes
    position = {label: place for place, label in enumerate(classes)}
    total, n_bad = Counts(len(classes)), 0
    for file in files_of(dataset):
        for _, X, batch in encoded_blocks(model, file, dataset):
            words, kept = column_strings(batch, target, file.path)
            n_bad += int((~kept).sum())
            if not words:
                continue
            true = np.array([position.get(word, -1) for word in words], np.int64)
            given = model.forest.predict_proba(X[kept])
            unknown = [word for word in words if word not in position]
            total += metrics.count(
                true, given.argmax(axis=1), len(classes), probabilities=given, unknown_labels=unknown
            )
    summary = metrics.summarise(total, classes)
    check_rows(summary.n_rows)
    return Evaluation(summary, total, {_MISSING: n_bad} if n_bad else {})


def _regression(model: TableModel, dataset: Dataset, target: str) -> RegressionEvaluation:
    n_bad = 0
    true: list[NDArray[np.float64]] = []
    errors: list[NDArray[np.float64]] = []
    for file in files_of(dataset):
        for _, X, batch in encoded_blocks(model, file, dataset):
            words, kept = column_strings(batch, target, file.path)
            n_bad += int((~kept).sum())
            if words:
                true.append(parse_numbers(words, target, file.path))
                errors.append(model.forest.predict(X[kept]) - true[-1])
    check_rows(len(true))
    y, wrong = np.concatenate(true), np.concatenate(errors)
    spread = float(np.square(y - y.mean()).sum())
    r2 = 1 - float(np.square(wrong).sum()) / spread if spread else math.nan
    return RegressionEvaluation(
        len(y), r2, math.sqrt(float(np.square(wrong).mean())), float(np.abs(wrong).mean()), n_bad
    )
