"""Sample of a plan's rows by which settings are compared: rows to learn, and rows that judge, which nothing counts.

::

    key of a text   0 ─── held out ─── judging ─── training ─── the rest ─── 2^64

Rows are taken by a hash of their text: equal texts stay together, and the rows that training holds out are not touched.
The sample depends on data, plan and seed only.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from manymill.data.batches import Batch, Documents
from manymill.data.dataset import Plan
from manymill.data.reader import read
from manymill.data.tails import Tails, with_ends
from manymill.engine import interrupts
from manymill.linear.row_stream import SLICE_BYTES, Slice
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, ClassWeights

# Fewer rows that judge cannot tell half a point apart; fewer to learn say little about a training of all.
MIN_JUDGING = MIN_TRAINING = 5_000

# Rows of the sample: a share of the plan's rows, within bounds that keep the time in proportion to that of a training.
_SHARE, _LEAST, _MOST = 0.05, 13_000, 50_000

# A share of the sample judges, and enough rows that their number by the hash is above the minimum.
_JUDGING_SHARE, _LEAST_JUDGING = 0.2, 5_400

# The text of the sample, which is in memory, and of the rows that it is taken from: the first ones of a pass.
_TEXT_BYTES = 32 << 20
_READ_BYTES = 64 << 20

# Id of the random stream of the order of its rows, besides those of ``data/reader.py``.
_ORDER_STREAM = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows in random order, before hashing."""

    training: list[Slice]
    judging: list[Slice]
    index: ClassIndex
    text_bytes: int

    @property
    def n_training(self) -> int:
        """Number of rows to learn."""
        return sum(len(part.classes) for part in self.training)

    @property
    def n_judging(self) -> int:
        """Number of rows that judge."""
        return sum(len(part.classes) for part in self.judging)


def sample_rows(
    plan: Plan, settings: Settings, classes: Sequence[str], executor: Executor | None, look_ahead: int
) -> Sample | None:
    """A sample of the rows that training learns; None if there are too few of them.

    Parameters
    ----------
    plan : Plan
    settings : Settings
        The rows to hold out, the weights of classes and the seed.
    classes : sequence of str
        Known classes, besides those of the plan; rows of others are left out.
    executor : Executor or None
        Threads that read.
    look_ahead : int
        Number of batches to read ahead.
    """
    shares = _shares(plan, settings)
    if shares is None:
        return None
    held_out, judging, training = shares
    tails = None
    if settings.holdout_tail is not None:
        assert executor is not None
        tails = Tails(with_ends(plan, executor), settings.holdout_tail)
    index = ClassIndex([*classes, *plan.class_counts])
    bounds = np.array([_key(held_out), _key(held_out + judging), _key(held_out + judging + training)])
    judges, learnt = _Rows(index), _Rows(index)
    n_bytes = 0
    batches = read(plan, seed=settings.seed, keyed=True, executor=executor, look_ahead=look_ahead)
    with closing(batches):  # type: ignore[type-var]
        for batch in batches:
            interrupts.raise_if_requested()
            if not len(batch):
                continue
            assert batch.keys is not None
            place = np.searchsorted(bounds, batch.keys, side="right")
            if tails is not None:
                place[tails.mask(batch)] = 0
            judges.add(batch, np.flatnonzero(place == 1))
            learnt.add(batch, np.flatnonzero(place == 2))
            n_bytes += batch.text_bytes
            if n_bytes >= _READ_BYTES:
                break
    if judges.n_rows < MIN_JUDGING or learnt.n_rows < MIN_TRAINING:
        return None
    weights = ClassWeights(settings.class_weight)
    rng = np.random.default_rng((settings.seed, _ORDER_STREAM))
    parts = [rows.slices(rng, weights, count=rows is learnt) for rows in (learnt, judges)]
    return Sample(parts[0], parts[1], index, judges.text_bytes + learnt.text_bytes)


def sample_text_bytes(plan: Plan, settings: Settings) -> int:
    """Expected bytes of the text of a sample; 0 if there are too few rows for one."""
    shares = _shares(plan, settings)
    if shares is None:
        return 0
    return int(sum(shares[1:]) * min(plan.text_bytes, _READ_BYTES))


