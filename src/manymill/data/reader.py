"""Batches in an order that data, plan and seed decide, and no thread does.

::

    blocks ──order──► read ──► parse ──► batches
                      └── ahead of the consumer, on the executor ──┘

With a seed, blocks that can be cut come in random order; streams (files that cannot be cut, large row groups)
are open side by side, and the steps are shared out among them and the blocks in proportion to what each has
left. So a file per class is mixed as well as one file of all.

Rows mixed in windows of several batches; no text is moved.

In: batches in a seeded random order of blocks. Out: windows whose rows are permuted under the seed.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch, row_keys
from manymill.data.blocks import Parse, is_stream, open_block
from manymill.data.dataset import Block, Plan
from manymill.data.ledger import refuse_bad_rows

# Text of a block that is parsed before it is asked for.
_EAGER_BYTES = 8 << 20

# Bytes of source that are parsed ahead for each batch that may be ready: only very long records are more.
_AHEAD_BYTES = 2 << 20
# A stream does not read on behind a piece of so many bytes until the next one is asked for.
_LARGE_PIECE = 4 << 20

# Keeps this random stream apart from that of the windows.
_STREAM = 0
# Streams read side by side, and the most bytes that their open row groups may hold.
OPEN_STREAMS = 16
OPEN_BYTES = 64 << 20


def read(
    plan: Plan,
    *,
    order: Sequence[int] | None = None,
    seed: int | None = None,
    pass_number: int = 0,
    keyed: bool = False,
    executor: Executor | None = None,
    look_ahead: int = 4,
) -> Iterator[Batch]:
    """The batches of one pass over the plan; the same sequence whatever the executor.

    Parameters
    ----------
    plan : Plan
    order : sequence of int, optional
        Numbers of the blocks to read, instead of all of them.
    seed : int, optional
        For a random order of blocks; None for the order given.
    pass_number : int
        Decides the random order together with the seed.
    keyed : bool
        Whether rows get their keys, by which they are held out.
    executor : Executor, optional
        Where reading and parsing run ahead. It must not be the one the consumer itself runs on.
    look_ahead : int
        How many batches may be ready before they are asked for.

    Raises
    ------
    SourceError
        If a file vanished, changed or cannot be read on.
    RowError
        If the dataset is strict and there is a bad row.
    """
    blocks = [plan.blocks[i] for i in (range(len(plan.blocks)) if order is None else order)]
    submit: Callable[..., Any] = _now if executor is None else executor.submit
    if seed is None:
        parses = _in_order(plan, blocks, submit)
    else:
        parses = _mixed(plan, blocks, np.random.default_rng((seed, _STREAM, pass_number)), submit)
    steps = ((submit(_parse_all, step, keyed), _held_bytes(step[1])) for step in parses)
    futures = _ready(steps) if executor is None else _ahead(steps, max(1, look_ahead))
    with closing(futures):
        for future in futures:
            for batch in future.result():
                if plan.dataset.strict:
                    refuse_bad_rows(batch)
                yield batch
                del batch
            del future


@dataclass(slots=True)
class _Done:
    """What a future is where there is no executor."""

    value: Any

    def result(self) -> Any:
        return self.value


def _now(function: Callable[..., Any], *arguments: Any) -> _Done:
    return _Done(function(*arguments))


# A step is what one task parses: a whole block, or the next batch of a stream.
_Step = Block | Parse


def _parse_all(step: tuple[Plan, _Step], keyed: bool) -> Iterable[Batch]:
    plan, what = step
    # Keys are made here, where the text is still in the processor's cache.
    finished = _keyed if keyed else _as_it_is
    if not isinstance(what, Block):
        return [finished(what())]
    batches: list[Batch] = []
    n_bytes = 0
    parses = open_block(plan, what)
    for parse in parses:
        if parse.is_long:
            return chain(batches, (finished(each()) for each in chain([parse], parses)))
        batches.append(finished(parse()))
        n_bytes += batches[-1].text_bytes
        if n_bytes > _EAGER_BYTES:
            # The block is far larger than it looked, as Parquet with a dictionary may be: the rest comes one by one.
            return chain(batches, (finished(parse()) for parse in parses))
    return batches


def _held_bytes(step: _Step) -> int:
    return step.raw_bytes if isinstance(step, Block) else step.held_bytes


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _keyed(batch: Batch) -> Batch:
    return batch if batch.keys is not None else replace(batch, keys=row_keys(batch))


class _Stream:
    """An open stream; the batch after the one given is read meanwhile."""

    def __init__(self, plan: Plan, block: Block, submit: Callable[..., Any]) -> None:
        self._parses = open_block(plan, block)
        self._submit = submit
        self._block_bytes = max(1, block.raw_bytes)
        self._stored = max(1, plan.files[block.file].size)
        self._n_taken = 0
        self.cost = min(block.raw_bytes, 1 << 20) if not plan.files[block.file].cuttable else block.raw_bytes
        self._next: Any = submit(next, self._parses, None)

    def take(self) -> Parse | None:
        """The next batch to parse, None at the end."""
        if self._next is None:
            self._next = self._submit(next, self._parses, None)
        parse: Parse | None = self._next.result()
        if parse is not None:
            large = parse.held_bytes >= _LARGE_PIECE
            self._next = None if large else self._submit(next, self._parses, None)
            self._n_taken += 1
        return parse

    def left(self) -> int:
        """About how many bytes are left."""
        return max(1 << 20, self._block_bytes - (self._n_taken << 20))

    def close(self) -> None:
        """Stop reading and close the file."""
        if isinstance(self._next, Future) and not self._next.cancel():
            self._next.exception()  # wait: a generator that runs cannot be closed
        self._parses.close()


def _in_order(plan: Plan, blocks: list[Block], submit: Callable[..., Any]) -> Iterator[tuple[Plan, _Step]]:
    for block in blocks:
        if not is_stream(plan, block):
            yield plan, block
            continue
        stream = _Stream(plan, block, submit)
        try:
            while (parse := stream.take()) is not None:
                yield plan, parse
        finally:
            stream.close()


def _mixed(
    plan: Plan, blocks: list[Block], rng: np.random.Generator, submit: Callable[..., Any]
) -> Iterator[tuple[Plan, _Step]]:
    order = rng.permutation(len(blocks))
    cut = deque(blocks[i] for i in order if not is_stream(plan, blocks[i]))
    waiting = deque(blocks[i] for i in order if is_stream(plan, blocks[i]))
    n_cut = sum(max(1, block.raw_bytes) for block in cut)
    n_waiting = sum(block.raw_bytes for block in waiting)
    streams: list[_Stream] = []
    credit = [rng.random()]  # of each open stream, and last of the blocks
    try:
        while cut or waiting or streams:
            while waiting and _may_open(streams, waiting[0]):
                n_waiting -= waiting[0].raw_bytes
                credit.insert(len(streams), rng.random())
                streams.append(_Stream(plan, waiting.popleft(), submit))
            # Each source earns credit in proportion to what it has left, and the richest pays for its turn.
            # Streams that wait are counted for those that are open.
            later = n_waiting / max(1, len(streams))
            left = [stream.left() + later for stream in streams] + ([n_cut] if cut else [])
            for i, n_left in enumerate(left):
                credit[i] += n_left / sum(left)
            chosen = credit.index(max(credit[: len(left)]))
            credit[chosen] -= 1
            if chosen == len(streams):
                block = cut.popleft()
                n_cut -= max(1, block.raw_bytes)
                yield plan, block
            elif (parse := streams[chosen].take()) is not None:
                yield plan, parse
            else:
                streams.pop(chosen).close()
                credit.pop(chosen)
    finally:
        for stream in streams:
            stream.close()


def _may_open(streams: list[_Stream], block: Block) -> bool:
    if not streams:
        return True
    return (
        len(streams) < OPEN_STREAMS and sum(stream.cost for stream in streams) + block.raw_bytes <= OPEN_BYTES
    )


def _ready(items: Generator[tuple[Any, int], None, None]) -> Generator[Any, None, None]:
    with closing(items):
        for item, _ in items:
            yield item
            del item


class _Room:
    """Room for items that were made and not used yet: for so many, and for so many bytes but for the last one."""

    def __init__(self, n_items: int) -> None:
        self._n_items, self._n_bytes = n_items, n_items * _AHEAD_BYTES
        self._changed = threading.Condition()
        self._stopped = False

    def wait(self) -> bool:
        """Wait until there is room; False if nothing more is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or (self._n_items > 0 and self._n_bytes > 0))
            return not self._stopped

    def take(self, n_bytes: int) -> None:
        """An item was made."""
        with self._changed:
            self._n_items -= 1
            self._n_bytes -= n_bytes

    def give_back(self, n_bytes: int) -> None:
        """An item was used."""
        with self._changed:
            self._n_items += 1
            self._n_bytes += n_bytes
            self._changed.notify()

    def stop(self) -> None:
        """Nothing more is wanted."""
        with self._changed:
            self._stopped = True
            self._changed.notify()


