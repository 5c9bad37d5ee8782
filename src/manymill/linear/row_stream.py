"""Stream of feature batches: the rows of a plan, shuffled, hashed and split into training and held-out rows.

::

    read ─► window ─► held out? ─► slices of about 1 MB ─► hash, on other threads ─► feature batches, in order

Slices of a window are hashed ahead of the learner on the executor's threads; the learner takes them in order, so the
model does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import Batch, Documents
from manymill.data.blocks import locate_row
from manymill.data.dataset import Dataset, Plan
from manymill.data.ledger import Ledger
from manymill.data.reader import Window, read, windows
from manymill.data.tails import Tails
from manymill.engine.local import map_in_order, workers
from manymill.errors import MemoryLimitError
from manymill.linear.holdout import HashedRows, Holdout
from manymill.linear.recipe import feature_bytes
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, ClassWeights
from manymill.model import Analyzer
from manymill.model.rows import RowHasher

_Item = TypeVar("_Item")

# Text hashed by one task: large enough to make the cost of starting it negligible, small enough for few in flight.
SLICE_BYTES = 1 << 20

# Rows are cached after the first pass if all of them fit: about 40 MB of text in words, pairs of words and 3-grams of
# characters. This depends on the plan and not on the machine, since it changes the order of later passes.
CACHE_BYTES = 256 << 20

# Bytes of rows per byte of text by the longest n-gram, at 8 bytes per distinct feature: in long rows, where features
# repeat, and how much more in short ones; see ``_per_byte``. Upper bounds on pieces of five corpora, of 10 to 1,200
# bytes.
_WORDS_PER_BYTE = {1: 1.0, 2: 2.2, 3: 3.6}
_PER_FURTHER_WORD = 1.4
_MORE_WORDS = 1.0
# Scripts without spaces: each letter is a word.
_UNSPACED_WORDS, _MORE_UNSPACED_WORDS = 4.4, 2.6

# The same for each length of n-grams of characters; fewer repeat, or end with a word, in the case of the factor.
_CHARS, _MORE_CHARS = 2.6, 4.4
_UNSPACED_CHARS, _MORE_UNSPACED_CHARS = 2.3, 1.6
_LOOSE_CHARS = 1.25

# Bytes of a row at which half of its features that would repeat in long rows do so.
_REPEATING_BYTES = 400

# Besides these: where the row starts, its class, and that no space follows its last feature.
_BYTES_PER_ROW = 20

# UTF-8 bytes of a letter of a script without spaces.
_UNSPACED_LETTER = 3


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows selected from the batches of a window, before hashing."""

    documents: list[Documents]  # all documents of the window
    chunk_of: NDArray[np.uint32]  # (n_rows,)
    row_of: NDArray[np.uint32]  # (n_rows,)
    classes: NDArray[np.int32]  # (n_rows,)
    weights: NDArray[np.float32] | None  # (n_rows,); None: every row weighs 1


class WindowRows:
    """All rows of a window in shuffled order, with their classes and weights."""

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

    def apply_class_weights(
        self, class_weights: ClassWeights, index: ClassIndex, training: NDArray[np.bool_], *, count: bool
    ) -> None:
        """Multiply each row's weight by that of its class."""
        by_class = class_weights.update(self.classes[training], index, count=count)
        if by_class is not None:
            own = np.float32(1.0) if self._weights is None else self._weights
            self._weights = by_class[self.classes] * own

    def held_out(self, share: float, tails: Tails | None = None) -> NDArray[np.bool_]:
        """Mask of the held-out rows, ``(n_rows,)``: the tails, or by a hash of the text: equal texts stay together."""
        if tails is not None:
            return np.concatenate([tails.mask(batch) for batch in self._batches]).take(self._order)
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


def all_rows(batch: Batch, index: ClassIndex | None) -> Slice:
    """All rows of a batch in order; without an index their classes are -1."""
    n = len(batch)
    codes = np.full(n, -1, np.int32) if index is None else _codes(batch, index)
    return Slice([batch.documents], np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32), codes, None)


def _keys(batch: Batch) -> NDArray[np.uint64]:
    assert batch.keys is not None, "rows to hold out are read with keys"
    return batch.keys


