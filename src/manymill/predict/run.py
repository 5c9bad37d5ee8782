"""Predict the rows of a plan on many threads, with outputs in the order of the inputs."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from manymill.data.batches import Batch
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.data.reader import read
from manymill.engine.local import map_in_order, workers
from manymill.errors import ManymillError, RunFolderError
from manymill.model import LinearModel
from manymill.predict.formats import Columns, JsonLines, PredictionFormat, PredictionWriter, format_named
from manymill.predict.parts import PartFile, check_parts, open_outputs, part_names
from manymill.scoring import Scorer
from manymill.storage.outputs import Outputs


@dataclass(frozen=True)
class StreamItem:
    """A batch of a file, or the end of the file, or the error that ended reading."""

    file: int
    batch: Batch | None = None
    error: ManymillError | None = None
    encoded: Sequence[Any] = ()


def _encoded_items(
    model: LinearModel,
    plan: Plan,
    files: Sequence[int],
    formats: Sequence[PredictionFormat],
    columns: Columns,
    executor: Executor,
    look_ahead: int,
) -> Generator[StreamItem, None, None]:
    """Encoded batches of the files in order, and the end of each file."""
    scorer = Scorer(model)

    def encoded(item: StreamItem) -> StreamItem:
        if item.batch is None:
            return item
        batch, path, form = item.batch, plan.files[item.file].path, formats[item.file]
        pieces = [
            form.encode(columns.table(model, batch.position[rows], scores, path))
            for rows, scores in scorer.pieces(batch)
        ]
        return StreamItem(item.file, batch, encoded=pieces)

    items = _read(plan, files, executor, look_ahead)
    return map_in_order(encoded, items, executor=executor, look_ahead=look_ahead)


def _read(plan: Plan, files: Sequence[int], executor: Executor, look_ahead: int) -> Iterator[StreamItem]:
    """Batches of the files, and the end of each file; an error comes in order after the batches before it."""
    requested, waiting = set(files), deque(files)
    order = [number for number, block in enumerate(plan.blocks) if block.file in requested]
    try:
        for batch in read(plan, order=order, executor=executor, look_ahead=look_ahead):
            while waiting[0] != batch.file:
                yield StreamItem(waiting.popleft())
            yield StreamItem(batch.file, batch)
    except ManymillError as error:
        yield StreamItem(waiting[0], error=error)
        return
    for number in waiting:
        yield StreamItem(number)


def write_item(item: StreamItem, ledger: Ledger, writer: PredictionWriter) -> None:
    """Count and write an item.

    Raises
    ------
    ManymillError
        The error of the item, if it has one.
    """
    if item.error is not None:
        raise item.error
    if item.batch is not None:
        ledger.add(item.batch)
        for piece in item.encoded:
            writer.write(piece)


@dataclass(frozen=True)
class PartResult:
    """Result of the prediction of one input.

    Parameters
    ----------
    file : str
        The input.
    part : str
        The part file.
    n_rows : int
        Number of predicted rows.
    bad_counts : dict
        Number of rejected records by reason.
    bad_rows : str or None
        The list of the first bad rows.
    skipped : bool
        Whether the part file was already finished.
    warning : str or None
        Why the list of bad rows could not be written.
    """

    file: str
    part: str
    n_rows: int
    bad_counts: dict[str, int]
    bad_rows: str | None
    skipped: bool
    warning: str | None = None


def predict(
    model: LinearModel,
    plan: Plan,
    out: Path,
    *,
    format: str | None = None,
    columns: Columns | None = None,
    threads: int,
    overwrite: bool = False,
    on_part: Callable[[PartResult], None] = lambda result: None,
) -> list[PartResult]:
    """Predict every row of a plan, into one part file per input.

    Parameters
    ----------
    model : LinearModel
    plan : Plan
        The plan of the inputs, without labels.
    out : path
        The folder of the part files, created if missing.
    format : {"jsonl", "csv", "parquet"}, optional
        By default Parquet for Parquet inputs, else JSON lines.
    columns : Columns, optional
        By default position, label and score.
    threads : int
        Number of threads that read, hash and score; it does not change the results.
    overwrite : bool
        Whether to replace existing files that manymill has no record of writing. Inputs are never replaced.
    on_part : callable
        Called with each result, in order.

    Returns
    -------
    list of PartResult
        In the order of the inputs.

    Raises
    ------
    SourceError, RowError
        If an input cannot be read, or has a bad row and the plan is strict. Part files finished before remain, and
        are skipped when the prediction is run again.
    RunFolderError
        If a part file cannot be written, or would replace an input or a file of others.
    PlanError
        If the columns include probabilities and the model's loss is not probabilistic, or the format is unknown.
    """
    columns = columns or Columns()
    check_columns(model, columns)
    formats = [format_named(format or _default_format(file.format)) for file in plan.files]
    results: list[PartResult] = []
    with ExitStack() as stack:
        outputs = stack.enter_context(open_outputs(Path(out)))
        parts = _parts(model, plan, outputs, formats, columns)
        check_parts(parts, plan.files, overwrite=overwrite)
        finished = [part.finished() for part in parts]
        unfinished = [number for number, record in enumerate(finished) if record is None]
        executor = stack.enter_context(workers(threads))
        stream = _encoded_items(model, plan, unfinished, formats, columns, executor, 2 * threads)
        stack.enter_context(closing(stream))  # stops reading before the threads end
        written = (
            _write_part(parts[number], formats[number], model, columns, plan, group)
            for number, group in groupby(stream, key=lambda item: item.file)
        )
        for part, record in zip(parts, finished, strict=True):
            result = next(written) if record is None else _skipped(part, record)
            on_part(result)
            results.append(result)
    return results


def predict_stream(
    model: LinearModel,
    plan: Plan,
    stream: BinaryIO,
    *,
    format: str = "jsonl",
    columns: Columns | None = None,
    threads: int,
) -> Ledger:
    """Predict every row of a plan into one stream.

    Parameters
    ----------
    model, plan, format, columns, threads
        As for :func:`predict`.
    stream : binary file
        Receives the rows as they are predicted.

    Returns
    -------
    Ledger
        Counts of records, and the first bad rows.

    Raises
    ------
    OSError
        If the stream cannot be written; ``BrokenPipeError`` if its reader has closed it.
    SourceError, RowError, PlanError
        As for :func:`predict`.
    """
    columns = columns or Columns(file=len(plan.files) > 1)
    check_columns(model, columns)
    chosen = format_named(format)
    ledger = Ledger(strict=plan.dataset.strict)
    numbers = range(len(plan.files))
    formats = [chosen] * len(numbers)
    with workers(threads) as executor:
        items = _encoded_items(model, plan, numbers, formats, columns, executor, 2 * threads)
        writer = chosen.writer(stream, columns.schema(model))
        with closing(items):
            for item in items:
                write_item(item, ledger, writer)
                stream.flush()
        writer.close()
        stream.flush()
    return ledger


def check_columns(model: LinearModel, columns: Columns) -> None:
    """Check, before anything is read, that the model supports the columns."""
    import numpy as np

    columns.table(model, np.empty(0, np.int64), np.empty((0, model.n_outputs), np.float32), "")


def _write_part(
    part: PartFile,
    form: PredictionFormat,
    model: LinearModel,
    columns: Columns,
    plan: Plan,
    items: Iterator[StreamItem],
) -> PartResult:
    ledger = Ledger(strict=plan.dataset.strict)
    try:
        with part.writing() as written:
            writer = form.writer(written.file, columns.schema(model))
            for item in items:
                write_item(item, ledger, writer)
            writer.close()
            written.n_rows, written.bad_counts = ledger.n_used, dict(ledger.counts)
            warning = part.write_bad_rows(ledger.first, written)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot write {part.path}: {error.strerror or error}",
            "free some disk space or choose another folder; finished part files are skipped when you run this again",
        ) from error
    return _result(part, ledger.n_used, dict(ledger.counts), skipped=False, warning=warning)


def _skipped(part: PartFile, record: dict[str, Any]) -> PartResult:
    return _result(part, record["n_rows"], record["bad_counts"], skipped=True)


def _result(
    part: PartFile, n_rows: int, bad_counts: dict[str, int], *, skipped: bool, warning: str | None = None
) -> PartResult:
    path = part.outputs.bad_rows_path(part.name)
    bad_rows = str(path) if bad_counts and path.exists() else None
    file = part.request["file"]["path"]
    return PartResult(file, str(part.path), n_rows, bad_counts, bad_rows, skipped, warning)


def _parts(
    model: LinearModel, plan: Plan, outputs: Outputs, formats: Sequence[PredictionFormat], columns: Columns
) -> list[PartFile]:
    import manymill

    options = plan.to_json()["dataset"]
    options.pop("source", None)
    names = part_names(plan.files, [form.name for form in formats])
    shared = {
        "manymill": manymill.__version__,
        "model": model.checksum,
        "columns": asdict(columns),
        "reading": {**options, **asdict(plan.columns)},
    }
    parts = []
    for file, name in zip(plan.files, names, strict=True):
        # Converted to JSON types, so that it compares equal to the record read from the file.
        parts.append(PartFile(outputs, name, json.loads(json.dumps({**shared, "file": file.version}))))
    return parts


def _default_format(input_format: str) -> str:
    return "parquet" if input_format == "parquet" else JsonLines.name
