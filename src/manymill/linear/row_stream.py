"""The whole of a worker's work: partitions in, lessons out, learnt in order.

In: a plan. Out: lessons, rows of features with their classes, in an order that the plan and the seed decide.

::

    read ─► window ─► held out? ─► slices of about 1 MB ─► hash, on other threads ─► lessons, in order

Slices of a window are hashed ahead of the learner on as many threads as there are; the learner takes them in
order, so the model never depends on the number of threads.

A window of documents cut into slices: what one task hashes, and what one lesson teaches.

Slices of documents turned into rows of features, ahead of whoever takes them, in order.

How large rows of features become, and whether a training keeps them between its passes: known from the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import Batch, Documents
from manymill.data.blocks import locate_row
from manymill.data.dataset import Dataset, Plan
from manymill.data.ledger import Ledger
from manymill.data.reader import Window, read, windows
from manymill.engine.local import map_in_order, workers
from manymill.errors import MemoryLimitError
from manymill.linear.holdout import HashedRows, Holdout
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, ClassWeights
from manymill.model import Analyzer
from manymill.model.rows import RowHasher

# Text hashed by one task: large enough that starting a task costs nothing, small enough that few are in
# flight.
SLICE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows picked from the batches of a window, not hashed yet."""

    documents: list[Documents]  # of the whole window
    chunk_of: NDArray[np.uint32]  # (n_rows,)
    row_of: NDArray[np.uint32]  # (n_rows,)
    classes: NDArray[np.int32]  # (n_rows,)
    weights: NDArray[np.float32] | None  # (n_rows,); None: every row weighs 1


