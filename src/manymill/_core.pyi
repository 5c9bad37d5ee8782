"""The contract of the compiled core.

Every function here releases the GIL while it works and may be called from any number of threads at once,
on different objects; no object changes after it was made, except where it says so. Documents in Arrow layout
are a pair of arrays: the UTF-8 bytes of all documents, uint8, and their offsets, int64, of shape
``(n_documents + 1,)``; document ``i`` is ``data[offsets[i]:offsets[i + 1]]``. Offsets need not start at 0.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_Documents: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]

__version__: str

# ---- kernels: the inner loops, a tier per kind of processor; every tier gives the same bytes ------------------------

def kernel_tier() -> str:
    """The name of the tier in use.

    The one that the environment variable ``MANYMILL_KERNELS`` named when it was first needed, if this processor can run
    it, else the fastest.
    """

def kernel_tiers() -> list[str]:
    """The tiers that this processor can run, the slowest first."""

# ---- text: documents → hashed batch -------------------------------------------------------------------------

@final
class Hasher:
    """What an analyzer of scikit-learn does, ready to be applied.

    Parameters
    ----------
    analyzer
        What n-grams are made of: *word*, words of two characters and more (the default token pattern); *char*,
        characters; *char_wb*, characters of one word with a space on both its sides. The last two take runs of
        whitespace for one space.
    ngram_range
        Least and greatest number of words or characters of an n-gram, both counted.
    lowercase
        Whether to lower-case first, as ``str.lower`` of the running Python does.
    stop_words
        Words that are left out before n-grams are made; compared with the lower-cased ones. Only *word* has words.

    Raises
    ------
    ValueError
        If ``ngram_range`` is not ``1 <= least <= greatest``, or there is no such analyzer.
    """

    def __new__(
        cls,
        *,
        analyzer: Literal["word", "char", "char_wb"] = "word",
        ngram_range: tuple[int, int] = (1, 1),
        lowercase: bool = True,
        stop_words: Sequence[str] = (),
    ) -> Hasher: ...
    def hash_strings(self, documents: list[str]) -> HashedBatch:
        """The hashed batch of Python strings, read in place.

        Lone surrogates separate words, as they do in Python's ``re``.

        Raises
        ------
        TypeError
            If an item is no ``str``; the message names its position.
        UnicodeEncodeError
            If an n-gram of characters has a lone surrogate: the error that the encoding of the first such one raises.
        """

    def hash_utf8(
        self, chunks: Sequence[_Documents], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> HashedBatch:
        """The hashed batch of documents picked from several chunks in Arrow layout.

        Document ``i`` of the batch is row ``row_of[i]`` of ``chunks[chunk_of[i]]``: reading the documents in a
        shuffled order copies no text.

        Raises
        ------
        ValueError
            If an offset or a picked row lies outside, or a document is not UTF-8.
        """

    def rows_utf8(
        self,
        chunks: Sequence[_Documents],
        chunk_of: NDArray[np.uint32],
        row_of: NDArray[np.uint32],
        n_features: int,
        *,
        value: Literal["count", "log", "binary"],
        norm: Literal["l1", "l2"] | None,
    ) -> Rows:
        """The rows that ``hash_utf8(chunks, chunk_of, row_of).to_rows(…)`` gives, bit for bit, in less memory.

        The hashes of a document become its row while they are in the processor's cache.

        Raises
        ------
        ValueError
            As :meth:`hash_utf8` and :meth:`HashedBatch.to_rows`.
        """

@final
class TextColumn:
    """A column of text in one of Arrow's layouts; its arrays are kept and read where they are."""

    @staticmethod
    def with_offsets(data: NDArray[np.uint8], offsets: NDArray[np.int32] | NDArray[np.int64]) -> TextColumn:
        """Document ``i`` is ``data[offsets[i]:offsets[i + 1]]``: ``string``, ``large_string`` and the like."""

    @staticmethod
    def of_views(views: NDArray[np.uint8], buffers: Sequence[NDArray[np.uint8]]) -> TextColumn:
        """Sixteen bytes of ``views`` a document: ``string_view`` and ``binary_view``."""

    def taken(self, rows: NDArray[np.uint32]) -> TextColumn:
        """The column whose document ``i`` is document ``rows[i]`` of this one: a dictionary."""

    def __len__(self) -> int:
        """The number of documents."""

