"""Read the batches of a plan, optionally shuffled, in an order that depends on data, plan and seed only.

::

    blocks ──shuffle──► read ──► parse ──► batches ──► windows with permuted rows
                        └── prefetched on the executor ──┘

With a seed, blocks are read in random order. Streams (unsplittable files, large row groups) are open in parallel, and
the next batch comes from a stream or from the blocks in proportion to their remaining bytes: one file per class is
mixed as well as one file with all classes. Rows are permuted within windows of several batches, without copying text.
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
from manymill.data.blocks import PendingBatch, is_stream, open_block
from manymill.data.dataset import Block, Plan
from manymill.data.ledger import refuse_bad_rows

# Text of a block that is parsed ahead of its use.
_EAGER_BYTES = 8 << 20

# Bytes of source that are parsed ahead per prefetched batch: only very long records need more.
_AHEAD_BYTES = 2 << 20
# After a piece of this size, a stream does not prefetch the next one.
_LARGE_PIECE = 4 << 20

# Ids of independent random streams: the order of blocks, and the order of rows in windows.
_BLOCK_ORDER_STREAM = 0
_ROW_ORDER_STREAM = 1
# Streams open in parallel, and the limit of bytes that their open row groups hold.
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
    """Read the batches of one pass over the plan; the sequence does not depend on the executor.

    Parameters
    ----------
    plan : Plan
    order : sequence of int, optional
        Indices of the blocks to read; all blocks by default.
    seed : int, optional
        Seed of a random order of blocks; None for the given order.
    pass_number : int
        Decides the random order together with the seed.
    keyed : bool
        Whether to compute row keys, which decide the rows held out.
    executor : Executor, optional
        Prefetches (reads and parses) batches. It must not be the executor that the consumer runs on.
    look_ahead : int
        Number of batches to prefetch.

    Raises
    ------
    SourceError
        If a file was removed, changed or cannot be read.
    RowError
        If the dataset is strict and there is a bad row.
    """
    blocks = [plan.blocks[i] for i in (range(len(plan.blocks)) if order is None else order)]
    submit: Callable[..., Any] = _run_now if executor is None else executor.submit
    if seed is None:
        steps = _in_order(plan, blocks, submit)
    else:
        rng = np.random.default_rng((seed, _BLOCK_ORDER_STREAM, pass_number))
        steps = _shuffled(plan, blocks, rng, submit)
    submitted = ((submit(_parse_step, step, keyed), _held_bytes(step[1])) for step in steps)
    futures = _without_prefetch(submitted) if executor is None else _prefetched(submitted, max(1, look_ahead))
    with closing(futures):
        for future in futures:
            for batch in future.result():
                if plan.dataset.strict:
                    refuse_bad_rows(batch)
                yield batch
                del batch
            del future


@dataclass(slots=True)
class _CompletedCall:
    """Stand-in for a future when there is no executor."""

    value: Any

    def result(self) -> Any:
        return self.value


def _run_now(function: Callable[..., Any], *arguments: Any) -> _CompletedCall:
    return _CompletedCall(function(*arguments))


# The input of one parsing call: an entire block, or the next batch of a stream.
_Step = Block | PendingBatch


def _parse_step(step: tuple[Plan, _Step], keyed: bool) -> Iterable[Batch]:
    plan, source = step
    # Keys are computed here, while the text is still in the processor's cache.
    finish = _with_keys if keyed else _unchanged
    if not isinstance(source, Block):
        return [finish(source())]
    batches: list[Batch] = []
    n_bytes = 0
    pending = open_block(plan, source)
    for parse in pending:
        if parse.is_long:
            return chain(batches, (finish(each()) for each in chain([parse], pending)))
        batches.append(finish(parse()))
        n_bytes += batches[-1].text_bytes
        if n_bytes > _EAGER_BYTES:
            # The block is far larger than expected, as dictionary-encoded Parquet may be: parse the rest lazily.
            return chain(batches, (finish(parse()) for parse in pending))
    return batches


def _held_bytes(step: _Step) -> int:
    return step.raw_bytes if isinstance(step, Block) else step.held_bytes


def _unchanged(batch: Batch) -> Batch:
    return batch


def _with_keys(batch: Batch) -> Batch:
    return batch if batch.keys is not None else replace(batch, keys=row_keys(batch))


class _Stream:
    """An open stream that reads one batch ahead."""

    def __init__(self, plan: Plan, block: Block, submit: Callable[..., Any]) -> None:
        self._pending = open_block(plan, block)
        self._submit = submit
        self._block_bytes = max(1, block.raw_bytes)
        self._n_batches = 0
        self.cost = min(block.raw_bytes, 1 << 20) if not plan.files[block.file].cuttable else block.raw_bytes
        self._next: Any = submit(next, self._pending, None)

    def read(self) -> PendingBatch | None:
        """The next batch to parse, None at the end."""
        if self._next is None:
            self._next = self._submit(next, self._pending, None)
        batch: PendingBatch | None = self._next.result()
        if batch is not None:
            large = batch.held_bytes >= _LARGE_PIECE
            self._next = None if large else self._submit(next, self._pending, None)
            self._n_batches += 1
        return batch

    def remaining_bytes(self) -> int:
        """Estimate of the bytes not read yet."""
        return max(1 << 20, self._block_bytes - (self._n_batches << 20))

    def close(self) -> None:
        """Stop reading and close the file."""
        if isinstance(self._next, Future) and not self._next.cancel():
            self._next.exception()  # wait: a running generator cannot be closed
        self._pending.close()


def _in_order(plan: Plan, blocks: list[Block], submit: Callable[..., Any]) -> Iterator[tuple[Plan, _Step]]:
    for block in blocks:
        if not is_stream(plan, block):
            yield plan, block
            continue
        stream = _Stream(plan, block, submit)
        try:
            while (batch := stream.read()) is not None:
                yield plan, batch
        finally:
            stream.close()


def _shuffled(
    plan: Plan, blocks: list[Block], rng: np.random.Generator, submit: Callable[..., Any]
) -> Iterator[tuple[Plan, _Step]]:
    order = rng.permutation(len(blocks))
    cut = deque(blocks[i] for i in order if not is_stream(plan, blocks[i]))
    waiting = deque(blocks[i] for i in order if is_stream(plan, blocks[i]))
    n_cut = sum(max(1, block.raw_bytes) for block in cut)
    n_waiting = sum(block.raw_bytes for block in waiting)
    streams: list[_Stream] = []
    credit = [rng.random()]  # one per open stream, then one for the blocks
    try:
        while cut or waiting or streams:
            while waiting and _may_open(streams, waiting[0]):
                n_waiting -= waiting[0].raw_bytes
                credit.insert(len(streams), rng.random())
                streams.append(_Stream(plan, waiting.popleft(), submit))
            # Each source earns credit in proportion to its remaining bytes; the one with the most credit is read and
            # pays 1. The bytes of waiting streams count for the open ones.
            later = n_waiting / max(1, len(streams))
            remaining = [stream.remaining_bytes() + later for stream in streams] + ([n_cut] if cut else [])
            for i, n_bytes in enumerate(remaining):
                credit[i] += n_bytes / sum(remaining)
            chosen = credit.index(max(credit[: len(remaining)]))
            credit[chosen] -= 1
            if chosen == len(streams):
                block = cut.popleft()
                n_cut -= max(1, block.raw_bytes)
                yield plan, block
            elif (batch := streams[chosen].read()) is not None:
                yield plan, batch
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


def _without_prefetch(items: Generator[tuple[Any, int], None, None]) -> Generator[Any, None, None]:
    with closing(items):
        for item, _ in items:
            yield item
            del item


class _PrefetchBudget:
    """Limit of the number and bytes of prefetched items; only the last item may exceed the bytes."""

    def __init__(self, n_items: int) -> None:
        self._n_items, self._n_bytes = n_items, n_items * _AHEAD_BYTES
        self._changed = threading.Condition()
        self._stopped = False

    def wait(self) -> bool:
        """Wait until another item may be prefetched; False if prefetching was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or (self._n_items > 0 and self._n_bytes > 0))
            return not self._stopped

    def acquire(self, n_bytes: int) -> None:
        """Account for a prefetched item."""
        with self._changed:
            self._n_items -= 1
            self._n_bytes -= n_bytes

    def release(self, n_bytes: int) -> None:
        """Account for a consumed item."""
        with self._changed:
            self._n_items += 1
            self._n_bytes += n_bytes
            self._changed.notify()

    def stop(self) -> None:
        """Stop prefetching."""
        with self._changed:
            self._stopped = True
            self._changed.notify()


