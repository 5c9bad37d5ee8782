"""The whole of a worker's work: partitions in, lessons out, learnt in order.

In: a plan. Out: lessons, rows of features with their classes, in an order that the plan and the seed decide.

::

    read ─► window ─► held out? ─► slices of about 1 MB ─► hash, on other threads ─► lessons, in order

Slices of a window are hashed ahead of the learner on as many threads as there are; the learner takes them in
order, so the model never depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import Batch
from manymill.data.blocks import place_of
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.data.reader import Window, read, windows
from manymill.errors import MemoryLimitError
from manymill.linear.classes import ClassIndex, ClassWeights
from manymill.linear.hashing import RowMaker
from manymill.linear.holdout import HashedRows, Holdout
from manymill.linear.settings import Settings
from manymill.linear.sizes import CACHE_BYTES, kept_row_bytes
from manymill.linear.slices import Rows, whole


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
        self._ledger.go_on(0, {}, ())
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
                return ", ".join(place_of(self._plan, batch, int(rows[0])))
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
