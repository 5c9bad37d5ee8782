"""The run of a prediction: inputs in order, rows in order, work on many threads.

The stream of a prediction: batches read, scored and encoded on many threads, in order.
"""

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
from manymill.predict.formats import Columns, Format, JsonLines, Writer, format_named
from manymill.predict.parts import Part, check_parts, opened_outputs, part_names
from manymill.scoring import Scorer
from manymill.storage.outputs import Outputs


@dataclass(frozen=True)
class Item:
    """A batch of a file, or the end of the file, or the error that ended it."""

    file: int
    batch: Batch | None = None
    error: ManymillError | None = None
    encoded: Sequence[Any] = ()


def stream_items(
    model: LinearModel,
    plan: Plan,
    files: Sequence[int],
    formats: Sequence[Format],
    columns: Columns,
    executor: Executor,
    look_ahead: int,
) -> Generator[Item, None, None]:
    """What is to be written: encoded batches of the files in order, and the end of each file."""
    scorer = Scorer(model)

    def encoded(item: Item) -> Item:
        if item.batch is None:
            return item
        batch, path, form = item.batch, plan.files[item.file].path, formats[item.file]
        pieces = [
            form.encode(columns.table(model, batch.position[rows], scores, path))
            for rows, scores in scorer.pieces(batch)
        ]
        return Item(item.file, batch, encoded=pieces)

    items = _read(plan, files, executor, look_ahead)
    return map_in_order(encoded, items, executor=executor, look_ahead=look_ahead)


def _read(plan: Plan, files: Sequence[int], executor: Executor, look_ahead: int) -> Iterator[Item]:
    """Batches of the files, and the end of each; an error waits for its turn, behind what came before."""
    wanted, waiting = set(files), deque(files)
    order = [number for number, block in enumerate(plan.blocks) if block.file in wanted]
    try:
        for batch in read(plan, order=order, executor=executor, look_ahead=look_ahead):
            while waiting[0] != batch.file:
                yield Item(waiting.popleft())
            yield Item(batch.file, batch)
    except ManymillError as error:
        yield Item(waiting[0], error=error)
        return
    for number in waiting:
        yield Item(number)


def take(item: Item, ledger: Ledger, writer: Writer) -> None:
    """Count and write an item.

    Raises
    ------
    ManymillError
        If the item is the error that ended its file.
    """
    if item.error is not None:
        raise item.error
    if item.batch is not None:
        ledger.add(item.batch)
        for piece in item.encoded:
            writer.write(piece)


@dataclass(frozen=True)
class PartResult:
    """What became of one input.

    Parameters
    ----------
    file : str
        The input.
    part : str
        The part file.
    n_rows : int
        Rows predicted.
    bad_counts : dict
        Records that are no rows, by reason.
    bad_rows : str or None
        The ledger of the first of them.
    skipped : bool
        Whether the part was finished before.
    warning : str or None
        Why the ledger is not there, if it could not be written.
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
    """Predict every row of a plan, into one part file for each input.

    Parameters
    ----------
    model : LinearModel
    plan : Plan
        What is read; without labels.
    out : path
        The folder of the part files, made if missing.
    format : {"jsonl", "csv", "parquet"}, optional
        By default Parquet for Parquet, JSON lines for everything else.
    columns : Columns, optional
        Position, label and score if not given.
    threads : int
        Threads that read, hash and score; never decides a byte of the parts.
    overwrite : bool
        Whether a file that has a part's name is replaced although no record says that it was written here. One that is
        read never is.
    on_part : callable
        Called with each result, in order.

    Returns
    -------
    list of PartResult
        In the order of the inputs.

    Raises
    ------
    SourceError, RowError
        If an input cannot be read, or has a bad row and the plan is strict. Parts finished before stay, and
        are skipped when the prediction is run again.
    RunFolderError
        If a part cannot be written, or would replace a file that is read or was not written here.
    PlanError
        If probabilities are wanted and the model's loss gives none, or there is no such format.
    """
    columns = columns or Columns()
    check_columns(model, columns)
    formats = [format_named(format or _like(file.format)) for file in plan.files]
    results: list[PartResult] = []
    with ExitStack() as stack:
        outputs = stack.enter_context(opened_outputs(Path(out)))
        parts = _parts(model, plan, outputs, formats, columns)
        check_parts(parts, plan.files, overwrite=overwrite)
        finished = [part.finished() for part in parts]
        unfinished = [number for number, record in enumerate(finished) if record is None]
        executor = stack.enter_context(workers(threads))
        stream = stream_items(model, plan, unfinished, formats, columns, executor, 2 * threads)
        stack.enter_context(closing(stream))  # reading ends before its threads do
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
        Written to as rows are predicted.

    Returns
    -------
    Ledger
        What was read, and the records that are no rows.

    Raises
    ------
    OSError
        If the stream cannot be written; ``BrokenPipeError`` if its reader has gone.
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
        items = stream_items(model, plan, numbers, formats, columns, executor, 2 * threads)
        writer = chosen.writer(stream, columns.schema(model))
        with closing(items):
            for item in items:
                take(item, ledger, writer)
                stream.flush()
        writer.close()
        stream.flush()
    return ledger


def check_columns(model: LinearModel, columns: Columns) -> None:
    """Find out before anything is read whether the model can give the columns."""
    import numpy as np

    columns.table(model, np.empty(0, np.int64), np.empty((0, model.n_outputs), np.float32), "")


def _write_part(
    part: Part, form: Format, model: LinearModel, columns: Columns, plan: Plan, items: Iterator[Item]
) -> PartResult:
    ledger = Ledger(strict=plan.dataset.strict)
    try:
        with part.writing() as written:
            writer = form.writer(written.file, columns.schema(model))
            for item in items:
                take(item, ledger, writer)
            writer.close()
            written.n_rows, written.bad_counts = ledger.n_used, dict(ledger.counts)
            warning = part.write_bad_rows(ledger.first, written)
    except ManymillError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot write {part.path}: {error.strerror or error}",
            "free some space or choose another folder; finished parts are skipped when you run this again",
        ) from error
    return _result(part, ledger.n_used, dict(ledger.counts), skipped=False, warning=warning)


def _skipped(part: Part, record: dict[str, Any]) -> PartResult:
    return _result(part, record["n_rows"], record["bad_counts"], skipped=True)


def _result(
    part: Part, n_rows: int, bad_counts: dict[str, int], *, skipped: bool, warning: str | None = None
) -> PartResult:
    path = part.outputs.bad_rows_path(part.name)
    bad_rows = str(path) if bad_counts and path.exists() else None
    file = part.request["file"]["path"]
    return PartResult(file, str(part.path), n_rows, bad_counts, bad_rows, skipped, warning)


def _parts(
    model: LinearModel, plan: Plan, outputs: Outputs, formats: Sequence[Format], columns: Columns
) -> list[Part]:
    import manymill

    asked = plan.to_json()["dataset"]
    asked.pop("source", None)
    names = part_names(plan.files, [form.name for form in formats])
    shared = {
        "manymill": manymill.__version__,
        "model": model.checksum,
        "columns": asdict(columns),
        "reading": {**asked, **asdict(plan.columns)},
    }
    parts = []
    for file, name in zip(plan.files, names, strict=True):
        # As JSON will give it back.
        parts.append(Part(outputs, name, json.loads(json.dumps({**shared, "file": file.version}))))
    return parts


def _like(input_format: str) -> str:
    return "parquet" if input_format == "parquet" else JsonLines.name