def _codes(batch: Batch, index: ClassIndex) -> NDArray[np.int32]:
    assert batch.label is not None, "training reads labels"
    return index.encode(batch.label)


class SliceHasher:
    """Hashes slices to rows of features on an executor.

    Parameters
    ----------
    analyzer : Analyzer
        Conversion of documents to rows.
    executor : Executor or None
        Threads that hash; None: the consumer's thread.
    look_ahead : int
        Maximum number of slices in flight.
    table : FeatureTable, optional
        Features in use: see :class:`manymill.model.rows.RowHasher`.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        executor: Executor | None,
        look_ahead: int,
        table: _core.FeatureTable | None = None,
    ) -> None:
        self._executor, self._look_ahead = executor, look_ahead
        self._hasher = RowHasher(analyzer, table)

    def rows(self, part: Slice) -> _core.Rows:
        """The rows of a slice."""
        texts = [chunk for chunk in part.documents if isinstance(chunk, tuple)]
        if texts:
            return self._hasher.rows(texts, part.chunk_of, part.row_of)
        hashed = [chunk for chunk in part.documents if not isinstance(chunk, tuple)]
        return self._hasher.rows_of_hashed(hashed, part.chunk_of, part.row_of)

    def hash_all(self, slices: Iterable[Slice]) -> Iterator[tuple[Slice, _core.Rows]]:
        """Slices with their rows, in order; a limited number is hashed ahead."""
        if self._executor is None:
            return map(self._hashed, slices)
        return map_in_order(self._hashed, slices, executor=self._executor, look_ahead=self._look_ahead)

    def _hashed(self, part: Slice) -> tuple[Slice, _core.Rows]:
        return part, self.rows(part)


def rows_of(
    X: Any, analyzer: Analyzer, table: _core.FeatureTable | None, *, threads: int
) -> Iterator[_core.Rows]:
    """Hash texts to rows, in order, in batches.

    Parameters
    ----------
    X : Dataset or sequence of str
        Texts: a list, NumPy array, Arrow array, pandas or polars column; or what :func:`manymill.scan` gives.
    analyzer : Analyzer
        Conversion of documents to rows.
    table : FeatureTable or None
        Features in use.
    threads : int
        Threads that hash.

    Raises
    ------
    SchemaError
        If there is no text, or a text is missing or not a string.
    """
    if not isinstance(X, Dataset):
        # Imported here, since training on files needs no Arrow.
        from manymill.data.memory import complete_texts

        X = Dataset.from_memory(complete_texts(X))
    plan = X.plan()
    ahead = threads > 1 or not plan.is_hashed
    with workers(threads) if ahead else nullcontext() as executor:
        batches = read(plan, executor=executor, look_ahead=2 * threads)
        hasher = SliceHasher(analyzer, executor, 2 * threads, table)
        for _, rows in hasher.hash_all(all_rows(batch, None) for batch in batches if len(batch)):
            yield rows


def state_bytes(n_features: int, n_outputs: int, *, regularised: bool = False) -> int:
    """Maximum bytes of a learner's state: see :func:`manymill.linear.recipe.feature_bytes`."""
    return n_features * feature_bytes(n_outputs, regularised=regularised)


def row_bytes_per_byte(plan: Plan, settings: Settings) -> float:
    """Maximum bytes of the rows of a plan per byte of ordinary text: short rows repeat few features."""
    words, characters = settings.value_of("ngram_range"), settings.value_of("char_ngram_range")
    mean_bytes = plan.text_bytes / max(1, plan.n_rows)
    shortness = 1.0 / (1.0 + mean_bytes / _REPEATING_BYTES)
    # The share is one of letters.
    letters = plan.unspaced_share
    unspaced = _UNSPACED_LETTER * letters / (1.0 + (_UNSPACED_LETTER - 1) * letters)
    n_bytes = 0.0
    if words is not None:
        spaced = _WORDS_PER_BYTE[min(3, words[1])] + _PER_FURTHER_WORD * max(0, words[1] - 3)
        n_bytes += (1.0 - unspaced) * (spaced + shortness * _MORE_WORDS)
        n_bytes += unspaced * max(spaced, _UNSPACED_WORDS + shortness * _MORE_UNSPACED_WORDS)
    if characters is not None:
        is_loose = characters[0] < 3 or settings.char_analyzer == "char"
        per_length = (1.0 - unspaced) * (_CHARS + shortness * _MORE_CHARS)
        per_length += unspaced * (_UNSPACED_CHARS + shortness * _MORE_UNSPACED_CHARS)
        n_bytes += per_length * (_LOOSE_CHARS if is_loose else 1.0) * (characters[1] - characters[0] + 1)
    # No space follows the last word of a row, and even one letter is a feature.
    return n_bytes + (n_bytes + _BYTES_PER_ROW) / max(1.0, mean_bytes)


