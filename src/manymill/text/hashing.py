"""The drop-in for scikit-learn's ``HashingVectorizer``: the same bits, many times sooner.

In: documents in whatever a user holds them. Out: a SciPy sparse matrix.

Documents whose tokens Python makes: one after the other, as scikit-learn does, so that errors come in its order.

The core hashes the tokens and makes the n-grams of words; no more than one document's tokens exist at a time.

Counts to the sparse matrix of scikit-learn's ``HashingVectorizer``, bit for bit.

In: the arrays that the core makes of documents, or hashed batches, one after the other. Out: one matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from operator import index
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer as Original

from manymill._core import HashedBatch, TokenHasher
from manymill.text.analysis import core_analyzes, core_hasher, core_takes, text_maker, token_maker
from manymill.text.documents import matrix, objects

# Hashes of about 50 MB of text; the arrays of the matrix grow by so much at once.
_BATCH_BYTES = 1 << 25


def token_batches(vectorizer: Original, documents: Iterable[Any]) -> Iterator[HashedBatch]:
    """The hashed batches of the documents, analysed by the functions of the vectorizer.

    Raises
    ------
    Exception
        What scikit-learn raises.
    """
    analyze, hasher, first = token_maker(vectorizer), TokenHasher(), True
    # A generator as in scikit-learn: a StopIteration of user's code is a RuntimeError.
    for tokens, lengths in (analyze(document) for document in documents):
        if first and isinstance(tokens, str):
            FeatureHasher(input_type="string").transform([tokens])  # raises
        first = False
        _add(vectorizer, hasher, tokens, lengths)
        if hasher.nbytes > _BATCH_BYTES:
            yield hasher.take()
    if len(hasher):
        yield hasher.take()


def _add(vectorizer: Original, hasher: TokenHasher, tokens: Any, lengths: tuple[int, int]) -> None:
    try:
        hasher.add(tokens, lengths)
    except (TypeError, UnicodeEncodeError):
        if lengths == (1, 1):
            raise
        # scikit-learn joins the tokens of n-grams before it looks at any of them.
        hasher.add(vectorizer._word_ngrams(tokens))


Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

_LARGEST_INT32 = np.iinfo(np.int32).max


class CoreValues(TypedDict):
    """The parameters of :meth:`manymill._core.HashedBatch.to_csr`."""

    n_features: int
    alternate_sign: bool
    binary: bool
    norm: Literal["l1", "l2"] | None
    dtype: Literal["float64", "float32"]


@dataclass(frozen=True)
class Values:
    """How counts become values of a matrix.

    Parameters
    ----------
    n_features : int
        Columns, 1 to 2**31.
    alternate_sign, binary : bool
        Whether half of the tokens count -1; whether every stored value becomes 1.
    norm : {"l1", "l2"} or None
        What a row is divided by.
    dtype : numpy.dtype
        One for which :meth:`supports` is true.
    """

    n_features: int
    alternate_sign: bool
    binary: bool
    norm: Literal["l1", "l2"] | None
    dtype: np.dtype[Any]

    @staticmethod
    def supports(dtype: np.dtype[Any], *, alternate_sign: bool) -> bool:
        """Whether sums of this type are exact, or wrap around as those of 64 bits do.

        Unsigned types are an error for scikit-learn where a token counts -1.
        """
        kinds = "i" if alternate_sign else "iu"
        return dtype.isnative and (dtype in (np.float64, np.float32) or dtype.kind in kinds)

    @property
    def of_core(self) -> CoreValues:
        """What the core does of this."""
        return {
            "n_features": self.n_features,
            "alternate_sign": self.alternate_sign,
            "binary": self.binary,
            "norm": self.norm if self._normed_by_core else None,
            "dtype": "float32" if self.dtype == np.float32 else "float64",
        }

    def arrays(self, batches: Iterable[HashedBatch]) -> Arrays:
        """The core's data, indices and indptr of all documents; one batch at a time is in memory."""
        parts: list[Arrays] = []
        n_hashes = 0
        for batch in batches:
            parts.append(batch.to_csr(**self.of_core))
            n_hashes += int(batch.indptr()[-1])
            del batch  # before the next one is made
        return parts.pop() if len(parts) == 1 else _stacked(parts, n_hashes, self.of_core["dtype"])

    def matrix(self, arrays: Arrays) -> Any:
        """The matrix of the core's arrays, of shape ``(n_documents, n_features)``."""
        data, indices, indptr = arrays
        if self.dtype.kind != "f" and self.of_core["norm"] is None:
            # By way of 64 bits: a float that an integer type does not hold has no defined value in it.
            data = data.astype(np.int64).astype(self.dtype, copy=False)
        matrix = _csr(data, indices, indptr, self.n_features)
        if self.norm is None or self._normed_by_core:
            return matrix
        from sklearn.preprocessing import normalize

        return normalize(matrix, norm=self.norm, copy=False)

    @property
    def _normed_by_core(self) -> bool:
        """Small integers wrap around before they are normed; those of others are exact, and become float64."""
        return self.dtype.kind == "f" or self.dtype.itemsize >= 4


