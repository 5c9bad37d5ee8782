"""The stream of a prediction: batches read, scored and encoded on many threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from manymill.data.batches import Batch
from manymill.data.ledger import Ledger
from manymill.data.plan import Plan
from manymill.data.reading import read
from manymill.engine.ordered import map_in_order
from manymill.errors import ManymillError
from manymill.model import LinearModel
from manymill.predict.columns import Columns
from manymill.predict.formats import Format, Writer
from manymill.scoring import Scorer


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
