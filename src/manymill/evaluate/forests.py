"""Evaluate a forest on tables in files, block by block."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import metrics
from manymill.data.dataset import Dataset
from manymill.data.table.blocks import table_files
from manymill.errors import SchemaError
from manymill.evaluate.run import Evaluation
from manymill.forest.run import TableModel, check_rows, column_strings, encoded_blocks, parse_numbers
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


def evaluate_tables(model: TableModel, dataset: Dataset) -> Evaluation | RegressionEvaluation:
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


def _classification(model: TableModel, dataset: Dataset, target: str) -> Evaluation:
    classes = model.classes
    index = {label: i for i, label in enumerate(classes)}
    total, n_bad = Counts(len(classes)), 0
    for file in table_files(dataset):
        for _, X, batch in encoded_blocks(model, file, dataset):
            labels, valid = column_strings(batch, target, file.path)
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
    check_rows(summary.n_rows)
    return Evaluation(summary, total, {_MISSING: n_bad} if n_bad else {})


def _regression(model: TableModel, dataset: Dataset, target: str) -> RegressionEvaluation:
    n_bad = 0
    true: list[NDArray[np.float64]] = []
    errors: list[NDArray[np.float64]] = []
    for file in table_files(dataset):
        for _, X, batch in encoded_blocks(model, file, dataset):
            strings, valid = column_strings(batch, target, file.path)
            n_bad += int((~valid).sum())
            if strings:
                true.append(parse_numbers(strings, target, file.path))
                errors.append(model.forest.predict(X[valid]) - true[-1])
    check_rows(len(true))
    y, residuals = np.concatenate(true), np.concatenate(errors)
    total = float(np.square(y - y.mean()).sum())
    r2 = 1 - float(np.square(residuals).sum()) / total if total else math.nan
    return RegressionEvaluation(
        len(y), r2, math.sqrt(float(np.square(residuals).mean())), float(np.abs(residuals).mean()), n_bad
    )