def _stacked(parts: list[Arrays], n_hashes: int, dtype: str) -> Arrays:
    """The arrays of the parts below each other; there may be none."""
    kind = np.int32 if n_hashes <= _LARGEST_INT32 else np.int64
    ends = np.cumsum([0] + [len(data) for data, _, _ in parts], dtype=np.int64)
    rows = [
        indptr[1:] + np.asarray(end, np.int64) for (_, _, indptr), end in zip(parts, ends[:-1], strict=True)
    ]
    data = np.concatenate([np.empty(0, dtype), *(data for data, _, _ in parts)])
    indices = np.concatenate([np.empty(0, kind), *(indices for _, indices, _ in parts)], dtype=kind)
    return data, indices, np.concatenate([[0], *rows], dtype=kind, casting="unsafe")


def _csr(data: Any, indices: Any, indptr: Any, n_features: int) -> Any:
    import scipy.sparse as sp
    from sklearn import get_config

    arrays = get_config().get("sparse_interface", "spmatrix") == "sparray"
    matrix = (sp.csr_array if arrays else sp.csr_matrix)((len(indptr) - 1, n_features), dtype=data.dtype)
    # SciPy would look at all indices, and bring 64 bits back to 32; scikit-learn's matrix keeps what its tokens needed.
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    # They are sorted and distinct as they come; to say so saves SciPy a pass over them.
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