def _shares(plan: Plan, settings: Settings) -> tuple[float, float, float] | None:
    """The shares of the rows read that are held out, judge, and are learnt."""
    n_rows = max(1, plan.n_rows)
    held_out = 0.0 if settings.holdout_tail else settings.holdout_share(n_rows, plan.text_bytes)
    # Rows in the tails are read, too, but left out.
    n_read = n_rows * min(1.0, _READ_BYTES / max(1, plan.text_bytes)) * (1 - (settings.holdout_tail or 0))
    by_text = _TEXT_BYTES * n_rows / max(1, plan.text_bytes)
    size = min(max(_LEAST, min(_MOST, _SHARE * n_rows)), by_text, (1 - held_out) * n_read)
    n_judging = max(_LEAST_JUDGING, _JUDGING_SHARE * size)
    if size - n_judging < MIN_TRAINING:
        return None
    return held_out, n_judging / n_read, (size - n_judging) / n_read


def _key(share: float) -> np.uint64:
    return np.uint64(min(share * 2.0**64, 2.0**64 - 2048))


class _Rows:
    """Rows picked from batches, with copies of their texts only."""

    def __init__(self, index: ClassIndex) -> None:
        self._index = index
        self._documents: list[Documents] = []
        self._classes: list[NDArray[np.int32]] = []
        self._weights: list[NDArray[np.float32] | None] = []
        self._sizes: list[NDArray[np.int64]] = []
        self.n_rows = self.text_bytes = 0

    def add(self, batch: Batch, picks: NDArray[np.intp]) -> None:
        """Add rows of a batch, without those of unknown classes."""
        assert batch.label is not None
        codes = self._index.encode(batch.label)
        picks = picks[codes[picks] >= 0]
        if not len(picks):
            return
        sizes = np.diff(batch.offsets)[picks]
        self._documents.append(_picked(batch, picks))
        self._classes.append(codes[picks])
        self._weights.append(None if batch.weight is None else batch.weight[picks])
        self._sizes.append(sizes)
        self.n_rows += len(picks)
        self.text_bytes += int(sizes.sum())

    def slices(self, rng: np.random.Generator, class_weights: ClassWeights, *, count: bool) -> list[Slice]:
        """All rows in random order."""
        counts = [len(part) for part in self._classes]
        order = rng.permutation(self.n_rows)
        chunk_of = np.repeat(np.arange(len(counts), dtype=np.uint32), counts)[order]
        row_of = np.concatenate([np.arange(n, dtype=np.uint32) for n in counts])[order]
        codes = np.concatenate(self._classes)
        weights = self._row_weights(class_weights.update(codes, self._index, count=count), codes)
        ends = np.cumsum(np.concatenate(self._sizes)[order])
        cuts = np.flatnonzero(np.diff(ends // SLICE_BYTES)) + 1
        whole = Slice(
            self._documents, chunk_of, row_of, codes[order], None if weights is None else weights[order]
        )
        return [part_of(whole, rows) for rows in np.split(np.arange(self.n_rows), cuts)]

    def _row_weights(
        self, by_class: NDArray[np.float32] | None, codes: NDArray[np.int32]
    ) -> NDArray[np.float32] | None:
        own = None
        if any(part is not None for part in self._weights):
            ones = (np.ones(len(part), np.float32) for part in self._classes)
            own = np.concatenate(
                [one if part is None else part for part, one in zip(self._weights, ones, strict=True)]
            )
        if by_class is None:
            return own
        return by_class[codes] if own is None else by_class[codes] * own


def _picked(batch: Batch, picks: NDArray[np.intp]) -> Documents:
    if batch.hashed is not None:
        return batch.hashed[picks]
    data, offsets = batch.data, batch.offsets
    starts = np.concatenate([[0], np.cumsum(np.diff(offsets)[picks])])
    return np.concatenate([data[offsets[i] : offsets[i + 1]] for i in picks.tolist()]), starts


def part_of(part: Slice, rows: NDArray[np.intp] | slice) -> Slice:
    """Some rows of a slice."""
    return replace(
        part,
        chunk_of=part.chunk_of[rows],
        row_of=part.row_of[rows],
        classes=part.classes[rows],
        weights=None if part.weights is None else part.weights[rows],
    )
