"""The drop-in for scikit-learn's ``HashingVectorizer``: the same bits, many times sooner.

In: documents in whatever a user holds them. Out: a SciPy sparse matrix.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from manymill._core import Hasher
from manymill.errors import UnsupportedError
from manymill.text.intake import matrix

_TOKEN_PATTERN = r"(?u)\b\w\w+\b"

# What is there, of the parameters that are not there in full.
_ONLY: dict[str, Any] = {
    "input": "content",
    "strip_accents": None,
    "preprocessor": None,
    "tokenizer": None,
    "stop_words": None,
    "token_pattern": _TOKEN_PATTERN,
    "analyzer": "word",
}


class HashingVectorizer(TransformerMixin, BaseEstimator):
    """The matrix of hashed token counts, bit for bit the one of scikit-learn's estimator of this name.

    Stateless: :meth:`transform` needs no :meth:`fit`. Every parameter of scikit-learn's estimator is there; a
    value that is not supported is refused when the estimator is used.

    Parameters
    ----------
    input : {"content"}
        Documents are given themselves, not as files.
    encoding : str, default="utf-8"
        How documents that are ``bytes`` are decoded.
    decode_error : {"strict", "ignore", "replace"}
        What happens to ``bytes`` that cannot be decoded.
    strip_accents, preprocessor, tokenizer, stop_words : None
        Only None is supported.
    lowercase : bool
        Whether to lower-case first.
    token_pattern : str
        Only scikit-learn's default is supported: words of two characters and more.
    ngram_range : tuple (least, greatest)
        Least and greatest number of words of an n-gram, both counted.
    analyzer : {"word"}
        Features are made of words.
    n_features : int, default=2**20
        Columns of the matrix, 1 to 2**31 - 2.
    binary : bool
        Whether every stored value becomes 1 before the norm.
    norm : {"l1", "l2"} or None
        What a row is divided by.
    alternate_sign : bool
        Whether half of the tokens count -1, so that collisions tend to cancel.
    dtype : {numpy.float64, numpy.float32}
        Type of the values.

    See Also
    --------
    sklearn.feature_extraction.text.HashingVectorizer : The original.

    Examples
    --------
    >>> from manymill.text.hashing import HashingVectorizer
    >>> HashingVectorizer(n_features=16).transform(["one two", "two three three"]).shape
    (2, 16)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "input": [StrOptions({"filename", "file", "content"})],
        "encoding": [str],
        "decode_error": [StrOptions({"strict", "ignore", "replace"})],
        "strip_accents": [StrOptions({"ascii", "unicode"}), None, callable],
        "lowercase": ["boolean"],
        "preprocessor": [callable, None],
        "tokenizer": [callable, None],
        "stop_words": [StrOptions({"english"}), list, None],
        "token_pattern": [str, None],
        "ngram_range": [tuple],
        "analyzer": [StrOptions({"word", "char", "char_wb"}), callable],
        "n_features": [Interval(Integral, 1, np.iinfo(np.int32).max, closed="left")],
        "binary": ["boolean"],
        "norm": [StrOptions({"l1", "l2"}), None],
        "alternate_sign": ["boolean"],
        "dtype": "no_validation",
    }

    def __init__(
        self,
        *,
        input: str = "content",
        encoding: str = "utf-8",
        decode_error: str = "strict",
        strip_accents: Any = None,
        lowercase: bool = True,
        preprocessor: Any = None,
        tokenizer: Any = None,
        stop_words: Any = None,
        token_pattern: str | None = _TOKEN_PATTERN,
        ngram_range: tuple[int, int] = (1, 1),
        analyzer: Any = "word",
        n_features: int = 2**20,
        binary: bool = False,
        norm: str | None = "l2",
        alternate_sign: bool = True,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.input = input
        self.encoding = encoding
        self.decode_error = decode_error
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.ngram_range = ngram_range
        self.analyzer = analyzer
        self.n_features = n_features
        self.binary = binary
        self.norm = norm
        self.alternate_sign = alternate_sign
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None) -> Self:
        """The estimator itself, its parameters checked; nothing is learnt.

        Raises
        ------
        UnsupportedError
            If a parameter has a value that this estimator does not support.
        """
        _refuse_one_string(X)
        self._check_supported()
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """The same as :meth:`fit`."""
        self.fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The same as :meth:`transform`, after a check of the parameters."""
        return self.fit(X, y).transform(X)

    def transform(self, X: Iterable[Any]) -> Any:
        """The matrix of the documents.

        Parameters
        ----------
        X : iterable of str or bytes
            Lists, generators, NumPy arrays, pandas and polars series, pyarrow arrays (read in place).

        Returns
        -------
        scipy.sparse.csr_matrix or csr_array
            Shape ``(n_documents, n_features)``; which of them, scikit-learn's ``sparse_interface`` says.

        Raises
        ------
        UnsupportedError
            If a parameter has a value that this estimator does not support.
        ValueError
            If ``X`` is one string, or there is no document.
        AttributeError
            If a document is neither ``str`` nor ``bytes`` (``TypeError`` without ``lowercase``, as in
            scikit-learn).
        UnicodeDecodeError
            If ``bytes`` cannot be decoded and ``decode_error="strict"``.
        """
        _refuse_one_string(X)
        dtype = self._check_supported()
        hasher = Hasher(ngram_range=self.ngram_range, lowercase=bool(self.lowercase))
        data, indices, indptr = matrix(
            hasher,
            X,
            self._decoded,
            n_features=self.n_features,
            alternate_sign=bool(self.alternate_sign),
            binary=bool(self.binary),
            norm=self.norm,  # type: ignore[arg-type]
            dtype=dtype,  # type: ignore[arg-type]
        )
        if len(indptr) == 1:
            raise ValueError("Cannot vectorize empty sequence.")
        return _matrix(data, indices, indptr, (len(indptr) - 1, self.n_features))

    def _decoded(self, document: Any) -> str:
        """The document as ``str``, or the error that scikit-learn raises for it."""
        if isinstance(document, bytes):
            return document.decode(self.encoding, self.decode_error)
        if isinstance(document, str):
            return document
        if document is np.nan:
            raise ValueError("np.nan is an invalid document, expected byte or unicode string.")
        if self.lowercase:
            document.lower  # noqa: B018  (its AttributeError is the one to raise)
        raise TypeError(f"expected string or bytes-like object, got {type(document).__name__!r}")

    def _check_supported(self) -> str:
        """The name of the dtype; raises if a parameter has a value that is not supported."""
        least, greatest = self.ngram_range
        if least > greatest:
            raise ValueError(
                f"Invalid value for ngram_range={self.ngram_range} "
                "lower boundary larger than the upper boundary."
            )
        if least < 1:
            raise UnsupportedError(
                f"HashingVectorizer: ngram_range={self.ngram_range} is not supported",
                hint="n-grams have at least one word",
            )
        for name, only in _ONLY.items():
            if getattr(self, name) != only:
                raise UnsupportedError(
                    f"HashingVectorizer: {name}={getattr(self, name)!r} is not supported, only {only!r}",
                    hint="use sklearn.feature_extraction.text.HashingVectorizer for this setting",
                )
        dtype = np.dtype(self.dtype)
        if dtype not in (np.float64, np.float32):
            raise UnsupportedError(
                f"HashingVectorizer: dtype={dtype} is not supported, only float64 and float32",
                hint="convert the matrix: X.astype(...)",
            )
        return dtype.name

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def _refuse_one_string(X: Any) -> None:
    if isinstance(X, str):
        raise ValueError("Iterable over raw text documents expected, string object received.")


def _matrix(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> Any:
    import scipy.sparse as sp
    from sklearn import get_config

    arrays = get_config().get("sparse_interface", "spmatrix") == "sparray"
    matrix = (sp.csr_array if arrays else sp.csr_matrix)((data, indices, indptr), shape=shape)
    # They are sorted and distinct as they come; to say so saves SciPy a pass over them.
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix
