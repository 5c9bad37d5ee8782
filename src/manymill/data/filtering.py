"""Rows of the classes that were asked for; those of another are left out, and counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np

from manymill.data.batches import BadRow, Batch
from manymill.data.labels import Labels
from manymill.data.plan import Plan

OTHER_CLASS = "other class"
# More bad rows than any ledger shows are not described.
_KEPT_BAD_ROWS = 1000


def filtered(
    plan: Plan, parses: Generator[Callable[[], Batch], None, None]
) -> Generator[Callable[[], Batch], None, None]:
    """What gives batches, as what gives batches of the plan's classes alone."""
    with closing(parses):
        for parse in parses:
            yield partial(_parse, plan, parse)


def _parse(plan: Plan, parse: Callable[[], Batch]) -> Batch:
    assert plan.dataset.classes is not None
    return keep_classes(plan, parse(), frozenset(plan.dataset.classes))


def keep_classes(plan: Plan, batch: Batch, classes: frozenset[str]) -> Batch:
    """The rows of a batch whose label is one of ``classes``; every other is a bad row."""
    if batch.label is None or classes.issuperset(batch.label.names):
        return batch
    known = np.array([name in classes for name in batch.label.names], np.bool_)
    kept = known[batch.label.codes]
    others = np.flatnonzero(~kept)
    if not len(others):
        return batch
    sizes = np.diff(batch.offsets)
    text = batch.data[batch.offsets[0] : batch.offsets[-1]]
    place = np.cumsum(known, dtype=np.int32) - np.int32(1)
    return replace(
        batch,
        data=text[np.repeat(kept, sizes)],
        offsets=np.concatenate(([0], np.cumsum(sizes[kept]))).astype(np.int64),
        label=Labels(
            tuple(name for name in batch.label.names if name in classes), place[batch.label.codes[kept]]
        ),
        weight=None if batch.weight is None else batch.weight[kept],
        position=batch.position[kept],
        bad=batch.bad + tuple(_bad_row(plan, batch, row) for row in others[:_KEPT_BAD_ROWS].tolist()),
        bad_counts={**batch.bad_counts, OTHER_CLASS: len(others)},
    )


def place_of(plan: Plan, batch: Batch, row: int) -> tuple[str, str]:
    """The file of a row of a batch, and where in it the row is: ``"byte 1234"`` or ``"row 17"``."""
    file, position = plan.files[batch.file], int(batch.position[row])
    path = os.path.join(file.path, file.members[position][0]) if file.format == "folder" else file.path
    unit = "row" if file.format in ("folder", "parquet", "memory") else "byte"
    return path, f"{unit} {position}"


def _bad_row(plan: Plan, batch: Batch, row: int) -> BadRow:
    assert batch.label is not None
    path, where = place_of(plan, batch, row)
    return BadRow(path, where, OTHER_CLASS, batch.label.names[batch.label.codes[row]])