def _prefetched(items: Generator[tuple[Any, int], None, None], n_ahead: int) -> Generator[Any, None, None]:
    """Prefetch up to ``n_ahead`` items, given with their bytes, in a separate thread."""
    ready: queue.Queue[Any] = queue.Queue()
    budget = _PrefetchBudget(n_ahead)
    end = object()

    def produce() -> None:
        try:
            while budget.wait():
                item = next(items, None)
                if item is None:
                    ready.put((end, 0, None))
                    break
                budget.acquire(item[1])
                ready.put((*item, None))
                del item
        except BaseException as error:  # raised again by the consumer
            ready.put((end, 0, error))
        finally:
            items.close()

    thread = threading.Thread(target=produce, name="manymill-read", daemon=True)
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
            budget.release(n_bytes)
    finally:
        budget.stop()
        thread.join()


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Several batches with a random order of their rows.

    Parameters
    ----------
    batches : tuple of Batch
    order : ndarray
        int64, shape ``(n_rows,)``: row ``i`` of the window is row ``order[i]`` of the concatenated batches.
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
    """Group batches into windows of at least ``window_bytes`` of text; the last one may be smaller.

    Parameters
    ----------
    batches : iterable of Batch
    window_bytes : int
        Bytes of text after which a window is full.
    seed, pass_number : int
        Decide the order of the rows, together with the index of the window.
    """
    pending: list[Batch] = []
    n_bytes = number = 0
    for batch in batches:
        if not len(batch):
            continue
        pending.append(batch)
        n_bytes += batch.text_bytes + len(batch)
        if n_bytes >= window_bytes:
            yield _window(pending, seed, pass_number, number)
            pending, n_bytes, number = [], 0, number + 1
    if pending:
        yield _window(pending, seed, pass_number, number)


def _window(batches: list[Batch], seed: int, pass_number: int, number: int) -> Window:
    sizes = [len(batch) for batch in batches]
    chunk_of = np.repeat(np.arange(len(batches), dtype=np.uint32), sizes)
    row_of = np.concatenate([np.arange(size, dtype=np.uint32) for size in sizes])
    order = np.random.default_rng((seed, _ROW_ORDER_STREAM, pass_number, number)).permutation(len(row_of))
    return Window(tuple(batches), order, chunk_of.take(order), row_of.take(order))
