"""The drop-in for scikit-learn's ``HashingVectorizer``: the same bits, many times sooner.

In: documents in whatever a user holds them. Out: a SciPy sparse matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral
from operator import index
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.feature_extraction.text import HashingVectorizer as Original

from manymill.text.analysis import core_analyzes, core_hasher, core_takes, text_maker
from manymill.text.intake import matrix
from manymill.text.matrix import Arrays, Values
from manymill.text.objects import objects
from manymill.text.tokens import token_batches


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

    fast, 20 times
        The core does everything: characters, or words of the default ``token_pattern`` (however it is spelled), any
        ``ngram_range`` from 1 on, ``lowercase``, ``stop_words``, ``n_features``, ``binary``, ``norm``,
        ``alternate_sign``; values of float64, float32 and integers.
    middle, 7 to 16 times
        Python makes the text: ``preprocessor``, ``strip_accents`` (text that is ASCII has none), documents that are
        ``bytes`` or files.
    slow, 1.3 to 7 times
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