def cached_row_bytes(plan: Plan, settings: Settings) -> int:
    """Bytes of rows that are cached between passes; 0 with a single pass, or if there is too much text."""
    n_bytes = int(plan.text_bytes * row_bytes_per_byte(plan, settings))
    n_reads = settings.n_passes + (settings.value_of("feature_weights") is not None)
    return n_bytes if n_reads > 1 and n_bytes <= CACHE_BYTES else 0


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """Hashed rows with classes and weights, to be learnt in order."""

    rows: _core.Rows
    classes: NDArray[np.int32]  # (n_rows,)
    weights: NDArray[np.float32] | None  # (n_rows,); None: every row weighs 1
    n_classes: int  # classes known so far: the learner needs outputs for them
    share: float  # of the pass that is finished after this batch, 0 to 1

    def take(self, order: NDArray[np.uint32]) -> FeatureBatch:
        """A batch of the rows with these indices."""
        return replace(
            self,
            rows=self.rows.take(order),
            classes=self.classes[order],
            weights=None if self.weights is None else self.weights[order],
        )


def concatenate(batches: Sequence[FeatureBatch]) -> FeatureBatch | None:
    """One batch with copies of the rows of several; None without batches."""
    if not batches:
        return None
    indptr, indices, values = zip(*(batch.rows.arrays() for batch in batches), strict=True)
    n_before = np.cumsum([0, *(len(part) for part in indices)])
    starts = [part[:-1] + before for part, before in zip(indptr, n_before, strict=False)]
    weighted = any(batch.weights is not None for batch in batches)
    return replace(
        batches[-1],
        rows=_core.Rows.from_arrays(
            np.concatenate([*starts, n_before[-1:]]), np.concatenate(indices), np.concatenate(values)
        ),
        classes=np.concatenate([batch.classes for batch in batches]),
        weights=np.concatenate([_weights(batch) for batch in batches]) if weighted else None,
    )


def _weights(batch: FeatureBatch) -> NDArray[np.float32]:
    return np.ones(len(batch.classes), np.float32) if batch.weights is None else batch.weights