class Rows:
    """All rows of a window in their shuffled order, with what training needs to know of each."""

    def __init__(self, window: Window, index: ClassIndex) -> None:
        batches = self._batches = window.batches
        self._chunk_of, self._row_of = window.chunk_of, window.row_of
        self._order = window.order
        self._documents = [batch.documents for batch in batches]
        self._n_bytes = np.concatenate([np.diff(batch.offsets) for batch in batches]).take(self._order)
        self.classes = np.concatenate([_codes(batch, index) for batch in batches]).take(self._order)
        self._weights = self._own_weights()

    def _own_weights(self) -> NDArray[np.float32] | None:
        if all(batch.weight is None for batch in self._batches):
            return None
        columns = [np.ones(len(b), np.float32) if b.weight is None else b.weight for b in self._batches]
        return np.concatenate(columns).take(self._order)

    def weigh(
        self, class_weights: ClassWeights, index: ClassIndex, learnt: NDArray[np.bool_], *, count: bool
    ) -> None:
        """Multiply each row's weight by that of its class."""
        by_class = class_weights.update(self.classes[learnt], index, count=count)
        if by_class is not None:
            own = np.float32(1.0) if self._weights is None else self._weights
            self._weights = by_class[self.classes] * own

    def held_out(self, share: float) -> NDArray[np.bool_]:
        """Which rows are held out, ``(n_rows,)``, by a hash of the text: equal texts go together."""
        if not share:
            return np.zeros(len(self.classes), np.bool_)
        keys = np.concatenate([_keys(batch) for batch in self._batches]).take(self._order)
        return keys < np.uint64(min(share * 2.0**64, 2.0**64 - 2048))

    def slices(self, chosen: NDArray[np.bool_]) -> Iterator[Slice]:
        """The chosen rows in slices of about ``SLICE_BYTES`` of text."""
        picks = np.flatnonzero(chosen)
        if not len(picks):
            return
        ends = np.cumsum(self._n_bytes[picks])
        cuts = np.flatnonzero(np.diff(ends // SLICE_BYTES)) + 1
        for part in np.split(picks, cuts):
            weights = None if self._weights is None else self._weights[part]
            yield Slice(
                self._documents, self._chunk_of[part], self._row_of[part], self.classes[part], weights
            )


def whole(batch: Batch, index: ClassIndex | None) -> Slice:
    """All rows of a batch in their own order; without an index their classes are all -1."""
    n = len(batch)
    codes = np.full(n, -1, np.int32) if index is None else _codes(batch, index)
    return Slice([batch.documents], np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32), codes, None)


def _keys(batch: Batch) -> NDArray[np.uint64]:
    assert batch.keys is not None, "rows that may be held out are read with their keys"
    return batch.keys


def _codes(batch: Batch, index: ClassIndex) -> NDArray[np.int32]:
    assert batch.label is not None, "training reads labels"
    return index.encode(batch.label)


class RowMaker:
    """An analyzer, ready to be applied on other threads.

    Parameters
    ----------
    analyzer : Analyzer
        How a document becomes a row.
    executor : Executor or None
        Threads that hash; None: the thread that takes the rows does.
    look_ahead : int
        Slices in hand at a time.
    feature_weights : ndarray of float32, shape (n_features,), optional
        What each value is multiplied by before the row is divided by its norm.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        executor: Executor | None,
        look_ahead: int,
        feature_weights: NDArray[np.float32] | None = None,
    ) -> None:
        self._executor, self._look_ahead = executor, look_ahead
        self._hasher = RowHasher(analyzer, feature_weights)

    def rows(self, part: Slice) -> _core.Rows:
        """The rows of a slice."""
        texts = [chunk for chunk in part.documents if isinstance(chunk, tuple)]
        if texts:
            return self._hasher.rows(texts, part.chunk_of, part.row_of)
        hashed = [chunk for chunk in part.documents if not isinstance(chunk, tuple)]
        return self._hasher.rows_of_hashed(hashed, part.chunk_of, part.row_of)

    def ahead(self, slices: Iterable[Slice]) -> Iterator[tuple[Slice, _core.Rows]]:
        """Slices and their rows in order; a bounded number of them is hashed ahead."""
        if self._executor is None:
            return map(self._paired, slices)
        return map_in_order(self._paired, slices, executor=self._executor, look_ahead=self._look_ahead)

    def _paired(self, part: Slice) -> tuple[Slice, _core.Rows]:
        return part, self.rows(part)


def rows_of(
    X: Any, analyzer: Analyzer, feature_weights: NDArray[np.float32] | None, *, threads: int
) -> Iterator[_core.Rows]:
    """The rows of texts in their own order, some at a time.

    Parameters
    ----------
    X : Dataset or sequence of str
        Texts: a list, NumPy array, Arrow array, pandas or polars column; or what :func:`manymill.scan` gives.
    analyzer : Analyzer
        How a document becomes a row.
    feature_weights : ndarray of float32, shape (n_features,), or None
        What each value is multiplied by before the row is divided by its norm.
    threads : int
        Threads that hash.

    Raises
    ------
    SchemaError
        If there is no text, one is missing, or one is no string.
    """
    if not isinstance(X, Dataset):
        # Here, since files are trained on without Arrow.
        from manymill.data.memory import complete_texts

        X = Dataset.from_memory(complete_texts(X))
    plan = X.plan()
    ahead = threads > 1 or not plan.is_hashed
    with workers(threads) if ahead else nullcontext() as executor:
        batches = read(plan, executor=executor, look_ahead=2 * threads)
        maker = RowMaker(analyzer, executor, 2 * threads, feature_weights)
        for _, rows in maker.ahead(whole(batch, None) for batch in batches if len(batch)):
            yield rows


# Rows kept from the first pass for the others if all of them fit: about 35 MB of text in words and pairs of words.
# A property of the plan, not of the machine: the order of later passes depends on it.
CACHE_BYTES = 80 << 20

# Bytes of rows for a byte of text by the longest n-gram: 8 bytes for a distinct feature. Measured on six corpora:
# 0.5 to 0.94, 1.3 to 2.1 and 2.3 to 3.5.
_ROW_BYTES_PER_BYTE = {1: 1.0, 2: 2.2, 3: 3.6}
_PER_FURTHER_WORD = 1.4


def state_bytes(n_features: int, n_outputs: int) -> int:
    """Bytes of a learner's weights and squared-gradient sums at most, as ``rust/src/learn/table.rs`` lays them out."""
    if n_outputs == 1:
        return 8 * n_features
    filled_up = 4 if n_outputs < 32 else 8
    block = -(-(n_outputs + 1) // filled_up) * filled_up
    return 4 * n_features * (block + 1)


def count_bytes(settings: Settings, n_features: int, n_classes: int) -> int:
    """Bytes of the counts that feature weights are made of, at most."""
    if settings.feature_weights is None:
        return 0
    columns = n_classes if settings.feature_weights == "nb" else 1
    return 4 * n_features * (columns + (columns > 2))


def row_bytes_per_byte(settings: Settings) -> float:
    """Bytes of rows for a byte of text, at most on ordinary text."""
    longest = settings.ngram_range[1]
    return _ROW_BYTES_PER_BYTE[min(3, longest)] + _PER_FURTHER_WORD * max(0, longest - 3)


def kept_row_bytes(plan: Plan, settings: Settings) -> int:
    """Bytes of rows that are kept between passes; 0 if there is one visit, or too much text to keep them."""
    n_bytes = int(plan.text_bytes * row_bytes_per_byte(settings))
    visits = settings.passes + (settings.feature_weights is not None)
    return n_bytes if visits > 1 and n_bytes <= CACHE_BYTES else 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """Rows to learn, in order."""

    rows: _core.Rows
    classes: NDArray[np.int32]  # (n_rows,)
    weights: NDArray[np.float32] | None  # (n_rows,); None: every row weighs 1
    n_classes: int  # known when the lesson was made: the learner must have room for them
    share: float  # of the pass that is over after this lesson, 0 to 1

    def taken(self, order: NDArray[np.uint32]) -> Lesson:
        """The lesson with its rows in another order."""
        return replace(
            self,
            rows=self.rows.take(order),
            classes=self.classes[order],
            weights=None if self.weights is None else self.weights[order],
        )


def joined(lessons: Sequence[Lesson]) -> Lesson | None:
    """The rows of several lessons as one; None if there are none. The lessons' own rows are copied."""
    if not lessons:
        return None
    indptr, indices, values = zip(*(lesson.rows.arrays() for lesson in lessons), strict=True)
    n_before = np.cumsum([0, *(len(part) for part in indices)])
    starts = [part[:-1] + before for part, before in zip(indptr, n_before, strict=False)]
    weighted = any(lesson.weights is not None for lesson in lessons)
    return replace(
        lessons[-1],
        rows=_core.Rows.from_arrays(
            np.concatenate([*starts, n_before[-1:]]), np.concatenate(indices), np.concatenate(values)
        ),
        classes=np.concatenate([lesson.classes for lesson in lessons]),
        weights=np.concatenate([_weights(lesson) for lesson in lessons]) if weighted else None,
    )


def _weights(lesson: Lesson) -> NDArray[np.float32]:
    return np.ones(len(lesson.classes), np.float32) if lesson.weights is None else lesson.weights


class Lane:
    """One ordered stream of rows, read and hashed ahead of the learner that takes them.

    Parameters
    ----------
    plan : Plan
        What is read.
    settings : Settings
        How text becomes rows, in which order, and which rows are held out.
    executor : Executor or None
        Threads that parse and hash; None: all is done by the thread that takes the lessons.
    threads : int
        How many of them: decides how far ahead they work, never what comes out.
    classes : sequence of str
        Classes known to exist, besides those of the plan's sample.
    ledger : Ledger
        Told of every batch of the first visit, with its bad rows.
    on_new_classes : callable
        Called with how many classes are known, the names of those that are met first now, and where the first of them
        is, before they are learnt. If it raises ``MemoryLimitError``, the rows of known classes of the window are still
        given, then the error is raised.
    on_window : callable
        Told how many windows of the pass have been learnt whenever one more has, before the next is read.
    feature_weights : ndarray of float32, shape (n_features,), optional
        What values are multiplied by, if that is known.
    first : bool
        Whether the first visit is the first: rows are held out, classes and bad rows are counted.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        *,
        executor: Executor | None,
        threads: int,
        classes: Sequence[str],
        ledger: Ledger,
        on_new_classes: Callable[[int, tuple[str, ...], str], None] = lambda n_known, names, where: None,
        on_window: Callable[[int], None] = lambda number: None,
        feature_weights: NDArray[np.float32] | None = None,
        first: bool = True,
    ) -> None:
        self.index = ClassIndex([*classes, *plan.class_counts])
        self.holdout = Holdout()
        self._plan, self._settings, self._executor = plan, settings, executor
        self._look_ahead = 2 * threads
        self._ledger, self._on_new_classes, self.on_window = ledger, on_new_classes, on_window
        self._skips = False
        self.refusal: MemoryLimitError | None = None  # there was no room for classes that were met
        # Rows that are counted first are divided by their norm once they are weighed.
        counted = settings.feature_weights is not None and feature_weights is None
        analyzer = replace(settings.analyzer, norm=None) if counted else settings.analyzer
        self._maker = RowMaker(analyzer, executor, self._look_ahead, feature_weights)
        self.feature_weights = feature_weights
        self._is_first = first
        self._class_weights = ClassWeights(settings.class_weight)
        self._share_held_out = settings.holdout_share(plan.n_rows, plan.text_bytes)
        self._kept: list[Lesson] | None = None

    def lessons(self, pass_number: int, skip: int = 0) -> Iterator[Lesson]:
        """The lessons of a pass, numbered from 0. Small data is read and hashed in the first visit only.

        Parameters
        ----------
        pass_number : int
        skip : int
            Windows that were learnt before, by a training that this one goes on with; they are read and passed over.
        """
        if self.keeps:
            if pass_number and self._is_first:  # an earlier training has had the first pass
                for _ in self._keeping(self.read(0)):
                    pass
            if self._kept is not None:
                return self._again(self._kept, pass_number)
            if self._is_first:
                return self._keeping(self.read(pass_number))
        return self.read(pass_number, skip=skip)

    @property
    def keeps(self) -> bool:
        """Whether rows are kept between passes: what the first pass found is then found again, not restored."""
        return kept_row_bytes(self._plan, self._settings) > 0

    def restore(
        self,
        classes: Sequence[str],
        class_rows: Sequence[int],
        held_out: Iterable[HashedRows],
        *,
        first: bool,
        feature_weights: NDArray[np.float32] | None,
    ) -> None:
        """Know what an earlier training found in its first visit, over or not."""
        self.index = ClassIndex.in_order(classes)
        self._class_weights.counts = np.array(class_rows, np.int64)
        self._is_first = first
        if feature_weights is not None:
            self.weigh(feature_weights)
        for rows, codes in held_out:
            self.holdout.add(rows, codes)

    def begin_again(self) -> None:
        """Forget what the first visit found besides classes: the next one is the first again."""
        self._ledger.resume(0, {}, ())
        self.holdout, self._kept = Holdout(), None
        self._class_weights = ClassWeights(self._settings.class_weight)

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Rows of each class that balanced weights count."""
        return tuple(self._class_weights.counts.tolist())

    def weigh(self, feature_weights: NDArray[np.float32]) -> None:
        """Multiply the values of all rows from now on by the weights of their features, ``(n_features,)``."""
        norm = self._settings.norm
        self.feature_weights = feature_weights
        self._maker = RowMaker(self._settings.analyzer, self._executor, self._look_ahead, feature_weights)
        self.holdout.weigh(feature_weights, norm)
        for i, lesson in enumerate(self._kept or ()):
            assert self._kept is not None
            self._kept[i] = replace(lesson, rows=lesson.rows.weighted(feature_weights, norm))

    @property
    def n_bad(self) -> int:
        """Bad rows met in the first pass."""
        return self._ledger.n_rejected

    def read(
        self, pass_number: int, blocks: Sequence[int] | None = None, *, skip: int = 0
    ) -> Iterator[Lesson]:
        """The lessons of some blocks in a pass, read and hashed; of all blocks with None."""
        settings, plan, first = self._settings, self._plan, self._is_first
        batches: Iterable[Batch] = read(
            plan,
            order=blocks,
            seed=settings.seed,
            pass_number=pass_number,
            keyed=self._share_held_out > 0,
            executor=self._executor,
            look_ahead=self._look_ahead,
        )
        if first:
            batches = self._noting(batches)
        n_bytes = number = 0
        self._skips = skip > 0
        shuffled = windows(
            batches, window_bytes=settings.window_bytes, seed=settings.seed, pass_number=pass_number
        )
        while (window := next(shuffled, None)) is not None:
            start = n_bytes / max(1, plan.source_bytes)
            n_bytes += sum(batch.n_bytes for batch in window.batches)
            stop = min(1.0, n_bytes / max(1, plan.source_bytes))
            number += 1
            if number > skip:
                yield from self._taught(window, first=first, span=(start, stop))
                self.on_window(number)
            self._skips = number < skip
            # The text of this window goes before that of the next one is read.
            del window
        self._is_first = False

    def _taught(self, window: Window, *, first: bool, span: tuple[float, float]) -> Iterator[Lesson]:
        """The lessons of a window; ``span`` is its share of the pass."""
        refusal = self._number_classes(window)
        rows = Rows(window, self.index)
        known = rows.classes >= 0  # all of them, unless further classes were refused
        held = rows.held_out(self._share_held_out)
        learnt = ~held & known
        rows.weigh(self._class_weights, self.index, learnt, count=first)
        if first:
            for part in rows.slices(held & known):
                self.holdout.add(self._maker.rows(part), part.classes)
        slices = list(rows.slices(learnt))
        start, stop = span
        for i, (part, hashed) in enumerate(self._maker.ahead(slices)):
            share = start + (stop - start) * (i + 1) / len(slices)
            yield Lesson(hashed, part.classes, part.weights, len(self.index), share)
        if refusal is not None:
            raise refusal

    def _number_classes(self, window: Window) -> MemoryLimitError | None:
        """Number the classes that are met first in this window; the error if there is no room for them."""
        labels = [batch.label for batch in window.batches if batch.label is not None]
        new = self.index.missing(name for label in labels for name in label.names)
        if not new:
            return None
        try:
            self._on_new_classes(len(self.index), new, self._place_of(new[0], window))
        except MemoryLimitError as error:
            self.refusal = error
            return error
        self.index.add(new)
        return None

    def _place_of(self, name: str, window: Window) -> str:
        """The file and the place of the first row of a class in a window."""
        for batch in window.batches:
            if batch.label is None or name not in batch.label.names:
                continue
            rows = np.flatnonzero(batch.label.codes == batch.label.names.index(name))
            if len(rows):
                return ", ".join(locate_row(self._plan, batch, int(rows[0])))
        return ""

    def _noting(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if not self._skips:
                self._ledger.add(batch)
            yield batch

    def other_rows(self, plan: Plan) -> Iterator[HashedRows]:
        """The rows of another plan in its own order, with their classes; -1 for one that is not learnt."""
        batches = read(plan, executor=self._executor, look_ahead=self._look_ahead)
        for part, hashed in self._maker.ahead(whole(batch, self.index) for batch in batches if len(batch)):
            yield hashed, part.classes

    def _keeping(self, lessons: Iterator[Lesson]) -> Iterator[Lesson]:
        """The same lessons, kept for the next passes; all of them are dropped if the plan's estimate was too low."""
        kept: list[Lesson] = []
        n_bytes = 0
        for lesson in lessons:
            n_bytes += lesson.rows.nbytes
            if n_bytes <= CACHE_BYTES:
                kept.append(lesson)
            else:
                kept.clear()
            yield lesson
        if n_bytes <= CACHE_BYTES:
            self._kept = kept

    def _again(self, kept: list[Lesson], pass_number: int) -> Iterator[Lesson]:
        """The lessons of the first pass in a new order: lessons among each other, rows inside each."""
        generator = np.random.default_rng([self._settings.seed, pass_number])
        for i, which in enumerate(generator.permutation(len(kept))):
            order = generator.permutation(len(kept[which].classes)).astype(np.uint32)
            lesson = kept[which].taken(order)
            yield replace(lesson, n_classes=len(self.index), share=(i + 1) / len(kept))
