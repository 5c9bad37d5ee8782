"""Interface of the compiled core.

Every function releases the GIL while it works, and any number of threads may call it at the same time. Objects are
immutable unless their docstring says otherwise.

Documents in Arrow layout are a pair of arrays: the UTF-8 bytes of all documents, uint8, and their offsets, int64, of
shape ``(n_documents + 1,)``; document ``i`` is ``data[offsets[i]:offsets[i + 1]]``. Offsets need not start at 0.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_Documents: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]

__version__: str

# ---- kernels: the inner loops, one tier for each kind of processor; all tiers give the same bytes ---------------

def kernel_tier() -> str:
    """Return the name of the tier in use.

    The fastest one that this processor supports, or the one in the environment variable ``MANYMILL_KERNELS`` if the
    processor supports it. The variable is read when a kernel is first called.
    """

def kernel_tiers() -> list[str]:
    """Return the names of the tiers that this processor supports, the slowest first."""

# ---- text: documents → hashed batch -------------------------------------------------------------------------

@final
class Hasher:
    """Analyzer of scikit-learn's vectorizers that hashes the n-grams of documents.

    Parameters
    ----------
    analyzer
        Units of the n-grams. *word*: words of two or more characters (the default token pattern). *char*: characters.
        *char_wb*: characters of one word, with a space before and after it. For the last two, consecutive whitespace
        counts as one space.
    ngram_range
        Minimum and maximum number of words or characters of an n-gram, both included.
    lowercase
        Whether to lower-case documents first, as ``str.lower`` of the running Python does.
    stop_words
        Words to remove before n-grams are formed, compared after lower-casing; for *word* only.

    Raises
    ------
    ValueError
        If ``ngram_range`` is not ``1 <= least <= greatest``, or the analyzer is unknown.
    """

    def __new__(
        cls,
        *,
        analyzer: Literal["word", "char", "char_wb"] = "word",
        ngram_range: tuple[int, int] = (1, 1),
        lowercase: bool = True,
        stop_words: Sequence[str] = (),
    ) -> Hasher: ...
    @staticmethod
    def of_features(
        *,
        ngram_range: tuple[int, int] | None,
        char_ngram_range: tuple[int, int] | None,
        char_analyzer: Literal["char_wb", "char"] = "char_wb",
        token_rule: Literal["unicode", "scikit-learn"] = "unicode",
        lowercase: bool = True,
        stop_words: Sequence[str] = (),
    ) -> Hasher:
        """The features of the learner: words, characters, or both of a document in one row.

        N-grams of characters have a seed of their own, the ASCII bytes of ``char`` as a number: the word *the* and the
        characters *the* are two features. ``tests/reference/features.py`` defines the bits.

        Parameters
        ----------
        ngram_range
            Least and greatest number of words of an n-gram; ``None``: no features of words.
        char_ngram_range
            Least and greatest number of characters of an n-gram; ``None``: no features of characters.
        char_analyzer
            What n-grams of characters do not cross: *char_wb*, the ends of a word, which has a space on both its sides;
            *char*, the ends of the document.
        token_rule
            What a word is. *scikit-learn*: two word characters and more. *unicode*: runs of word characters, combining
            marks and zero-width joiners, of any length; emoji; runs of ``!`` and ``?``. Under this rule scripts without
            spaces between words have no words: 1, 2 and 3 letters of them, each with its marks, are features whatever
            ``ngram_range`` says, and n-grams of words do not reach across them.
        lowercase
            Whether to lower-case first, as ``str.lower`` of the running Python does.
        stop_words
            Words that are left out before n-grams are made; compared with the lower-cased ones. An n-gram of a script
            without spaces is left out if it is one of them. N-grams of characters have no stop words.

        Raises
        ------
        ValueError
            If a range is not ``1 <= least <= greatest``, both are ``None``, or there is no such analyzer or rule.
        """

    def hash_strings(self, documents: list[str]) -> HashedBatch:
        """Hash Python strings, which are read in place.

        Lone surrogates separate words, as in Python's ``re``.

        Raises
        ------
        TypeError
            If an item is not a ``str``; the message names its position.
        UnicodeEncodeError
            If an n-gram of characters contains a lone surrogate; the error is that of encoding the first such n-gram.
        """

    def hash_utf8(
        self, chunks: Sequence[_Documents], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> HashedBatch:
        """Hash documents selected from chunks in Arrow layout.

        Document ``i`` of the batch is row ``row_of[i]`` of ``chunks[chunk_of[i]]``, so documents are read in a shuffled
        order without copying text.

        Raises
        ------
        ValueError
            If an offset or a row is out of range, or a document is not UTF-8.
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
        """Return the same rows as ``hash_utf8(chunks, chunk_of, row_of).to_rows(…)``, bit for bit, in less memory.

        Each document is hashed and converted to its row while its hashes are in the processor's cache.

        Raises
        ------
        ValueError
            See :meth:`hash_utf8` and :meth:`HashedBatch.to_rows`.
        """

