"""Predictions of a forest for tables in files: block by block, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from manymill.data.dataset import Dataset, SourceFile
from manymill.data.table.blocks import files_of
from manymill.errors import ManymillError, PlanError, RunFolderError
from manymill.forest.run import TableModel, encoded_blocks
from manymill.predict.formats import Columns, Format, format_named
from manymill.predict.parts import Part, check_parts, opened_outputs, part_names
from manymill.predict.run import PartResult


def predict_tables(
    model: TableModel,
    dataset: Dataset,
    out: Path,
    *,
    format: str | None = None,
    columns: Columns,
    overwrite: bool = False,
    on_part: Callable[[PartResult], None] = lambda result: None,
) -> list[PartResult]:
    """Predict every row, into one part file for each input; parts that are finished are skipped.

    Parameters
    ----------
    model : TableModel
    dataset : Dataset
        Parquet or CSV files with the columns that were learnt from.
    out : path
    format : {"jsonl", "csv", "parquet"}, optional
        By default Parquet for Parquet, JSON lines for everything else.
    columns : Columns
    overwrite : bool
        Whether a file that has a part's name is replaced although no record says that it was written here. One that is
        read never is.
    on_part : callable
        Called with each result, in order.

    Raises
    ------
    SourceError, SchemaError, RowError
        If an input cannot be read, lacks a column, or has a value that is no number.
    RunFolderError
        If a part cannot be written, or would replace a file that is read or was not written here.
    """
    check_columns(model, columns)
    files = files_of(dataset)
    formats = [format_named(format or ("parquet" if file.format == "parquet" else "jsonl")) for file in files]
    names = part_names(files, [form.name for form in formats])
    results = []
    with opened_outputs(out) as outputs:
        parts = [
            Part(outputs, name, _request(model, dataset, file, columns))
            for file, name in zip(files, names, strict=True)
        ]
        check_parts(parts, files, overwrite=overwrite)
        for part, file, form in zip(parts, files, formats, strict=True):
            record = part.finished()
            n_rows = _write(part, model, file, dataset, form, columns) if record is None else record["n_rows"]
            result = PartResult(file.path, str(part.path), n_rows, {}, None, record is not None)
            on_part(result)
            results.append(result)
    return results


def predict_tables_stream(
    model: TableModel, dataset: Dataset, stream: BinaryIO, *, format: str = "jsonl", columns: Columns
) -> None:
    """Predict every row into one stream; see :func:`predict_tables`."""
    check_columns(model, columns)
    form = format_named(format)
    writer = form.writer(stream, _schema(model, columns))
    for file in files_of(dataset):
        for batch in _predicted(model, file, dataset, columns):
            writer.write(form.encode(batch))
    writer.close()


def check_columns(model: TableModel, columns: Columns) -> None:
    """Raise ``PlanError`` if columns are wanted that a forest has not."""
    if columns.scores:
        raise PlanError("a forest has no scores besides probabilities", "ask for --probabilities")
    if columns.probabilities and model.task == "regression":
        raise PlanError("a regression has no probabilities", "leave them out")


def _write(
    part: Part, model: TableModel, file: SourceFile, dataset: Dataset, form: Format, columns: Columns
) -> int:
    try:
        with part.writing() as written:
            writer = form.writer(written.file, _schema(model, columns))
            for batch in _predicted(model, file, dataset, columns):
                writer.write(form.encode(batch))
                written.n_rows += batch.num_rows
            writer.close()
    except OSError as error:
        if isinstance(error, ManymillError):
            raise
        raise RunFolderError(
            f"cannot write {part.path}: {error.strerror or error}", "free some space or choose another folder"
        ) from error
    return written.n_rows


def _schema(model: TableModel, columns: Columns) -> pa.Schema:
    fields = [("file", pa.string())] if columns.file else []
    fields.append(("position", pa.int64()))
    if model.task == "regression":
        return pa.schema([*fields, ("value", pa.float64())])
    fields += [("label", pa.string()), ("score", pa.float32())]
    if columns.probabilities:
        fields += [(f"probability_{name}", pa.float32()) for name in model.classes]
    return pa.schema(fields)


def _predicted(
    model: TableModel, file: SourceFile, dataset: Dataset, columns: Columns
) -> Iterator[pa.RecordBatch]:
    schema, names = _schema(model, columns), pa.array(model.classes, pa.string())
    for start, X, _ in encoded_blocks(model, file, dataset):
        arrays: list[Any] = [pa.repeat(file.path, len(X))] if columns.file else []
        arrays.append(pa.array(np.arange(start, start + len(X))))
        if model.task == "regression":
            arrays.append(pa.array(model.forest.predict(X)))
        else:
            given = model.forest.predict_proba(X)
            chosen = given.argmax(axis=1)
            best = given[np.arange(len(chosen)), chosen]
            arrays += [names.take(pa.array(chosen)), pa.array(best.astype(np.float32))]
            if columns.probabilities:
                arrays += [pa.array(column.astype(np.float32)) for column in given.T]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _request(model: TableModel, dataset: Dataset, file: SourceFile, columns: Columns) -> dict[str, Any]:
    """What decides the bytes of a part, as JSON will give it back."""
    import manymill

    asked = {
        "manymill": manymill.__version__,
        "model": model.checksum,
        "columns": asdict(columns),
        "reading": {"format": dataset.format, "encoding": dataset.encoding},
        "file": file.version,
    }
    request: dict[str, Any] = json.loads(json.dumps(asked))
    return request
