"""A faster drop-in for scikit-learn's ``HashingVectorizer`` with bit-identical matrices.

Documents whose tokens Python makes are processed one by one in order, as in scikit-learn, so that errors occur in the
same order, and the tokens of only one document are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from operator import index
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer as SklearnHashingVectorizer

from manymill._core import HashedBatch, TokenHasher
from manymill.text.analysis import core_can_analyze, core_can_read, core_hasher, text_function, token_function
from manymill.text.documents import CsrArrays, iterate_documents, matrix_arrays
from manymill.text.sklearn_private import extend_parameter_constraints, validate_parameters, word_ngrams

# Hashes of about 50 MB of text: the unit in which the matrix grows.
_BATCH_BYTES = 1 << 25


def token_batches(vectorizer: SklearnHashingVectorizer, documents: Iterable[Any]) -> Iterator[HashedBatch]:
    """Hash the documents in batches, with tokens made by the functions of the vectorizer.

    Raises
    ------
    Exception
        The errors of scikit-learn.
    """
    analyze, hasher, first = token_function(vectorizer), TokenHasher(), True
    # A generator as in scikit-learn: a StopIteration in the user's code becomes a RuntimeError.
    for tokens, lengths in (analyze(document) for document in documents):
        if first and isinstance(tokens, str):
            FeatureHasher(input_type="string").transform([tokens])  # raises
        first = False
        _add(vectorizer, hasher, tokens, lengths)
        if hasher.nbytes > _BATCH_BYTES:
            yield hasher.take()
    if len(hasher):
        yield hasher.take()


def _add(
    vectorizer: SklearnHashingVectorizer, hasher: TokenHasher, tokens: Any, lengths: tuple[int, int]
) -> None:
    try:
        hasher.add(tokens, lengths)
    except (TypeError, UnicodeEncodeError):
        if lengths == (1, 1):
            raise
        # scikit-learn joins tokens to n-grams before it validates them.
        hasher.add(word_ngrams(vectorizer, tokens))


_LARGEST_INT32 = np.iinfo(np.int32).max


class CoreParameters(TypedDict):
    """The parameters of :meth:`manymill._core.HashedBatch.to_csr`."""

    n_features: int
    alternate_sign: bool
    binary: bool
    norm: Literal["l1", "l2"] | None
    dtype: Literal["float64", "float32"]


@dataclass(frozen=True)
class MatrixParameters:
    """Parameters that turn token counts into a matrix.

    Parameters
    ----------
    n_features : int
        Number of columns, 1 to 2**31.
    alternate_sign, binary : bool
        Whether half of the tokens count -1; whether every stored value becomes 1.
    norm : {"l1", "l2"} or None
        Norm to divide each row by.
    dtype : numpy.dtype
        A type for which :meth:`supports` is true.
    """

    n_features: int
    alternate_sign: bool
    binary: bool
    norm: Literal["l1", "l2"] | None
    dtype: np.dtype[Any]

    @staticmethod
    def supports(dtype: np.dtype[Any], *, alternate_sign: bool) -> bool:
        """Whether sums of this type are exact, or wrap around as 64-bit sums do.

        scikit-learn raises an error for unsigned types if a token counts -1.
        """
        kinds = "i" if alternate_sign else "iu"
        return dtype.isnative and (dtype in (np.float64, np.float32) or dtype.kind in kinds)

    @property
    def core_parameters(self) -> CoreParameters:
        """The parameters of the core's part."""
        return {
            "n_features": self.n_features,
            "alternate_sign": self.alternate_sign,
            "binary": self.binary,
            "norm": self.norm if self._normed_by_core else None,
            "dtype": "float32" if self.dtype == np.float32 else "float64",
        }

    def arrays(self, batches: Iterable[HashedBatch]) -> CsrArrays:
        """The core's data, indices and indptr of all documents; only one batch is in memory at a time."""
        parts: list[CsrArrays] = []
        n_hashes = 0
        for batch in batches:
            parts.append(batch.to_csr(**self.core_parameters))
            n_hashes += int(batch.indptr()[-1])
            del batch  # before the next one is created
        return parts.pop() if len(parts) == 1 else _stacked(parts, n_hashes, self.core_parameters["dtype"])

    def matrix(self, arrays: CsrArrays) -> Any:
        """The matrix of the core's arrays, of shape ``(n_documents, n_features)``."""
        data, indices, indptr = arrays
        if self.dtype.kind != "f" and self.core_parameters["norm"] is None:
            # Via int64: casting an out-of-range float to an integer type is undefined.
            data = data.astype(np.int64).astype(self.dtype, copy=False)
        matrix = _csr(data, indices, indptr, self.n_features)
        if self.norm is None or self._normed_by_core:
            return matrix
        from sklearn.preprocessing import normalize

        return normalize(matrix, norm=self.norm, copy=False)

    @property
    def _normed_by_core(self) -> bool:
        """Whether the core applies the norm: small integer types must wrap around first, all others are exact."""
        return self.dtype.kind == "f" or self.dtype.itemsize >= 4


def _stacked(parts: list[CsrArrays], n_hashes: int, dtype: str) -> CsrArrays:
    """Stack the arrays of zero or more parts."""
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
    # SciPy's constructor checks all indices, and would convert 64-bit ones to 32 bits, which scikit-learn does not do.
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    # The indices are sorted and distinct; setting the flags saves SciPy a pass over them.
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