def unspaced_characters(
    chunks: Sequence[_Documents], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
) -> tuple[int, int]:
    """How many characters of documents belong to scripts without spaces between words, and to words of any script.

    The documents are picked as by :meth:`Hasher.hash_utf8`. Letters, digits and marks are counted, as the token rule
    *unicode* of :meth:`Hasher.of_features` sees them.

    Raises
    ------
    ValueError
        If an offset or a picked row lies outside.
    """

@final
class TextColumn:
    """Column of text in one of Arrow's layouts; it references its arrays and copies nothing."""

    @staticmethod
    def with_offsets(data: NDArray[np.uint8], offsets: NDArray[np.int32] | NDArray[np.int64]) -> TextColumn:
        """Create a column of ``string``, ``large_string``, …: document ``i`` is ``data[offsets[i]:offsets[i + 1]]``."""

    @staticmethod
    def of_views(views: NDArray[np.uint8], buffers: Sequence[NDArray[np.uint8]]) -> TextColumn:
        """Create a column of ``string_view`` or ``binary_view``: ``views`` has 16 bytes per document."""

    def taken(self, rows: NDArray[np.uint32]) -> TextColumn:
        """Return the column whose document ``i`` is document ``rows[i]`` of this one, as in a dictionary array."""

    def __len__(self) -> int:
        """Return the number of documents."""

@final
class TextSource:
    """Documents that any number of threads read block by block, each document once."""

    @staticmethod
    def of_columns(columns: Sequence[TextColumn]) -> TextSource:
        """Create a source of the documents of columns, one column after the other."""

    @staticmethod
    def of_items(items: list[Any], decoded: Callable[[Any], str]) -> TextSource:
        """Create a source of the items of a list; ``decoded`` converts items that are not plain ``str``.

        ASCII strings are read in place. Others are encoded, about 256 KB at a time, without caching the encoding in the
        string. Lone surrogates separate words, as in Python's ``re``.
        """

def take_items(iterator: Iterator[Any], most_bytes: int) -> tuple[list[Any], Exception | None]:
    """Return the next items of an iterator, about ``most_bytes`` of text, and the error that it raised, if any."""

@final
class MatrixBuilder:
    """Builds the CSR matrix of scikit-learn's HashingVectorizer from documents, bit for bit, on several threads.

    Parameters
    ----------
    hasher, n_features, alternate_sign, binary, norm, dtype
        See :meth:`HashedBatch.to_csr`.
    n_threads
        Number of threads that will call :meth:`work` at the same time; it does not change the result.
    n_documents
        Number of documents in all sources, if known, to reserve memory.
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
        """Add the remaining documents of a source; several threads may work on the same source.

        A source must be exhausted before the next one is started. Returns False if no more documents are needed,
        because of an error, which :meth:`finish` raises, or a call of :meth:`stop`.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, with one thread. With several, the threads are not Python's main thread, and no signal reaches
            them.
        """

    def stop(self) -> None:
        """Make all calls of :meth:`work` return after their current block."""

    def finish(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return data, indices and indptr of all documents; may be called once.

        The last two are int64 if there are more than 2^31 - 1 tokens.

        Raises
        ------
        Exception
            The error of the first invalid document: the exception of ``decoded``, with the document's number as a note,
            or ``ValueError`` if text is not UTF-8 or outside of its column.
        MemoryError
            If there is not enough memory for the matrix.
        """