def _ahead(items: Generator[tuple[Any, int], None, None], n_ahead: int) -> Generator[Any, None, None]:
    """The items, made by a thread of its own up to ``n_ahead`` before they are asked for; each comes with its bytes."""
    ready: queue.Queue[Any] = queue.Queue()
    room = _Room(n_ahead)
    end = object()

    def make() -> None:
        try:
            while room.wait():
                made = next(items, None)
                if made is None:
                    ready.put((end, 0, None))
                    break
                room.take(made[1])
                ready.put((*made, None))
                del made
        except BaseException as error:  # told to the consumer, who raises it
            ready.put((end, 0, error))
        finally:
            items.close()

    thread = threading.Thread(target=make, name="manymill-read", daemon=True)
    thread.start()
    try:
        while True:
            item, n_bytes, error = ready.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
            del item
            room.give_back(n_bytes)
    finally:
        room.stop()
        thread.join()


# Keeps the random streams of windows, of blocks and of whatever comes apart from each other.
_SHUFFLING_STREAM = 1


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Batches, and all their rows in random order.

    Parameters
    ----------
    batches : tuple of Batch
    order : ndarray
        int64, shape ``(n_rows,)``: row ``i`` of the window is row ``order[i]`` of all batches, one behind the other.
    chunk_of, row_of : ndarray
        uint32, shape ``(n_rows,)``: row ``i`` of the window is row ``row_of[i]`` of ``batches[chunk_of[i]]``.
    """

    batches: tuple[Batch, ...]
    order: NDArray[np.int64]
    chunk_of: NDArray[np.uint32]
    row_of: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.chunk_of)


def windows(batches: Iterable[Batch], *, window_bytes: int, seed: int, pass_number: int) -> Iterator[Window]:
    """Windows of at least ``window_bytes`` of text, the last one smaller.

    Parameters
    ----------
    batches : iterable of Batch
    window_bytes : int
        Bytes of text after which a window is full.
    seed, pass_number : int
        Decide the order of the rows, together with the number of the window.
    """
    held: list[Batch] = []
    n_bytes = number = 0
    for batch in batches:
        if not len(batch):
            continue
        held.append(batch)
        n_bytes += batch.text_bytes + len(batch)
        if n_bytes >= window_bytes:
            yield _window(held, seed, pass_number, number)
            held, n_bytes, number = [], 0, number + 1
    if held:
        yield _window(held, seed, pass_number, number)


def _window(batches: list[Batch], seed: int, pass_number: int, number: int) -> Window:
    sizes = [len(batch) for batch in batches]
    chunk_of = np.repeat(np.arange(len(batches), dtype=np.uint32), sizes)
    row_of = np.concatenate([np.arange(size, dtype=np.uint32) for size in sizes])
    order = np.random.default_rng((seed, _SHUFFLING_STREAM, pass_number, number)).permutation(len(row_of))
    return Window(tuple(batches), order, chunk_of.take(order), row_of.take(order))