@extend_parameter_constraints(n_jobs=[Integral, None])
class HashingVectorizer(SklearnHashingVectorizer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Convert documents to a matrix of hashed token counts, bit-identical to scikit-learn's estimator of this name.

    All parameters of scikit-learn's estimator have the same effect, errors and warnings; see its documentation for
    details. Stateless: :meth:`transform` needs no :meth:`fit`.

    Parameters
    ----------
    input : {"content", "file", "filename"}
        Whether documents are given themselves, as objects with a ``read`` method, or as file names.
    encoding : str, default="utf-8"
        Encoding of documents that are ``bytes``.
    decode_error : {"strict", "ignore", "replace"}
        Treatment of ``bytes`` that cannot be decoded.
    strip_accents : {"ascii", "unicode"}, callable or None
        Method for removing accents.
    lowercase : bool
        Whether to lower-case first.
    preprocessor : callable or None
        Replaces the removal of accents and the lower-casing.
    tokenizer : callable or None
        Replaces ``token_pattern``.
    stop_words : {"english"}, list or None
        Words to leave out.
    token_pattern : str or None
        Regular expression of a word; by default two or more characters.
    ngram_range : tuple (minimum, maximum)
        Minimum and maximum number of words or characters of an n-gram, both inclusive.
    analyzer : {"word", "char", "char_wb"} or callable
        Kind of the n-grams.
    n_features : int, default=2**20
        Number of columns of the matrix, 1 to 2**31 - 2.
    binary : bool
        Whether every stored value becomes 1 before the norm.
    norm : {"l1", "l2"} or None
        Norm to divide each row by.
    alternate_sign : bool
        Whether half of the tokens count -1, so that collisions tend to cancel.
    dtype : dtype
        Type of the values. With a norm, integers become float64.
    n_jobs : int or None
        Number of threads for fast settings (see the notes); it does not change the matrix.
        None is 1 unless in a ``joblib.parallel_config``, -1 is all processors. Python code always runs in one
        thread. Not a parameter of scikit-learn's estimator.

    See Also
    --------
    sklearn.feature_extraction.text.HashingVectorizer : The original.
    manymill.TfidfTransformer : TF-IDF weights for the counts, fitted incrementally or in parallel.

    Notes
    -----
    The speed-up over scikit-learn depends on how much of the work only Python can do. Measured on English reviews in
    one thread, without vector instructions (``benches/vectorizer.py``):

    fast, 17 to 21 times
        The core does everything: characters, or words of the default ``token_pattern`` (in any spelling), any
        ``ngram_range`` with a minimum of 1 or more, ``lowercase``, ``stop_words``, ``n_features``, ``binary``,
        ``norm``, ``alternate_sign``; values of float64, float32 and integer types.
    middle, 7 to 16 times
        Python prepares the text: ``preprocessor``, ``strip_accents`` (except for ASCII text), documents that are
        ``bytes`` or files.
    slow, 1.6 to 8 times
        Python makes the tokens, and the core makes n-grams and the matrix: a function as ``analyzer``, ``tokenizer``,
        another ``token_pattern``, a method overridden in a subclass.
    as scikit-learn
        Values of other types, such as bool or complex.

    Examples
    --------
    >>> from manymill import HashingVectorizer
    >>> HashingVectorizer(n_features=16).transform(["one two", "two three three"]).shape
    (2, 16)
    """

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
        """Convert documents to a matrix.

        Parameters
        ----------
        X : iterable of documents
            ``str`` or ``bytes``, or the objects that ``input``, ``preprocessor`` or ``analyzer`` expect. Lists,
            generators (read once, in bounded memory), NumPy arrays, pandas and polars series, pyarrow arrays (read in
            place).

        Returns
        -------
        scipy.sparse.csr_matrix or csr_array
            Shape ``(n_documents, n_features)``; scikit-learn's configuration ``sparse_interface`` chooses the type.

        Raises
        ------
        Exception
            The errors of scikit-learn for these documents and parameters.
        RowError
            If there is a null in a pyarrow array.
        """
        parameters = self._matrix_parameters()
        if parameters is None or isinstance(X, str):
            if self.n_features == 0:
                validate_parameters(self)  # raises: scikit-learn would divide by 0, which aborts the process
            return super().transform(X)  # raises, or sums in a rarely used type
        self.build_analyzer()  # its warnings and errors come first
        arrays = self._arrays(X, parameters)
        return parameters.matrix(arrays) if len(arrays[-1]) > 1 else super().transform([])

    def _matrix_parameters(self) -> MatrixParameters | None:
        """The parameters of the matrix; None if they may be invalid, or scikit-learn computes sums differently."""
        try:
            dtype, (least, greatest), n_features = (
                np.dtype(self.dtype),
                self.ngram_range,
                index(self.n_features),
            )
            norm = self.norm is None or (isinstance(self.norm, str) and self.norm in ("l1", "l2"))
            valid = bool(least <= greatest) and 1 <= n_features < 2**31 and norm
        except (TypeError, ValueError):
            return None
        signed = bool(self.alternate_sign)
        if not (valid and MatrixParameters.supports(dtype, alternate_sign=signed)):
            return None
        return MatrixParameters(n_features, signed, bool(self.binary), self.norm, dtype)

    def _arrays(self, X: Any, parameters: MatrixParameters) -> CsrArrays:
        """The core's arrays of the documents."""
        if not core_can_analyze(self):
            return parameters.arrays(token_batches(self, iterate_documents(X)))
        text, lowercase = text_function(self)
        hasher = core_hasher(self, lowercase=lowercase)
        if core_can_read(self) and getattr(X, "ndim", 1) == 1:
            return matrix_arrays(hasher, X, text, n_jobs=self.n_jobs, **parameters.core_parameters)
        # One by one, for any number of threads: Python prepares the texts, or X is not one-dimensional.
        texts = (text(document) for document in iterate_documents(X))
        return matrix_arrays(hasher, texts, _identity, n_jobs=self.n_jobs, **parameters.core_parameters)


def _identity(text: str) -> str:
    return text