def svmlight_lines(
    data: NDArray[np.float64] | NDArray[np.float32],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> bytes:
    """Format CSR rows as lines of SVMlight, with features numbered from 1; values read back with the same bits.

    Raises
    ------
    ValueError
        If the lengths of the arrays do not match.
    """

@final
class TokenHasher:
    """Hashes tokens made by Python, one document after the other. Mutable: one thread at a time."""

    def __new__(cls) -> TokenHasher: ...
    def add(self, tokens: Iterable[str | bytes], ngram_range: tuple[int, int] = (1, 1)) -> None:
        """Add a document: all its n-grams, with tokens joined by a space, the shortest n-grams first.

        An invalid document is not added. Tokens are read with the GIL and hashed without it.

        Raises
        ------
        TypeError
            If a token is neither ``str`` nor ``bytes`` (the message is that of scikit-learn's FeatureHasher), or if
            ``bytes`` would have to be joined.
        UnicodeEncodeError
            If a token contains a lone surrogate.
        ValueError
            If ``ngram_range`` is not ``1 <= least <= greatest``, or the document has more than 2^30 bytes.
        """

    def take(self) -> HashedBatch:
        """Return the documents added since the last call."""

    def __len__(self) -> int:
        """Return the number of documents added since the last :meth:`take`."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""

@final
class HashedBatch:
    """Documents as the raw 32-bit murmur3 hashes (seed 0) of their n-grams.

    Independent of ``n_features``, sign and norm. N-grams of words are in order of appearance, shorter ones first; the
    order of n-grams of characters is not specified.
    """

    @staticmethod
    def from_arrays(hashes: NDArray[np.uint32], indptr: NDArray[np.int64]) -> HashedBatch:
        """Create a batch from copies of its arrays; ``ValueError`` if ``indptr`` does not ascend from 0 to the end."""

    def hashes(self) -> NDArray[np.uint32]:
        """Return a copy of all hashes, document after document, shape ``(n_hashes,)``."""

    def indptr(self) -> NDArray[np.int64]:
        """Return a copy of the boundaries of documents, shape ``(n_documents + 1,)``."""

    def __len__(self) -> int:
        """Return the number of documents."""

    def to_csr(
        self,
        n_features: int,
        *,
        alternate_sign: bool,
        binary: bool,
        norm: Literal["l1", "l2"] | None,
        dtype: Literal["float64", "float32"],
    ) -> tuple[NDArray[np.float64] | NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
        """Return data, indices and indptr of the CSR matrix of scikit-learn's HashingVectorizer, bit for bit.

        The last two are int64 if there are more than 2^31 - 1 hashes.
        """

    def to_rows(
        self, n_features: int, *, value: Literal["count", "log", "binary"], norm: Literal["l1", "l2"] | None
    ) -> Rows:
        """Return the rows of features.

        Feature ``abs(hash) % n_features`` (signed 32-bit hash, no alternating sign) has the value ``count`` (*count*),
        ``1 + ln(count)`` (*log*) or 1 (*binary*); each row is then divided by its norm. ``n_features`` is 1 to 2^31.
        """

@final
class FeatureTable:
    """The hashed features in use: the column (rank) and the weight of each. Immutable and thread-safe.

    Takes 12 bytes for 64 hashed features (3 MiB for 2^24), and 4 for the weight of each feature in use.
    """

    @staticmethod
    def from_arrays(
        n_hashed: int, features: NDArray[np.uint32], weights: NDArray[np.float32] | None
    ) -> FeatureTable:
        """Create a table from copies of arrays.

        Parameters
        ----------
        n_hashed
            Number of hashed features, 1 to 2^30.
        features
            Features in use, strictly ascending and below ``n_hashed``, shape ``(m,)``.
        weights
            Weight of each feature in use, finite and 0 or more, shape ``(m,)``; None for a table without weights.

        Raises
        ------
        ValueError
            If an argument is invalid.
        MemoryError
            If there is not enough memory.
        """

    @property
    def n_hashed(self) -> int: ...
    @property
    def features(self) -> NDArray[np.uint32]:
        """Features in use, ascending, ``(m,)``; an array of its own, decoded at each access."""

    @property
    def weights(self) -> NDArray[np.float32] | None:
        """Copy of the weight of each feature in use, ``(m,)``, or None."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""

    def __len__(self) -> int:
        """Return the number of features in use."""

    def __reduce__(self) -> tuple[Any, tuple[int, NDArray[np.uint32], NDArray[np.float32] | None]]:
        """Pickle the arrays."""

@final
class Rows:
    """Rows of features, the input of learners: sorted uint32 indices and float32 values."""

    @staticmethod
    def from_arrays(
        indptr: NDArray[np.int64], indices: NDArray[np.uint32], values: NDArray[np.float32]
    ) -> Rows:
        """Create rows from copies of CSR arrays; ``ValueError`` if the arrays are inconsistent."""

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
        """Return the same rows as :meth:`Hasher.rows_utf8`, bit for bit, from the hashes of the documents.

        Parameters
        ----------
        chunks
            Hashes, starts and ends, which are read in place and may be memory-mapped: the hashes of document ``j`` of a
            chunk are ``hashes[starts[j]:ends[j]]``.
        chunk_of, row_of
            Row ``i`` is that of document ``row_of[i]`` of ``chunks[chunk_of[i]]``.
        n_features, value, norm
            See :meth:`HashedBatch.to_rows`.

        Raises
        ------
        ValueError
            If a document does not exist, its hashes are out of range, or a setting is.
        """

    def take(self, order: NDArray[np.uint32]) -> Rows:
        """Return copies of the rows ``order``, in that order; ``ValueError`` if a row does not exist."""

    def weighted(self, weights: NDArray[np.float32], norm: Literal["l1", "l2"] | None) -> Rows:
        """Return the rows with each value multiplied by its feature's weight, and each row then divided by its norm.

        A row whose values all become zero stays a row of zeros.

        Parameters
        ----------
        weights
            Shape ``(n_features,)``, C-contiguous; read in place.

        Raises
        ------
        ValueError
            If a feature has no weight, or a value becomes infinite or NaN.
        """

    def mapped(self, table: FeatureTable, norm: Literal["l1", "l2"] | None) -> Rows:
        """Return the rows with the columns of a table in place of hashed features, weighted and divided by their norms.

        Entries whose feature is not in the table are dropped. The others have the values that :meth:`weighted` gives
        with the weights of the table (1 if it has none) and a weight of 0 for all other features, bit for bit.

        Raises
        ------
        ValueError
            If a feature is not below ``table.n_hashed``, or a value becomes infinite or NaN.
        """

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
        """Return copies of indptr, indices and values."""

    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""

    def __reduce__(
        self,
    ) -> tuple[Any, tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]]:
        """Pickle the arrays."""