class Lane:
    """One ordered stream of rows, read and hashed ahead of the learner.

    Parameters
    ----------
    plan : Plan
        Source of the rows.
    settings : Settings
        Conversion of text to rows, their order and the share of held-out rows.
    executor : Executor or None
        Threads that parse and hash; None: the consumer's thread.
    threads : int
        Number of these threads: decides how far ahead they work, never the result.
    classes : sequence of str
        Known classes, besides those of the plan's sample.
    ledger : Ledger
        Counts the rows of the first pass and records its bad rows.
    on_new_classes : callable
        Called before rows of new classes are given, with the number of known classes, the names of the new ones and the
        location of the first. If it raises ``MemoryLimitError``, the window's rows of known classes are still given,
        then the error is raised.
    on_window : callable
        Called after each window, before the next is read, with the number of finished windows of the pass.
    table : FeatureTable, optional
        Features in use with their weights, if they are known already.
    first : bool
        Whether the first pass to read is the first one: it holds rows out and counts classes and bad rows.
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
        table: _core.FeatureTable | None = None,
        first: bool = True,
    ) -> None:
        self.index = ClassIndex([*classes, *plan.class_counts])
        self.holdout = Holdout()
        self._plan, self._settings, self._executor = plan, settings, executor
        self._look_ahead = 2 * threads
        self._ledger, self._on_new_classes, self.on_window = ledger, on_new_classes, on_window
        self._is_skipping = False
        self.refusal: MemoryLimitError | None = None  # there was no memory for new classes
        # Without the table of weights yet, rows are normalised only after it was applied.
        unweighted = settings.feature_weights is not None and table is None
        analyzer = replace(settings.analyzer, norm=None) if unweighted else settings.analyzer
        self._hasher = SliceHasher(analyzer, executor, self._look_ahead, table)
        self.table = table
        self._is_first = first
        self._class_weights = ClassWeights(settings.class_weight)
        self._holdout_share = settings.holdout_share(plan.n_rows, plan.text_bytes)
        tail = settings.holdout_tail
        self._tails = None if tail is None else Tails(plan, tail)
        self._cached: list[FeatureBatch] | None = None

    def feature_batches(self, pass_number: int, skip: int = 0) -> Iterator[FeatureBatch]:
        """The batches of a pass, numbered from 0. Small data is read and hashed in the first pass only.

        Parameters
        ----------
        pass_number : int
        skip : int
            Number of windows to skip, because the training that is resumed has learnt them.
        """
        if self.caches_rows:
            if pass_number and self._is_first:  # resumed after the first pass: fill the cache
                for _ in self._caching(self.read(0)):
                    pass
            if self._cached is not None:
                return self._shuffled(self._cached, pass_number)
            if self._is_first:
                return self._caching(self.read(pass_number))
        return self.read(pass_number, skip=skip)

    @property
    def caches_rows(self) -> bool:
        """Whether rows are cached between passes: a resumed training then repeats the first pass."""
        return cached_row_bytes(self._plan, self._settings) > 0

    def restore(
        self,
        classes: Sequence[str],
        class_rows: Sequence[int],
        held_out: Iterable[HashedRows],
        *,
        first: bool,
        table: _core.FeatureTable | None,
    ) -> None:
        """Restore the classes, counts and held-out rows of the training that is resumed."""
        self.index = ClassIndex.in_order(classes)
        self._class_weights.counts = np.array(class_rows, np.int64)
        self._is_first = first
        if table is not None:
            self.use_table(table)
        for rows, codes in held_out:
            self.holdout.add(rows, codes)

    def reset(self) -> None:
        """Reset everything but the classes: the next pass is the first one."""
        self._ledger.resume(0, {}, ())
        self.holdout, self._cached = Holdout(), None
        self._class_weights = ClassWeights(self._settings.class_weight)

    @property
    def class_rows(self) -> tuple[int, ...]:
        """Rows of each class, for balanced weights."""
        return tuple(self._class_weights.counts.tolist())

    def use_table(self, table: _core.FeatureTable) -> None:
        """Map the features of all cached and later rows to the columns of a table, with their weights."""
        norm = self._settings.norm
        self.table = table
        self._hasher = SliceHasher(self._settings.analyzer, self._executor, self._look_ahead, table)
        self.holdout.use_table(table, norm)
        if self._cached is not None:

            def mapped(batch: FeatureBatch) -> FeatureBatch:
                return replace(batch, rows=batch.rows.mapped(table, norm))

            # Each batch is freed when it is mapped: the rows are never in memory twice.
            before = self._cached[::-1]
            self._cached = []
            self._cached.extend(self._ahead(mapped, (before.pop() for _ in range(len(before)))))

    @property
    def source_bytes(self) -> int:
        """Bytes that a pass reads."""
        return self._plan.source_bytes

    @property
    def n_bad(self) -> int:
        """Bad rows of the first pass."""
        return self._ledger.n_rejected

    def read(
        self, pass_number: int, blocks: Sequence[int] | None = None, *, skip: int = 0
    ) -> Iterator[FeatureBatch]:
        """The batches of some blocks of a pass; of all blocks with None."""
        settings, plan, first = self._settings, self._plan, self._is_first
        batches: Iterable[Batch] = read(
            plan,
            order=blocks,
            seed=settings.seed,
            pass_number=pass_number,
            keyed=self._holdout_share > 0 and self._tails is None,
            executor=self._executor,
            look_ahead=self._look_ahead,
        )
        if first:
            batches = self._record_bad_rows(batches)
        n_bytes = number = 0
        self._is_skipping = skip > 0
        shuffled = windows(
            batches, window_bytes=settings.window_bytes, seed=settings.seed, pass_number=pass_number
        )
        while (window := next(shuffled, None)) is not None:
            start = n_bytes / max(1, plan.source_bytes)
            n_bytes += sum(batch.n_bytes for batch in window.batches)
            stop = min(1.0, n_bytes / max(1, plan.source_bytes))
            number += 1
            if number > skip:
                yield from self._window_batches(window, first=first, span=(start, stop))
                self.on_window(number)
            self._is_skipping = number < skip
            # Free the text of this window before the next one is read.
            del window
        self._is_first = False

    def _window_batches(
        self, window: Window, *, first: bool, span: tuple[float, float]
    ) -> Iterator[FeatureBatch]:
        """The batches of a window; ``span`` is its share of the pass."""
        refusal = self._number_classes(window)
        rows = WindowRows(window, self.index)
        known = rows.classes >= 0  # False only if new classes were refused
        held = rows.held_out(self._holdout_share, self._tails)
        training = ~held & known
        rows.apply_class_weights(self._class_weights, self.index, training, count=first)
        if first:
            for part in rows.slices(held & known):
                self.holdout.add(self._hasher.rows(part), part.classes)
        slices = list(rows.slices(training))
        start, stop = span
        for i, (part, hashed) in enumerate(self._hasher.hash_all(slices)):
            share = start + (stop - start) * (i + 1) / len(slices)
            yield FeatureBatch(hashed, part.classes, part.weights, len(self.index), share)
        if refusal is not None:
            raise refusal

    def _number_classes(self, window: Window) -> MemoryLimitError | None:
        """Number the new classes of a window; returns the error if there is no memory for them."""
        labels = [batch.label for batch in window.batches if batch.label is not None]
        new = self.index.missing(name for label in labels for name in label.names)
        if not new:
            return None
        try:
            self._on_new_classes(len(self.index), new, self._location_of(new[0], window))
        except MemoryLimitError as error:
            self.refusal = error
            return error
        self.index.add(new)
        return None

    def _location_of(self, name: str, window: Window) -> str:
        """File and row of the first row of a class in a window."""
        for batch in window.batches:
            if batch.label is None or name not in batch.label.names:
                continue
            rows = np.flatnonzero(batch.label.codes == batch.label.names.index(name))
            if len(rows):
                return ", ".join(locate_row(self._plan, batch, int(rows[0])))
        return ""

    def _record_bad_rows(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if not self._is_skipping:
                self._ledger.add(batch)
            yield batch

    def hash_plan(self, plan: Plan) -> Iterator[HashedRows]:
        """The rows of another plan in order, with their classes; -1 for an unknown class."""
        batches = read(plan, executor=self._executor, look_ahead=self._look_ahead)
        for part, hashed in self._hasher.hash_all(
            all_rows(batch, self.index) for batch in batches if len(batch)
        ):
            yield hashed, part.classes

    def _caching(self, batches: Iterator[FeatureBatch]) -> Iterator[FeatureBatch]:
        """The same batches, which are cached for later passes unless they need more memory than estimated."""
        cached: list[FeatureBatch] = []
        n_bytes = 0
        for batch in batches:
            n_bytes += batch.rows.nbytes
            if n_bytes <= CACHE_BYTES:
                cached.append(batch)
            else:
                cached.clear()
            yield batch
        if n_bytes <= CACHE_BYTES:
            self._cached = cached

    def _shuffled(self, cached: list[FeatureBatch], pass_number: int) -> Iterator[FeatureBatch]:
        """The cached batches in a new order, with their rows in a new order."""
        generator = np.random.default_rng([self._settings.seed, pass_number])

        def batches() -> Iterator[tuple[int, FeatureBatch, NDArray[np.uint32]]]:
            for i, which in enumerate(generator.permutation(len(cached))):
                batch = cached[which]
                yield i, batch, generator.permutation(len(batch.classes)).astype(np.uint32)

        def shuffled(part: tuple[int, FeatureBatch, NDArray[np.uint32]]) -> FeatureBatch:
            i, batch, order = part
            return replace(batch.take(order), share=(i + 1) / len(cached))

        for batch in self._ahead(shuffled, batches()):
            yield replace(batch, n_classes=len(self.index))

    def _ahead(
        self, function: Callable[[_Item], FeatureBatch], items: Iterable[_Item]
    ) -> Iterator[FeatureBatch]:
        """The results of a function in the order of the items, computed ahead on the executor."""
        if self._executor is None:
            return map(function, items)
        return map_in_order(function, items, executor=self._executor, look_ahead=self._look_ahead)
