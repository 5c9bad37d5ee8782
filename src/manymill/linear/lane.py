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
from manymill.data.ledger import Ledger
from manymill.data.plan import Plan
from manymill.data.reading import read
from manymill.data.shuffling import Window, windows
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


class Lane:
    """One ordered stream of rows, read and hashed ahead of the learner that takes them.

    Parameters
    ----------
    plan : Plan
        What is read.
    settings : Settings
        How text becomes rows, in which order, and which rows are held out.
    executor : Executor
        Threads that parse and hash.
    threads : int
        How many of them: decides how far ahead they work, never what comes out.
    classes : sequence of str
        Classes known to exist, besides those of the plan's sample.
    ledger : Ledger
        Told of every batch of the first visit, with its bad rows.
    on_new_classes : callable
        Told the names of classes that are met first now.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        *,
        executor: Executor,
        threads: int,
        classes: Sequence[str],
        ledger: Ledger,
        on_new_classes: Callable[[tuple[str, ...]], None],
    ) -> None:
        self.index = ClassIndex([*classes, *plan.class_counts])
        self.holdout = Holdout()
        self._plan, self._settings, self._executor = plan, settings, executor
        self._look_ahead = 2 * threads
        self._ledger, self._on_new_classes = ledger, on_new_classes
        # Rows that are counted first are divided by their norm once they are weighed.
        norm = settings.norm if settings.feature_weights is None else None
        self._maker = RowMaker(replace(settings.analyzer, norm=norm), executor, self._look_ahead)
        self.feature_weights: NDArray[np.float32] | None = None
        self._is_first = True
        self._class_weights = ClassWeights(settings.class_weight)
        self._share_held_out = settings.holdout_share(plan.n_rows, plan.text_bytes)
        self._kept: list[Lesson] | None = None

    def lessons(self, pass_number: int) -> Iterator[Lesson]:
        """The lessons of a pass, numbered from 0. Small data is read and hashed in the first visit only."""
        if self._kept is not None:
            return self._again(self._kept, pass_number)
        if self._is_first and kept_row_bytes(self._plan, self._settings):
            return self._keeping(self._fresh(pass_number))
        return self._fresh(pass_number)

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

    def _fresh(self, pass_number: int) -> Iterator[Lesson]:
        settings, plan, first = self._settings, self._plan, self._is_first
        batches: Iterable[Batch] = read(
            plan,
            seed=settings.seed,
            pass_number=pass_number,
            keyed=self._share_held_out > 0,
            executor=self._executor,
            look_ahead=self._look_ahead,
        )
        if first:
            batches = self._noting(batches)
        n_bytes = 0
        shuffled = windows(
            batches, window_bytes=settings.window_bytes, seed=settings.seed, pass_number=pass_number
        )
        while (window := next(shuffled, None)) is not None:
            start = n_bytes / max(1, plan.source_bytes)
            n_bytes += sum(batch.n_bytes for batch in window.batches)
            stop = min(1.0, n_bytes / max(1, plan.source_bytes))
            yield from self._taught(window, first=first, span=(start, stop))
            # The text of this window goes before that of the next one is read.
            del window
        self._is_first = False

    def _taught(self, window: Window, *, first: bool, span: tuple[float, float]) -> Iterator[Lesson]:
        """The lessons of a window; ``span`` is its share of the pass."""
        new = self.index.add(name for batch in window.batches if batch.label for name in batch.label.names)
        if new:
            self._on_new_classes(new)
        rows = Rows(window, self.index)
        held = rows.held_out(self._share_held_out)
        rows.weigh(self._class_weights, self.index, ~held, count=first)
        if first:
            for part in rows.slices(held):
                self.holdout.add(self._maker.rows(part), part.classes)
        slices = list(rows.slices(~held))
        start, stop = span
        for i, (part, hashed) in enumerate(self._maker.ahead(slices)):
            share = start + (stop - start) * (i + 1) / len(slices)
            yield Lesson(hashed, part.classes, part.weights, len(self.index), share)

    def _noting(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
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
            lesson = kept[which]
            order = generator.permutation(len(lesson.classes)).astype(np.uint32)
            yield replace(
                lesson,
                rows=lesson.rows.take(order),
                classes=lesson.classes[order],
                weights=None if lesson.weights is None else lesson.weights[order],
                n_classes=len(self.index),
                share=(i + 1) / len(kept),
            )