# ---- learn: rows → state ------------------------------------------------------------------------------------

@final
class LearnStats:
    """Progressive validation in a call of :meth:`Learner.learn`: each row is predicted before it is learned."""

    @property
    def n_rows(self) -> int:
        """Number of rows learned."""

    @property
    def weight_sum(self) -> float:
        """Sum of the rows' weights."""

    @property
    def loss_sum(self) -> float:
        """Sum of weight times loss."""

    @property
    def n_correct(self) -> int:
        """Number of rows whose class was predicted."""

@final
class Learner:
    """Linear model that learns rows one after the other, by AdaGrad with implicit L2 and L1. Mutable.

    All outputs of a feature share one sum of squared gradients, its accumulator: one for each output takes twice the
    memory and is less accurate, more so with many classes (see ``rust/src/learn``). With one output, the state takes
    ``8 * n_features`` bytes, or 12 with ``l1`` or ``l2``. With more, it takes ``4 * n_features``, and for each feature
    that occurred with a value other than 0 ``4 * (n_outputs + 1)``, or ``4 * (n_outputs + 2)`` with ``l1`` or ``l2``,
    rounded up to a multiple of 16, or of 32 from 32 outputs on.

    The bytes of the weights depend on the rows and their order only.

    Parameters
    ----------
    n_features
        1 to 2^30.
    n_classes
        2 or more. Two classes share one output; more have one output each.
    loss
        ``"log"`` is logistic for two classes and softmax for more; the others train one class against the rest.
    l1, l2
        Strength per row, 0 or more. The regularisation of rows without a feature is applied when the feature occurs
        again; with ``l1 == 0`` only once L2 takes a 256th of its weights. :meth:`settle` applies what is pending, and
        so does every 2^24th row.
    learning_rate
        AdaGrad's eta, above 0 and at most 1e9.
    initial_g
        Where each feature's sum of squared gradients starts, 0 or more: with more a feature that is met for the first
        time moves less. Features alone: intercepts start at 0. It is no part of the state: accumulators are the
        squared gradients that were added.
    fit_intercept
        Whether outputs have an intercept, which is not regularised.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    MemoryError
        If there is not enough memory for the state; the message gives its size.
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
        """Number of rows learned so far, over all passes; rows of weight 0 do not count."""

    def learn(
        self, rows: Rows, classes: NDArray[np.int32], weights: NDArray[np.float32] | None = None
    ) -> LearnStats:
        """Learn rows in order; a row of weight 0 changes nothing.

        Raises
        ------
        ValueError
            If lengths differ, a class is not in ``0 .. n_classes - 1``, a feature is not below ``n_features``, or a
            weight is negative or not finite; nothing is learned then.
        FloatingPointError
            If a margin or a gradient became NaN or infinite; the state is then invalid.
        RuntimeError
            If another thread is calling this learner; this applies to every method.
        """

    def scores(self, rows: Rows) -> NDArray[np.float32]:
        """Return the decision values, shape ``(n_rows, n_outputs)``."""

    def settle(self) -> None:
        """Apply the pending regularisation of all features.

        Call it at the end of each pass and before the state is saved: then weights, accumulators and intercept state
        are the whole state, from which another learner continues to the same bytes. Reads the whole table; does nothing
        if ``l1 == l2 == 0``.
        """

    def grow(self, n_classes: int) -> None:
        """Add classes, with weights of zero; ``n_classes`` is the new number of classes.

        A model of two classes keeps its decisions: its single output ``w`` becomes the outputs ``-w/2`` and ``w/2`` for
        the logistic loss, ``-w`` and ``w`` for others. ``ValueError`` if there are more classes already.
        """

    def weights(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return a copy of the weights of features ``start`` to ``stop``, shape ``(stop - start, n_outputs)``."""

    def accumulators(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return a copy of the accumulators of features ``start`` to ``stop``, shape ``(stop - start,)``."""

    def intercept(self) -> NDArray[np.float32]:
        """Return a copy of the intercepts, shape ``(n_outputs,)``."""

    def set_state(
        self,
        start: int,
        weights: NDArray[np.float32],
        accumulators: NDArray[np.float32],
    ) -> None:
        """Replace the state of consecutive features, beginning with ``start``.

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
        """Return the intercepts and their accumulators, shape ``(2, n_outputs)``."""

    def set_intercept_state(self, state: NDArray[np.float32], n_rows_seen: int) -> None:
        """Replace the state that :meth:`intercept_state` returns, and the number of rows learned."""

    def begin_changes(self) -> None:
        """Start to record changes. While they are recorded, rows are learned without regularisation: see :meth:`decay`.

        Pays first what features owe for rows learned one by one, and discards an earlier record. :meth:`grow`,
        :meth:`set_state`, :meth:`scatter` and ``MergeSums.merge_into`` also discard the record.
        """

    def take_changes(
        self,
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the changes since :meth:`begin_changes`, and restore the state of that moment, byte for byte.

        The state is also restored after a ``FloatingPointError`` of :meth:`learn`; the changes may then contain NaN.

        Returns
        -------
        features : ndarray of shape (m,), uint32
            Features whose weights or accumulators have changed, ascending.
        weights : ndarray of shape (m, n_outputs), float32
            Changes of the weights.
        accumulators : ndarray of shape (m,), float32
            Changes of the accumulators.
        intercept : ndarray of shape (2, n_outputs), float32
            Changes of the intercepts and of their accumulators.

        Raises
        ------
        ValueError
            If changes are not being recorded.
        """

    def decay(self, n_rows: int, n_lanes: int, is_part: bool) -> None:
        """Let every feature owe the regularisation of a round of ``n_rows`` rows, learned by lanes.

        A feature pays round by round, when its changes are first recorded or in :meth:`settle`; when it pays does not
        change a byte. Without regularisation nothing happens. Discards a record of changes.

        Parameters
        ----------
        n_rows
            Number of rows of the round, of all lanes.
        n_lanes
            Number of lanes that share the accumulators.
        is_part
            Whether the accumulators of this learner are divided by ``n_lanes``.
        """

    def gather(self, features: NDArray[np.uint32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return copies of the weights, shape ``(m, n_outputs)``, and accumulators, shape ``(m,)``, of some features.

        ``ValueError`` if ``features`` do not ascend, or one is not below ``n_features``.
        """

    def scatter(
        self,
        features: NDArray[np.uint32],
        weights: NDArray[np.float32],
        accumulators: NDArray[np.float32],
    ) -> None:
        """Replace the state of some features, as returned by :meth:`gather`.

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
        """Return the features with a nonzero weight or accumulator, ascending; reads the whole table."""

@final
class MergeSums:
    """Sums of the changes of several lanes, from which a rule computes one direction.

    The rules are those of ``manymill.linear.merging``. Sums are float64 and are added in the given order, so a fixed
    tree of :meth:`combine` gives the same bytes on any worker. The changes of a single lane stay float32, half the
    size, until they are combined.
    """

    @staticmethod
    def of(learner: Learner, n_rows: int, rules: Sequence[str]) -> MergeSums:
        """Create the sums of one lane from the changes of its learner, whose earlier state is restored.

        Parameters
        ----------
        learner
            Must record changes; see :meth:`Learner.begin_changes` and :meth:`Learner.take_changes`.
        n_rows
            Number of rows learned since then.
        rules
            Rules that :meth:`merge_into` may apply: ``"uniform"``, ``"support"``, ``"damped"``, ``"mass"``,
            ``"magnitude"``. Once combined, a feature takes ``8 * n_outputs`` bytes for all but ``"magnitude"``, as much
            again for ``"mass"``, and ``16 * n_outputs`` for ``"magnitude"``.

        Raises
        ------
        ValueError
            If changes are not being recorded, a rule is unknown, or a number is not finite because learning diverged.
        """

    @staticmethod
    def combine(parts: Sequence[MergeSums]) -> MergeSums:
        """Return the sums of all parts, added in the given order.

        ``ValueError`` if there are no parts, or they differ in their outputs or rules.
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
        """Create combined sums from the arrays of a pickle; ``ValueError`` if the arrays are inconsistent.

        Parameters
        ----------
        counts
            Numbers of outputs, lanes and rows.
        features, support, mass
            Shape ``(m,)``: features in ascending order; the number of lanes that changed each; the sum of their squared
            gradients.
        plain, by_mass, magnitude, by_magnitude
            Shape ``(m * n_outputs,)``: sums of changes, of changes weighted by squared gradients, of magnitudes, and of
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
        """Create the sums of one lane from the arrays of a pickle; ``ValueError`` if the arrays are inconsistent.

        Parameters
        ----------
        counts
            Number of rows, and whether the rules ``"support"``, ``"mass"`` and ``"magnitude"`` are supported.
        features, accumulators
            Shape ``(m,)``, features ascending.
        weights
            Shape ``(m * n_outputs,)``.
        intercept
            Shape ``(2 * n_outputs,)``.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arrays."""

    def features(self) -> NDArray[np.uint32]:
        """Return a copy of the features that any lane changed, ascending."""

    def part(self, marks: NDArray[np.bool_]) -> MergeSums:
        """Return the sums of selected features, which suffice to score rows without other features.

        ``marks`` has shape ``(n_features,)``; ``ValueError`` if it is too short.
        """

    def merge_into(self, learner: Learner, rule: str, step: float) -> None:
        """Move the state that the lanes started from by ``step`` along the direction of a rule.

        The squared gradients of all lanes are added to the accumulators, for any rule and step.

        Raises
        ------
        ValueError
            If the learner has another shape, or the rule is unknown or not among those of :meth:`of`; nothing is
            changed then.
        FloatingPointError
            If a weight became infinite; the state is then invalid.
        """

    @property
    def n_lanes(self) -> int:
        """Number of lanes."""

    @property
    def n_rows(self) -> int:
        """Number of rows that the lanes learned."""

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""

def score_rows(
    rows: Rows, weights: NDArray[np.float32], intercept: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the decision values of a linear model: the same bytes as :meth:`Learner.scores`.

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

# ---- counts: rows → integers, which can be added in any order ---------------------------------------------

@final
class FeatureCounts:
    """Number of rows with each feature, over all classes or by class.

    Mutable: one thread at a time, else ``RuntimeError``. Counts of parts of the data, merged in any order, equal the
    counts of all data.

    Memory: 4 bytes per feature over all classes, and per feature and class by class with up to two classes. With 3 to
    16 classes, 4 bytes per feature and another 4 for each class of each feature that occurred. With more classes, 16 to
    24 bytes for each pair of a feature and a class that occurred, however many features and classes there are.

    Parameters
    ----------
    n_features
        1 to 2^30.
    n_classes
        1 or more.
    by_class
        Whether to count by class.

    Raises
    ------
    ValueError
        If a number is out of range.
    MemoryError
        If there is not enough memory.
    """

    def __new__(cls, n_features: int, n_classes: int, *, by_class: bool) -> FeatureCounts: ...
    @staticmethod
    def from_arrays(
        n_features: int,
        features: NDArray[np.uint32],
        classes: NDArray[np.uint32],
        counts: NDArray[np.uint32],
        rows: NDArray[np.uint64],
        distinct: NDArray[np.uint64],
        by_class: bool,
    ) -> FeatureCounts:
        """Create counts from the arrays of :meth:`to_arrays`; ``ValueError`` if they are inconsistent."""

    def add(self, rows: Rows, classes: NDArray[np.int32], weights: NDArray[np.float32] | None = None) -> None:
        """Count rows, each once, whatever its weight; rows of class -1 or of weight 0 are not counted.

        Raises
        ------
        ValueError
            If lengths differ, a class is not in ``-1 .. n_classes - 1``, a feature is not below ``n_features``, or
            the number of rows would exceed 2^32 - 1; nothing is counted then.
        MemoryError
            If there is not enough memory: some of the features are counted then, the counts must not be used.
        """

    def merge(self, other: FeatureCounts) -> None:
        """Add the counts of other rows.

        Raises
        ------
        ValueError
            If shapes differ or there are too many rows; nothing is changed then.
        MemoryError
            If there is not enough memory: some of the counts are added then, the counts must not be used.
        """

    def grow(self, n_classes: int) -> None:
        """Add classes; ``n_classes`` is their new number. ``ValueError`` if there are more already."""

    def to_arrays(
        self,
    ) -> tuple[
        NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]
    ]:
        """Return five arrays: features, classes, counts, and the properties ``rows`` and ``distinct``.

        There is a feature, a class and a count for each pair that occurred, ``(p,)``, sorted by feature and class; over
        all classes there is a feature and a count for each feature that occurred, and ``classes`` is empty.
        """

    def frequencies(self, most: int) -> NDArray[np.uint64]:
        """Return how many features are in how many rows, ``(most + 1,)``; the last also counts those in more rows."""

    def table(self, kind: Literal["nb-idf", "nb", "idf"], *, min_rows: int = 1) -> FeatureTable:
        """Return the features in at least ``min_rows`` rows with their weights, which are computed in float64.

        With ``n`` the number of rows and ``df`` the number of rows with the feature, ``idf`` is
        ``ln((1 + n) / (1 + df)) + 1``. With two classes ``nb`` is the absolute log-count ratio of naive Bayes (Wang and
        Manning 2012), ``|ln(p / q)|``, where ``p`` and ``q`` are the shares of the feature among the features of the
        rows of either class, smoothed by two rows of the classes in their shares of all features. With more classes it
        is the root of the divergence (Kullback and Leibler 1951) between the classes of the rows with the feature and
        the classes of all rows, smoothed by one row with the distribution of all rows. ``nb-idf`` is
        ``sqrt(nb * idf)``. A feature of weight 0 stays in the table. Weights have the same bits on every machine.

        Parameters
        ----------
        kind
            The weights; all but ``"idf"`` need counts by class.
        min_rows
            1 or more.

        Raises
        ------
        ValueError
            If an argument is invalid.
        MemoryError
            If there is not enough memory.
        """

    @property
    def n_features(self) -> int: ...
    @property
    def rows(self) -> NDArray[np.uint64]:
        """Number of rows of each class, ``(n_classes,)``."""

    @property
    def distinct(self) -> NDArray[np.uint64]:
        """Sum over the rows of each class of their number of distinct features, ``(n_classes,)``."""

    @property
    def nbytes(self) -> int:
        """Upper bound of the bytes of memory in use."""

@final
class FeatureSums:
    """Sums of the values of each feature by class. Mutable: one thread at a time, else ``RuntimeError``.

    Sums are integers in units of 2^-36, so they have the same bits in any order. They take twice the memory of
    :class:`FeatureCounts`.
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
        """Create sums from the arrays of :meth:`to_arrays`; ``ValueError`` if they are inconsistent."""

    def add(self, rows: Rows, classes: NDArray[np.int32], weights: NDArray[np.float32] | None = None) -> None:
        """Add rows, each once, whatever its weight; rows of class -1 or of weight 0 are not added.

        Raises
        ------
        ValueError
            See :meth:`FeatureCounts.add`; also if a value is negative, or the bound (see :meth:`to_arrays`) exceeds
            2^27.
        """

    def merge(self, other: FeatureSums) -> None:
        """Add the sums of other rows; ``ValueError`` if shapes differ or the sums are too large."""

    def grow(self, n_classes: int) -> None:
        """Add classes; ``n_classes`` is their new number. ``ValueError`` if there are more already."""

    def to_arrays(self) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64], int]:
        """Return features that occurred, ascending, ``(m,)``; sums, ``(m, n_classes)``; ``rows``; and the bound.

        The bound is an upper limit of any sum: the total of the largest value of each row.
        """

    @property
    def n_features(self) -> int: ...
    @property
    def rows(self) -> NDArray[np.uint64]:
        """Number of rows of each class, ``(n_classes,)``."""

    @property
    def nbytes(self) -> int:
        """Upper bound of the bytes of memory in use."""

