"""Rows of the classes that were asked for; those of another are left out, and counted."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np

from manymill.data.batches import NO_ROOM, TOO_LONG, BadRow, Batch
from manymill.data.labels import Labels
from manymill.data.parsing import Parses
from manymill.data.plan import Plan

OTHER_CLASS = "other class"
# More bad rows than any ledger shows are not described.
_KEPT_BAD_ROWS = 1000


def filtered(plan: Plan, parses: Parses) -> Parses:
    """What gives batches, as what gives batches of the plan's classes alone."""
    assert plan.dataset.classes is not None
    classes = frozenset(plan.dataset.classes)
    with closing(parses):
        for parse in parses:
            yield parse.then(lambda batch: keep_classes(plan, batch, classes))


def explained(plan: Plan, parses: Parses) -> Parses:
    """The same batches; a record for which the promised memory has no room says so, and how much it needs."""
    with closing(parses):
        for parse in parses:
            yield parse.then(partial(_explain, plan))


def _explain(plan: Plan, batch: Batch) -> Batch:
    if TOO_LONG not in batch.bad_counts:
        return batch
    detail = (
        f"more than {plan.record_room:,} bytes need {plan.record_memory / 1e6:,.0f} MB of memory; raise --memory or "
        "lower --max-record"
    )
    bad = [
        replace(row, reason=NO_ROOM, detail=detail) if row.reason == TOO_LONG else row for row in batch.bad
    ]
    counts = {NO_ROOM if reason == TOO_LONG else reason: n for reason, n in batch.bad_counts.items()}
    return replace(batch, bad=tuple(bad), bad_counts=counts)


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