@final
class TextSource:
    """Documents to be taken block by block, each once, by any number of threads."""

    @staticmethod
    def of_columns(columns: Sequence[TextColumn]) -> TextSource:
        """The documents of columns, one after the other."""

    @staticmethod
    def of_items(items: list[Any], decoded: Callable[[Any], str]) -> TextSource:
        """The items of a list; those that are no plain ``str`` as ``decoded`` gives them.

        ASCII strings are read where they are. Others are encoded, about 256 KB of them at a time, and nothing is stored
        with them; lone surrogates separate words, as they do in Python's ``re``.
        """

def take_items(iterator: Iterator[Any], most_bytes: int) -> tuple[list[Any], Exception | None]:
    """The next items of an iterator, about so many bytes of text; and its error, if it had one behind them."""

@final
class MatrixBuilder:
    """Documents in, the CSR matrix that scikit-learn's HashingVectorizer gives out, bit for bit.

    Parameters
    ----------
    hasher, n_features, alternate_sign, binary, norm, dtype
        As for :meth:`HashedBatch.to_csr`.
    n_threads
        How many threads will call :meth:`work` at once. It decides no bit of the result.
    n_documents
        How many documents there will be in all sources, if that is known; memory is reserved by it.
    """

    def __new__(
        cls,
        hasher: Hasher,
        n_features: int,
        *,
        alternate_sign: bool,
        binary: bool,
        norm: Literal["l1", "l2"] | None,
        dtype: Literal["float64", "float32"],
        n_threads: int,
        n_documents: int | None = None,
    ) -> MatrixBuilder: ...
    def work(self, source: TextSource) -> bool:
        """Append what is left of a source, together with all other threads that call this with it.

        A source must be at its end before the next is begun. False if nothing is wanted any more: an error was met,
        which :meth:`finish` raises, or :meth:`stop` was called.

        Raises
        ------
        KeyboardInterrupt
            With one thread, if there was a Ctrl-C; with more, they are not Python's main thread and do not hear it.
        """

    def stop(self) -> None:
        """Let all threads come back after the block that they are at."""

    def finish(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Data, indices and indptr of all documents; they are given once.

        The last two are int64 where there are more than 2^31 - 1 tokens.

        Raises
        ------
        Exception
            The error of the first document that has one: what ``decoded`` raised, with the document's number as a
            note, or ``ValueError`` for text that is not UTF-8 or lies outside of its column.
        MemoryError
            If there is no memory for the matrix.
        """

def svmlight_lines(
    data: NDArray[np.float64] | NDArray[np.float32],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> bytes:
    """CSR rows as lines of the SVMlight format, features counted from 1.

    Values read back as the same bits. ``ValueError`` if the arrays do not fit together.
    """

@final
class TokenHasher:
    """Hashes tokens that Python made, one document after the other. It changes: one thread at a time."""

    def __new__(cls) -> TokenHasher: ...
    def add(self, tokens: Iterable[str | bytes], ngram_range: tuple[int, int] = (1, 1)) -> None:
        """Add a document: all its n-grams, their tokens joined by a space, the shortest n-grams first.

        A document that is an error is not added. Tokens are read under the GIL, and hashed without it.

        Raises
        ------
        TypeError
            If a token is neither ``str`` nor ``bytes``, as scikit-learn's FeatureHasher says it, or if ``bytes`` would
            have to be joined.
        UnicodeEncodeError
            If there is a lone surrogate.
        ValueError
            If ``ngram_range`` is not ``1 <= least <= greatest``, or the document has more than 2^30 bytes.
        """

    def take(self) -> HashedBatch:
        """The documents that were added since the last time."""

    def __len__(self) -> int:
        """How many there are."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""

@final
class HashedBatch:
    """Documents as the raw 32-bit murmur3 hashes (seed 0) of their n-grams.

    Words stand in order of appearance, the shorter n-grams first; n-grams of characters in no promised order.
    Independent of ``n_features``, sign and norm.
    """

    @staticmethod
    def from_arrays(hashes: NDArray[np.uint32], indptr: NDArray[np.int64]) -> HashedBatch:
        """A hashed batch from its arrays (copied); ``ValueError`` if ``indptr`` does not ascend from 0 to the end."""

    def hashes(self) -> NDArray[np.uint32]:
        """All hashes, document after document, shape ``(n_hashes,)`` (a copy)."""

    def indptr(self) -> NDArray[np.int64]:
        """Where each document starts and ends, shape ``(n_documents + 1,)`` (a copy)."""

    def __len__(self) -> int:
        """The number of documents."""

    def to_csr(
        self,
        n_features: int,
        *,
        alternate_sign: bool,
        binary: bool,
        norm: Literal["l1", "l2"] | None,
        dtype: Literal["float64", "float32"],
    ) -> tuple[NDArray[np.float64] | NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
        """Data, indices and indptr of the CSR matrix that scikit-learn's HashingVectorizer gives, bit for bit.

        The last two are int64 where there are more than 2^31 - 1 hashes.
        """

    def to_rows(
        self, n_features: int, *, value: Literal["count", "log", "binary"], norm: Literal["l1", "l2"] | None
    ) -> Rows:
        """Rows for the learner.

        Feature ``abs(hash) % n_features`` (signed 32-bit hash, no alternating sign) has the value *count*,
        *log* ``1 + ln(count)``, or *binary* 1; each row is then divided by its norm. ``n_features`` is 1 to 2^31.
        """

@final
class Rows:
    """Rows of features for the learner: sorted uint32 indices and float32 values."""

    @staticmethod
    def from_arrays(
        indptr: NDArray[np.int64], indices: NDArray[np.uint32], values: NDArray[np.float32]
    ) -> Rows:
        """Rows from CSR arrays (copied); ``ValueError`` if they do not fit together."""

    @staticmethod
    def of_hashes(
        chunks: Sequence[tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]],
        chunk_of: NDArray[np.uint32],
        row_of: NDArray[np.uint32],
        n_features: int,
        *,
        value: Literal["count", "log", "binary"],
        norm: Literal["l1", "l2"] | None,
    ) -> Rows:
        """The rows that :meth:`Hasher.rows_utf8` gives of the same documents, bit for bit, from their hashes.

        Parameters
        ----------
        chunks
            Hashes, starts and ends, read in place, of memory-mapped files too: the hashes of document ``j`` of a chunk
            are ``hashes[starts[j]:ends[j]]``.
        chunk_of, row_of
            Row ``i`` is that of document ``row_of[i]`` of ``chunks[chunk_of[i]]``.
        n_features, value, norm
            As for :meth:`HashedBatch.to_rows`.

        Raises
        ------
        ValueError
            If a document does not exist, its hashes lie outside, or a setting is out of range.
        """

    def take(self, order: NDArray[np.uint32]) -> Rows:
        """The rows picked by ``order``, in that order (copied); ``ValueError`` if there is no such row."""

    def weighted(self, weights: NDArray[np.float32], norm: Literal["l1", "l2"] | None) -> Rows:
        """The same rows, each value multiplied by its feature's weight, each row then divided by its norm.

        A row in which nothing is left but zeros stays a row of zeros.

        Parameters
        ----------
        weights
            Shape ``(n_features,)``, C-contiguous; read in place.

        Raises
        ------
        ValueError
            If a feature has no weight, or a value is not finite any more.
        """

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
        """Copies of indptr, indices and values."""

    def __len__(self) -> int:
        """The number of rows."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""

    def __reduce__(
        self,
    ) -> tuple[Any, tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]]:
        """Pickles as its arrays."""

# ---- learn: rows → state ------------------------------------------------------------------------------------

@final
class LearnStats:
    """What one call of :meth:`Learner.learn` saw *before* learning from each row: progressive validation."""

    @property
    def n_rows(self) -> int:
        """Rows learnt from."""

    @property
    def weight_sum(self) -> float:
        """Sum of the rows' weights."""

    @property
    def loss_sum(self) -> float:
        """Sum of weight times loss, each row predicted before it was learnt."""

    @property
    def n_correct(self) -> int:
        """Rows whose class was predicted before it was learnt."""

@final
class Learner:
    """A linear model that learns rows one after the other: AdaGrad with implicit L2 and L1.

    One sum of squared gradients a feature sets the rate of all its outputs: a sum for each output takes twice
    the memory and is less accurate, the more so the more classes there are (see ``rust/src/learn``). The state
    takes ``8 * n_features`` bytes with one output, and 12 with ``l1`` or ``l2``. With more outputs it takes
    ``4 * n_features``, and ``4 * (n_outputs + 1)``, or ``4 * (n_outputs + 2)`` with ``l1`` or ``l2``, filled up to a
    multiple of 16 (from 32 outputs on of 32), for each feature that was met with a value other than 0.

    The only object of this module that changes. The order of the rows decides the bytes of the weights, nothing
    else does.

    Parameters
    ----------
    n_features
        1 to 2^30.
    n_classes
        2 or more. Two classes share one output; more have one output each.
    loss
        ``"log"`` is logistic for two classes and softmax for more; the others are one against the rest.
    l1, l2
        Strength per row, 0 or more. A feature pays for the rows that it was absent from when it comes back; with
        ``l1 == 0`` not before L2 takes a 256th of its weights. It pays what it owes when :meth:`settle` is called, and
        after every 2^24 rows.
    learning_rate
        AdaGrad's eta, above 0 and at most 1e9.
    initial_g
        Where each feature's sum of squared gradients starts, 0 or more: with more a feature that is met for the first
        time moves less. Features alone: intercepts start at 0. It is no part of the state: accumulators are the
        squared gradients that were added.
    fit_intercept
        Whether outputs have an intercept (never regularised).

    Raises
    ------
    ValueError
        If a parameter is out of range.
    MemoryError
        If the state does not fit; the message gives its bytes.
    """

    def __new__(
        cls,
        n_features: int,
        n_classes: int,
        *,
        loss: Literal["log", "hinge", "squared_hinge", "modified_huber", "squared_error"] = "log",
        l1: float = 0.0,
        l2: float = 0.0,
        learning_rate: float = 0.5,
        initial_g: float = 0.0,
        fit_intercept: bool = True,
    ) -> Learner: ...
    @property
    def n_features(self) -> int: ...
    @property
    def n_classes(self) -> int: ...
    @property
    def n_outputs(self) -> int:
        """1 for two classes, else ``n_classes``."""

    @property
    def n_rows_seen(self) -> int:
        """Rows learnt from since the beginning, over all passes; rows of weight 0 do not count."""

    def learn(
        self, rows: Rows, classes: NDArray[np.int32], weights: NDArray[np.float32] | None = None
    ) -> LearnStats:
        """Learn the rows in order; a row of weight 0 changes nothing.

        Raises
        ------
        ValueError
            If lengths differ, a class is not in ``0 .. n_classes - 1``, a feature is not below ``n_features``, or a
            weight is negative or not finite; nothing is learnt then.
        FloatingPointError
            If a margin or a gradient became NaN or infinite; the state is then of no use.
        RuntimeError
            If another thread is in a call of this learner; so does every method.
        """

    def scores(self, rows: Rows) -> NDArray[np.float32]:
        """Decision values, shape ``(n_rows, n_outputs)``."""

    def settle(self) -> None:
        """Collect the regularisation that features owe for the rows since they were last touched.

        Call it at the end of each pass, and before the state is read to be kept: weights, accumulators and
        intercept state are then the whole state, and another learner continues from them to the same bytes. It
        reads the whole table; with ``l1 == l2 == 0`` it does nothing.
        """

    def grow(self, n_classes: int) -> None:
        """Make room for further classes, which start unlearnt; what was learnt stays as it was.

        A model of two classes keeps its decisions: its one output ``w`` becomes the outputs ``-w/2`` and ``w/2`` under
        the logistic loss, ``-w`` and ``w`` else. ``ValueError`` if there are more classes already.
        """

    def weights(self, start: int, stop: int) -> NDArray[np.float32]:
        """A copy of the weights of features ``start`` to ``stop``, shape ``(stop - start, n_outputs)``."""

    def accumulators(self, start: int, stop: int) -> NDArray[np.float32]:
        """A copy of the squared-gradient sums of features ``start`` to ``stop``, shape ``(stop - start,)``."""

    def intercept(self) -> NDArray[np.float32]:
        """A copy of the intercepts, shape ``(n_outputs,)``."""

    def set_state(
        self,
        start: int,
        weights: NDArray[np.float32],
        accumulators: NDArray[np.float32],
    ) -> None:
        """Overwrite the state of the features from ``start`` on.

        Parameters
        ----------
        weights
            Shape ``(n, n_outputs)``.
        accumulators
            Shape ``(n,)``.

        Raises
        ------
        ValueError
            If shapes do not fit, a number is not finite, or an accumulator is negative; nothing is changed then.
        """

    def intercept_state(self) -> NDArray[np.float32]:
        """Intercepts and their squared-gradient sums, shape ``(2, n_outputs)``."""

    def set_intercept_state(self, state: NDArray[np.float32], n_rows_seen: int) -> None:
        """Overwrite what :meth:`intercept_state` gives, and the count of rows."""

    def begin_changes(self) -> None:
        """Note from now on what changes; learning gives the same bytes as without.

        Regularisation is settled first. What was noted before is forgotten, as it is by :meth:`grow`,
        :meth:`set_state`, :meth:`scatter` and ``MergeSums.merge_into``.
        """

    def take_changes(
        self,
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """How far the learner moved since :meth:`begin_changes`; it is put back, to the byte, to how it was then.

        After a ``FloatingPointError`` of :meth:`learn` it is put back as well; the changes may then hold NaN.

        Returns
        -------
        features : ndarray of shape (m,), uint32
            Features whose weights or accumulator are others now, ascending.
        weights : ndarray of shape (m, n_outputs), float32
            Weights now less weights then.
        accumulators : ndarray of shape (m,), float32
            Squared gradients added.
        intercept : ndarray of shape (2, n_outputs), float32
            The same of the intercepts, then of their accumulators.

        Raises
        ------
        ValueError
            If nothing is being noted.
        """

    def gather(self, features: NDArray[np.uint32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Copies of the weights, shape ``(m, n_outputs)``, and accumulators, shape ``(m,)``, of some features.

        ``ValueError`` if ``features`` do not ascend, or one is not below ``n_features``.
        """

    def scatter(
        self,
        features: NDArray[np.uint32],
        weights: NDArray[np.float32],
        accumulators: NDArray[np.float32],
    ) -> None:
        """Overwrite the state of some features: what :meth:`gather` gives.

        Parameters
        ----------
        features
            Shape ``(m,)``, ascending.
        weights
            Shape ``(m, n_outputs)``.
        accumulators
            Shape ``(m,)``.

        Raises
        ------
        ValueError
            If features do not ascend or one is not below ``n_features``, shapes do not fit, a number is not finite, or
            an accumulator is negative; nothing is changed then.
        """

    def met(self) -> NDArray[np.uint32]:
        """Features that have a weight or an accumulator other than 0, ascending; reads the whole table."""

@final
class MergeSums:
    """Sums of several lanes' changes, from which a rule makes one direction.

    The rules are those of ``manymill.linear.merging``. Sums are float64 and added in the order given, so that a
    fixed tree of :meth:`combine` gives the same bytes wherever it is worked out. What one lane changed stays in
    float32, half as much to keep and to send, until it is combined. Pickles as its arrays.
    """

    @staticmethod
    def of(learner: Learner, n_rows: int, rules: Sequence[str]) -> MergeSums:
        """The sums of one lane: takes the changes of its learner, which is put back to how it was.

        Parameters
        ----------
        learner
            One that notes changes: see :meth:`Learner.begin_changes`.
        n_rows
            Rows that it learnt since.
        rules
            Those that :meth:`merge_into` will be asked for: ``"uniform"``, ``"support"``, ``"damped"``, ``"mass"``,
            ``"magnitude"``. Once combined a feature takes ``8 * n_outputs`` bytes for all but ``"magnitude"``, as much
            again for ``"mass"``, and ``16 * n_outputs`` for ``"magnitude"``.

        Raises
        ------
        ValueError
            If nothing is being noted, there is no such rule, or a number is not finite: the learner diverged.
        """

    @staticmethod
    def combine(parts: Sequence[MergeSums]) -> MergeSums:
        """The sums of all parts, added in the order given.

        ``ValueError`` if there is none, or they differ in outputs or in the rules that they serve.
        """

    @staticmethod
    def from_arrays(
        counts: tuple[int, int, int],
        features: NDArray[np.uint32],
        support: NDArray[np.uint32],
        mass: NDArray[np.float64],
        plain: NDArray[np.float64],
        by_mass: NDArray[np.float64],
        magnitude: NDArray[np.float64],
        by_magnitude: NDArray[np.float64],
        intercept: NDArray[np.float64],
    ) -> MergeSums:
        """The sums of a pickle; ``ValueError`` if no lanes can have had such sums.

        Parameters
        ----------
        counts
            Outputs, lanes and rows.
        features, support, mass
            Shape ``(m,)``: ascending; the lanes that changed each feature; the squared gradients that they added.
        plain, by_mass, magnitude, by_magnitude
            Shape ``(m * n_outputs,)``: sums of changes, of those weighted by squared gradients, of magnitudes, and of
            changes weighted by their magnitudes; empty if no rule needs them.
        intercept
            Shape ``(5 * n_outputs,)``: squared gradients, then the four sums.
        """

    @staticmethod
    def from_changes(
        counts: tuple[int, bool, bool, bool],
        features: NDArray[np.uint32],
        weights: NDArray[np.float32],
        accumulators: NDArray[np.float32],
        intercept: NDArray[np.float32],
    ) -> MergeSums:
        """The sums of one lane from a pickle; ``ValueError`` if no lane can have changed so.

        Parameters
        ----------
        counts
            Rows, and whether ``"support"``, ``"mass"`` and ``"magnitude"`` are served.
        features, accumulators
            Shape ``(m,)``, features ascending.
        weights
            Shape ``(m * n_outputs,)``.
        intercept
            Shape ``(2 * n_outputs,)``.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as its arrays."""

    def features(self) -> NDArray[np.uint32]:
        """A copy of the features that any lane changed, ascending."""

    def part(self, marks: NDArray[np.bool_]) -> MergeSums:
        """The sums of the marked features alone; ``ValueError`` if a feature has no mark.

        Enough to score rows that have no other features. ``marks`` has shape ``(n_features,)``.
        """

    def merge_into(self, learner: Learner, rule: str, step: float) -> None:
        """Move the state from which the lanes began by ``step`` along a rule's direction.

        Accumulators grow by all that the lanes added, whatever the rule and the step.

        Raises
        ------
        ValueError
            If the learner has another shape, there is no such rule, or its sums were not kept; nothing is changed
            then.
        FloatingPointError
            If a weight became infinite; the state is then of no use.
        """

    @property
    def n_lanes(self) -> int:
        """Lanes added up."""

    @property
    def n_rows(self) -> int:
        """Rows that they learnt."""

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""

def score_rows(
    rows: Rows, weights: NDArray[np.float32], intercept: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Decision values under given weights, without a learner: the same bytes as :meth:`Learner.scores`.

    Parameters
    ----------
    weights
        Shape ``(n_features, n_outputs)``, C-contiguous; may be a read-only memory map.
    intercept
        Shape ``(n_outputs,)``.

    Returns
    -------
    ndarray
        Shape ``(n_rows, n_outputs)``.
    """

# ---- counts: rows → whole numbers that can be added up in any order ---------------------------------------------

@final
class FeatureCounts:
    """In how many rows each feature is, over all classes or in each of them.

    It changes: one thread at a time, else ``RuntimeError``. Counts of parts of the data, merged in any order, are the
    counts of the data. It takes 4 bytes for each feature; by three or more classes 4 for each feature, and 4 for each
    class and feature that was met.

    Parameters
    ----------
    n_features
        1 to 2^30.
    n_classes
        1 or more.
    by_class
        Whether each class has counts of its own.

    Raises
    ------
    ValueError
        If a number is out of range.
    MemoryError
        If there is not so much memory.
    """

    def __new__(cls, n_features: int, n_classes: int, *, by_class: bool) -> FeatureCounts: ...
    @staticmethod
    def from_arrays(
        n_features: int,
        features: NDArray[np.uint32],
        counts: NDArray[np.uint32],
        rows: NDArray[np.uint64],
        distinct: NDArray[np.uint64],
        by_class: bool,
    ) -> FeatureCounts:
        """Counts from what :meth:`to_arrays` gave; ``ValueError`` if these cannot be counts of rows."""

    def add(self, rows: Rows, classes: NDArray[np.int32], weights: NDArray[np.float32] | None = None) -> None:
        """Count rows, each as one whatever its weight; a row of class -1 or of weight 0 does not count.

        Raises
        ------
        ValueError
            If lengths differ, a class is not in ``-1 .. n_classes - 1``, a feature is not below ``n_features``, or
            there would be more than 2^32 - 1 rows; nothing is counted then.
        """

    def merge(self, other: FeatureCounts) -> None:
        """Add the counts of other rows; ``ValueError`` if shapes differ or there would be too many rows."""

    def grow(self, n_classes: int) -> None:
        """Make room for further classes; ``ValueError`` if there are more already."""

    def to_arrays(
        self,
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]]:
        """Features that were met, ascending, ``(m,)``; their counts, ``(m, 1)`` or ``(m, n_classes)``; rows; distinct.

        The last two are of shape ``(n_classes,)``, as the properties of these names.
        """

    def document_frequencies(self) -> NDArray[np.uint32]:
        """In how many rows each feature is, ``(n_features,)``."""

    def by_frequency(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """``values[document_frequencies()]``, in a quarter of the time; ``ValueError`` if there are too few values."""

    def counts(self, start: int, stop: int) -> NDArray[np.uint32]:
        """The counts of features ``start`` to ``stop``, ``(stop - start, 1)`` or ``(stop - start, n_classes)``."""

    @property
    def n_features(self) -> int: ...
    @property
    def rows(self) -> NDArray[np.uint64]:
        """Rows counted, by class, ``(n_classes,)``."""

    @property
    def distinct(self) -> NDArray[np.uint64]:
        """Features of the rows of each class, each counted once a row, ``(n_classes,)``."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use at most."""

@final
class FeatureSums:
    """Sums of the values of each feature in each class, in whole numbers of 2^-36: the same bits in any order.

    It changes: one thread at a time, else ``RuntimeError``. It takes twice the memory of :class:`FeatureCounts`.
    """

    def __new__(cls, n_features: int, n_classes: int) -> FeatureSums: ...
    @staticmethod
    def from_arrays(
        n_features: int,
        features: NDArray[np.uint32],
        sums: NDArray[np.uint64],
        rows: NDArray[np.uint64],
        bound: int,
    ) -> FeatureSums:
        """Sums from what :meth:`to_arrays` gave; ``ValueError`` if these cannot be sums of rows."""

    def add(self, rows: Rows, classes: NDArray[np.int32], weights: NDArray[np.float32] | None = None) -> None:
        """Add rows, all alike whatever their weights; a row of class -1 or of weight 0 does not count.

        Raises
        ------
        ValueError
            As :meth:`FeatureCounts.add`; if a value is negative, or the greatest values of all rows make more than
            2^27.
        """

    def merge(self, other: FeatureSums) -> None:
        """Add the sums of other rows; ``ValueError`` if shapes differ or the sums would be too large."""

    def grow(self, n_classes: int) -> None:
        """Make room for further classes; ``ValueError`` if there are more already."""

    def to_arrays(self) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64], int]:
        """Features that were met, ascending, ``(m,)``; sums, ``(m, n_classes)``; rows, ``(n_classes,)``; bound.

        The bound is the greatest that a sum over all classes can be: the greatest value of each row, summed up.
        """

    @property
    def n_features(self) -> int: ...
    @property
    def rows(self) -> NDArray[np.uint64]:
        """Rows added, by class, ``(n_classes,)``."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use at most."""

# ---- read: bytes of a block → documents, labels, bad rows -----------------------------------------------

@final
class Parsed:
    """The columns of a block, and the records that are no rows."""

    @property
    def data(self) -> NDArray[np.uint8]:
        """The UTF-8 bytes of all texts."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each text starts and ends, shape ``(n_rows + 1,)``."""

    @property
    def codes(self) -> NDArray[np.int32]:
        """The label of each row as an index into ``classes``; empty if labels are not read."""

    @property
    def classes(self) -> list[str]:
        """The distinct labels, in order of appearance."""

    @property
    def weight(self) -> NDArray[np.float32]:
        """The weight of each row; empty if weights are not read."""

    @property
    def position(self) -> NDArray[np.int64]:
        """Byte of the file where each row starts."""

    @property
    def bad(self) -> list[tuple[int, str, str]]:
        """Byte, reason and detail of the first 1,000 bad records."""

    @property
    def bad_counts(self) -> list[tuple[str, int]]:
        """How many records were bad, by reason."""

    @property
    def labels_are_integers(self) -> bool:
        """Whether each label is an integer: a JSON number, or a field of digits."""

def parse_json_lines(
    block: bytes | NDArray[np.uint8],
    position: int,
    max_record_bytes: int,
    *,
    text: str,
    label: str | None = None,
    weight: str | None = None,
) -> Parsed:
    """The rows of JSON lines; no input is an error.

    ``position`` is the byte of the file where the block starts; a longer record than ``max_record_bytes`` is bad.
    """

def parse_csv(
    block: bytes | NDArray[np.uint8],
    position: int,
    max_record_bytes: int,
    *,
    delimiter: int,
    n_columns: int,
    text: int,
    label: int | None = None,
    weight: int | None = None,
) -> Parsed:
    """The rows of CSV records without a header; ``ValueError`` if a column is not below ``n_columns``."""

def parse_fasttext(
    block: bytes | NDArray[np.uint8], position: int, max_record_bytes: int, *, labelled: bool
) -> Parsed:
    """The rows of lines in fastText's format."""

def parse_reviews(
    block: bytes | NDArray[np.uint8], position: int, max_record_bytes: int, *, labelled: bool
) -> Parsed:
    """The rows of Amazon's reviews in pseudo-XML."""

def csv_header(block: bytes, *, delimiter: int) -> list[bytes]:
    """The fields of the first record."""

@final
class CsvCutter:
    """Finds the record ends of a CSV stream that arrives in pieces. It changes: one thread at a time."""

    def __new__(cls, *, delimiter: int) -> CsvCutter: ...
    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Just behind the first and the last record end in the next piece; None if there is none."""

    @property
    def in_quotes(self) -> bool:
        """Whether the stream stands inside quotes."""

def text_keys(data: NDArray[np.uint8], offsets: NDArray[np.int64], *, seed: int) -> NDArray[np.uint64]:
    """The XXH3 hash of each document; ``ValueError`` if an offset lies outside."""
