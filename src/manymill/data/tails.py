"""The last rows of each file, which `holdout_tail` holds out of a source in order of time.

::

    tail = the rows whose position lies in the last ``share`` of the file's positions

A position is the byte where a record starts in the uncompressed text, or the number of a row: what a batch carries, so
that no thread, lane or block changes which rows are held out. Each class folder of a folder tree has a tail of its own,
since its documents are in order of their names, one class after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch
from manymill.data.blocks import open_text
from manymill.data.chunks import decoded
from manymill.data.dataset import Plan, SourceFile
from manymill.data.sampling import SampleProgress
from manymill.events import Event, Observer


def with_ends(plan: Plan, executor: Executor, *, observe: Observer = lambda event: None) -> Plan:
    """The plan with the ``end`` of every file.

    The length of a text that is compressed or in another encoding is known only at its end: unless the plan's sample
    has read that far, the file is decompressed once.

    Parameters
    ----------
    plan : Plan
    executor : Executor
        Reads the files, each in one call.
    observe : callable
        Called with a :class:`~manymill.events.Sampled` about every second for each of these files.

    Raises
    ------
    SourceError
        If a file was removed, changed or cannot be read.
    """
    unknown = [number for number, file in enumerate(plan.files) if file.end is None]
    lock, stopped = threading.Lock(), threading.Event()

    def observe_in_turn(event: Event) -> None:
        with lock:
            observe(event)

    def measure(number: int) -> int:
        return sum(_piece_bytes(plan, plan.files[number], observe_in_turn, stopped))

    files = list(plan.files)
    try:
        for number, end in zip(unknown, executor.map(measure, unknown), strict=True):
            files[number] = replace(files[number], end=end)
    finally:
        stopped.set()  # after Ctrl-C, the calls must not go on to the ends of their files
    return replace(plan, files=tuple(files))


def _piece_bytes(plan: Plan, file: SourceFile, observe: Observer, stopped: threading.Event) -> Iterator[int]:
    """Bytes in UTF-8 of each piece of a text."""
    progress = SampleProgress(observe)
    with closing(open_text(plan, file)) as stream:
        for piece in decoded(stream, plan.dataset.encoding, file.path):
            yield len(piece)
            progress.report(file, stream.stored_bytes(), 0)
            if stopped.is_set():
                return


class Tails:
    """The last share of the rows of each file of a plan.

    Parameters
    ----------
    plan : Plan
        With the ``end`` of every file: see :func:`with_ends`.
    share : float
        0 to 0.5.
    """

    def __init__(self, plan: Plan, share: float) -> None:
        self._ranges = [np.array(_ranges(file, share), np.int64).reshape(-1, 2) for file in plan.files]

    def mask(self, batch: Batch) -> NDArray[np.bool_]:
        """Which rows of a batch are in the tail of their file, ``(n_rows,)``."""
        starts, stops = self._ranges[batch.file].T
        number = np.searchsorted(starts, batch.position, side="right") - 1
        in_tail: NDArray[np.bool_] = (number >= 0) & (batch.position < stops[number])
        return in_tail


def _ranges(file: SourceFile, share: float) -> list[tuple[int, int]]:
    """The positions of the tail of a file, from start to stop; one range, or one for each class folder."""
    assert file.end is not None, "call with_ends first"
    ends, start = [file.end], file.data_start
    if file.format == "folder":
        folders = groupby(name.split("/", 1)[0] for name, _ in file.members)
        ends = np.cumsum([len(list(members)) for _, members in folders]).tolist()
    ranges = []
    for end in ends:
        ranges.append((end - round(share * (end - start)), end))
        start = end
    return ranges