class HashingVectorizer(Original, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """The matrix of hashed token counts, bit for bit the one of scikit-learn's estimator of this name.

    Every parameter of scikit-learn's estimator does what it does there, down to its errors and warnings; see
    there for the whole story. Stateless: :meth:`transform` needs no :meth:`fit`.

    Parameters
    ----------
    input : {"content", "file", "filename"}
        Whether documents are given themselves, as objects with a ``read`` method, or as names of files.
    encoding : str, default="utf-8"
        How documents that are ``bytes`` are decoded.
    decode_error : {"strict", "ignore", "replace"}
        What happens to ``bytes`` that cannot be decoded.
    strip_accents : {"ascii", "unicode"}, callable or None
        How accents are removed.
    lowercase : bool
        Whether to lower-case first.
    preprocessor : callable or None
        Replaces the removal of accents and the lower-casing.
    tokenizer : callable or None
        Replaces the pattern that finds words.
    stop_words : {"english"}, list or None
        Words that are left out.
    token_pattern : str or None
        What a word is; by default two characters and more.
    ngram_range : tuple (least, greatest)
        Least and greatest number of words or characters of an n-gram, both counted.
    analyzer : {"word", "char", "char_wb"} or callable
        What features are made of.
    n_features : int, default=2**20
        Columns of the matrix, 1 to 2**31 - 2.
    binary : bool
        Whether every stored value becomes 1 before the norm.
    norm : {"l1", "l2"} or None
        What a row is divided by.
    alternate_sign : bool
        Whether half of the tokens count -1, so that collisions tend to cancel.
    dtype : dtype
        Type of the values. Integers become float64 where there is a norm.
    n_jobs : int or None
        Threads that share the work of fast settings (see the notes); the matrix is the same for any number of them.
        None is 1 unless a ``joblib.parallel_config`` says more, -1 is all processors. Python code runs in one
        thread whatever the number is. Not a parameter of scikit-learn's estimator.

    See Also
    --------
    sklearn.feature_extraction.text.HashingVectorizer : The original.
    manymill.TfidfTransformer : Weights for the counts, learnt in parts.

    Notes
    -----
    How much sooner a matrix is there than scikit-learn's depends on how much of the work only Python can do. Measured
    on English reviews in one thread, without vector instructions (``benches/vectorizer.py``):

    fast, 17 to 21 times
        The core does everything: characters, or words of the default ``token_pattern`` (however it is spelled), any
        ``ngram_range`` from 1 on, ``lowercase``, ``stop_words``, ``n_features``, ``binary``, ``norm``,
        ``alternate_sign``; values of float64, float32 and integers.
    middle, 7 to 16 times
        Python makes the text: ``preprocessor``, ``strip_accents`` (text that is ASCII has none), documents that are
        ``bytes`` or files.
    slow, 1.6 to 8 times
        Python makes the tokens, and the core their n-grams and the matrix: a function as ``analyzer``, ``tokenizer``,
        another ``token_pattern``, a method overridden in a subclass.
    as scikit-learn
        Values of other types, such as bool or complex.

    Examples
    --------
    >>> from manymill import HashingVectorizer
    >>> HashingVectorizer(n_features=16).transform(["one two", "two three three"]).shape
    (2, 16)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Original._parameter_constraints,
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        input: Literal["content", "file", "filename"] = "content",
        encoding: str = "utf-8",
        decode_error: Literal["strict", "ignore", "replace"] = "strict",
        strip_accents: Literal["ascii", "unicode"] | Callable[[str], str] | None = None,
        lowercase: bool = True,
        preprocessor: Callable[[Any], str] | None = None,
        tokenizer: Callable[[str], Iterable[str]] | None = None,
        stop_words: Literal["english"] | list[str] | None = None,
        token_pattern: str | None = r"(?u)\b\w\w+\b",
        ngram_range: tuple[int, int] = (1, 1),
        analyzer: Literal["word", "char", "char_wb"] | Callable[[Any], Iterable[str]] = "word",
        n_features: int = 2**20,
        binary: bool = False,
        norm: Literal["l1", "l2"] | None = "l2",
        alternate_sign: bool = True,
        dtype: DTypeLike = np.float64,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            input=input,
            encoding=encoding,
            decode_error=decode_error,
            strip_accents=strip_accents,
            lowercase=lowercase,
            preprocessor=preprocessor,
            tokenizer=tokenizer,
            stop_words=stop_words,
            token_pattern=token_pattern,
            ngram_range=ngram_range,
            analyzer=analyzer,
            n_features=n_features,
            binary=binary,
            norm=norm,
            alternate_sign=alternate_sign,
            dtype=dtype,
        )
        self.n_jobs = n_jobs

    def transform(self, X: Iterable[Any] | ArrayLike) -> Any:
        """The matrix of the documents.

        Parameters
        ----------
        X : iterable of documents
            ``str`` or ``bytes``, or what ``input``, ``preprocessor`` or ``analyzer`` take instead. Lists, generators
            (read once, in bounded memory), NumPy arrays, pandas and polars series, pyarrow arrays (read in place).

        Returns
        -------
        scipy.sparse.csr_matrix or csr_array
            Shape ``(n_documents, n_features)``; which of them, scikit-learn's ``sparse_interface`` says.

        Raises
        ------
        Exception
            What scikit-learn raises for these documents and parameters.
        RowError
            If there is a null in a pyarrow array.
        """
        values = self._values()
        if values is None or isinstance(X, str):
            if self.n_features == 0:
                self._validate_params()  # raises: scikit-learn would divide by it, which ends the process
            return super().transform(X)  # raises, or sums in a type that is not worth the speed
        self.build_analyzer()  # its warnings and errors come first
        arrays = self._arrays(X, values)
        return values.matrix(arrays) if len(arrays[-1]) > 1 else super().transform([])

    def _values(self) -> Values | None:
        """The parameters behind the tokens; None if they are not plainly right, or scikit-learn sums differently."""
        try:
            dtype, (least, greatest), n_features = (
                np.dtype(self.dtype),
                self.ngram_range,
                index(self.n_features),
            )
            norm = self.norm is None or (isinstance(self.norm, str) and self.norm in ("l1", "l2"))
            right = bool(least <= greatest) and 1 <= n_features < 2**31 and norm
        except (TypeError, ValueError):
            return None
        signed = bool(self.alternate_sign)
        if not (right and Values.supports(dtype, alternate_sign=signed)):
            return None
        return Values(n_features, signed, bool(self.binary), self.norm, dtype)

    def _arrays(self, X: Any, values: Values) -> Arrays:
        """The core's arrays of the documents."""
        if not core_analyzes(self):
            return values.arrays(token_batches(self, objects(X)))
        text, lowercase = text_maker(self)
        hasher = core_hasher(self, lowercase=lowercase)
        if core_takes(self) and getattr(X, "ndim", 1) == 1:
            return matrix(hasher, X, text, n_jobs=self.n_jobs, **values.of_core)
        # One after the other, whatever the number of threads: the texts are Python's to make, or X is no column.
        texts = (text(document) for document in objects(X))
        return matrix(hasher, texts, _itself, n_jobs=self.n_jobs, **values.of_core)


def _itself(text: str) -> str:
    return text