# ---- read: bytes of a block → documents, labels, bad rows -----------------------------------------------

@final
class Parsed:
    """Columns of a block, and its bad records."""

    @property
    def data(self) -> NDArray[np.uint8]:
        """The UTF-8 bytes of all texts."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Boundaries of the texts, shape ``(n_rows + 1,)``."""

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
        """Number of bad records by reason."""

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
    """Parse JSON lines; never raises for any content of the block.

    ``position`` is the byte of the file where the block starts. Records longer than ``max_record_bytes`` are bad.
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
    """Parse CSV records without a header; ``ValueError`` if a column is not below ``n_columns``."""

def parse_fasttext(
    block: bytes | NDArray[np.uint8], position: int, max_record_bytes: int, *, labelled: bool
) -> Parsed:
    """Parse lines in fastText's format."""

def parse_reviews(
    block: bytes | NDArray[np.uint8], position: int, max_record_bytes: int, *, labelled: bool
) -> Parsed:
    """Parse product reviews in Amazon's pseudo-XML."""

def csv_header(block: bytes, *, delimiter: int) -> list[bytes]:
    """Return the fields of the first record."""

@final
class CsvCutter:
    """Finds the ends of records in a CSV stream that arrives in pieces. Mutable: one thread at a time."""

    def __new__(cls, *, delimiter: int) -> CsvCutter: ...
    def feed(self, piece: bytes, /) -> tuple[int, int] | None:
        """Return the positions after the first and the last record that end in the next piece; None if none ends."""

    @property
    def in_quotes(self) -> bool:
        """Whether the stream is inside quotes."""

def text_keys(data: NDArray[np.uint8], offsets: NDArray[np.int64], *, seed: int) -> NDArray[np.uint64]:
    """Return the XXH3 hash of each document; ``ValueError`` if an offset is out of range."""
