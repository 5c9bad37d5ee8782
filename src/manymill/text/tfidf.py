"""TF-IDF learnt in parts: the documents are counted block by block, by anyone, and the counts are added.

In: matrices of token counts. Out: document counts, and from them the weights of scikit-learn's ``TfidfTransformer``.

How many documents have each feature: what TF-IDF learns, and all that has to travel.

In: a sparse matrix. Out: integers that can be added in any order, and from them the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.feature_extraction.text import TfidfTransformer as Original
from sklearn.utils.validation import check_is_fitted, validate_data

from manymill.errors import SettingsError


@dataclass(frozen=True, eq=False)
class DocumentCounts:
    """Counts of some documents.

    Parameters
    ----------
    n_documents : int
        How many documents there were.
    of_features : ndarray of shape (n_features,), int64
        How many of them have each feature.
    dtype : numpy.dtype
        float32 if all of them were, else float64.
    """

    n_documents: int
    of_features: NDArray[np.int64]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, X: Any) -> Self:
        """The counts of a CSR or CSC matrix, in which whatever is stored counts, be it zero."""
        n_documents, n_features = X.shape
        stored = np.bincount(X.indices, minlength=n_features) if X.format == "csr" else np.diff(X.indptr)
        dtype = np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
        return cls(n_documents, stored.astype(np.int64, copy=False), dtype)

    def __add__(self, other: DocumentCounts) -> DocumentCounts:
        return DocumentCounts(
            self.n_documents + other.n_documents,
            self.of_features + other.of_features,
            np.promote_types(self.dtype, other.dtype),
        )

    def idf(self, *, smooth: bool) -> NDArray[Any]:
        """The weights of the features, step by step as scikit-learn computes them, shape ``(n_features,)``."""
        documents = self.of_features.astype(self.dtype)
        documents += float(smooth)
        idf = np.full_like(documents, fill_value=self.n_documents + int(smooth))
        idf /= documents
        np.log(idf, out=idf)
        idf += 1.0
        return idf


class TfidfTransformer(Original, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Counts weighted by how rare their features are, bit for bit as scikit-learn's estimator of this name does it.

    What is learnt are numbers of documents. They are integers, so that it does not matter who counts which documents
    in which order: :meth:`partial_fit` counts one block after the other, :meth:`merge` adds what others have counted,
    and the weights are the bits that one :meth:`fit` to all documents gives.

    Parameters
    ----------
    norm : {"l2", "l1"} or None
        What a row is divided by in the end.
    use_idf : bool
        Whether to weight features at all; without, nothing is counted.
    smooth_idf : bool
        Whether to count one more document that has every feature.
    sublinear_tf : bool
        Whether a count becomes 1 + log(count) first.

    Attributes
    ----------
    idf_ : ndarray of shape (n_features,)
        The weights: log(n_documents_ / document_counts_) + 1, both numbers plus 1 if smoothed. float32 if all blocks
        were, else float64. After :meth:`partial_fit` and :meth:`merge` computed when first asked for. Only with
        ``use_idf``.
    document_counts_ : ndarray of shape (n_features,), int64
        The number of documents that have each feature; an explicit zero in the matrix counts. Only with ``use_idf``.
    n_documents_ : int
        The number of documents. Only with ``use_idf``.
    n_features_in_ : int
        The number of features.

    See Also
    --------
    sklearn.feature_extraction.text.TfidfTransformer : The original.
    manymill.HashingVectorizer : Counts for it, with ``alternate_sign=False, norm=None``.

    Examples
    --------
    >>> from manymill import HashingVectorizer, TfidfTransformer
    >>> counts = HashingVectorizer(n_features=2**10, alternate_sign=False, norm=None)

    Out of core, one block of documents after the other:

    >>> blocks = [["a good film", "a bad film"], ["a film of films"]]
    >>> tfidf = TfidfTransformer()
    >>> for texts in blocks:
    ...     tfidf = tfidf.partial_fit(counts.transform(texts))
    >>> tfidf.transform(counts.transform(["one good film"])).nnz
    3

    In parallel, each block by itself:

    >>> parts = [TfidfTransformer().partial_fit(counts.transform(texts)) for texts in blocks]
    >>> merged = TfidfTransformer().merge(*parts)
    >>> merged.n_documents_, bool((merged.idf_ == tfidf.idf_).all())
    (3, True)
    """

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None) -> Self:
        """The transformer with the weights of these documents alone.

        Parameters
        ----------
        X : sparse or dense matrix of shape (n_documents, n_features)
            Counts of tokens.
        y : None
            Not used.

        Raises
        ------
        ValueError
            If ``X`` is no matrix of finite numbers, or a parameter is wrong.
        """
        X = self._validated(X, reset=True)
        self._counts: DocumentCounts | None = None
        if self.use_idf:  # else scikit-learn leaves old weights in use
            self._add(DocumentCounts.of(X))
            _ = self.idf_  # by the parameters of now, as in scikit-learn
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """The transformer with these documents counted too.

        Parameters
        ----------
        X : sparse or dense matrix of shape (n_documents, n_features)
            Counts of tokens. Blocks of many documents are better: each call goes through all features once.
        y : None
            Not used.

        Raises
        ------
        ValueError
            If ``X`` is no matrix of finite numbers, or has another number of features than before; if a parameter is
            wrong, or ``use_idf`` not what it was.
        """
        if _counted(self):
            _check_counts(self, f"{type(self).__name__}.partial_fit: this one")
        X = self._validated(X, reset=not _counted(self))
        if self.use_idf:
            self._add(DocumentCounts.of(X))
        return self

    def merge(self, *others: TfidfTransformer) -> Self:
        """The transformer with the documents counted too that others have counted; those stay as they are.

        The order does not matter. A transformer that has counted nothing yet takes over what the others have.

        Parameters
        ----------
        *others : TfidfTransformer
            With the same parameters and number of features, fitted.

        Raises
        ------
        SettingsError
            If another transformer has other parameters, has counted other features, or keeps no counts, as
            scikit-learn's does; nothing is changed then.
        sklearn.exceptions.NotFittedError
            If another transformer has counted nothing.
        """
        if _counted(self):
            _check_counts(self, f"{type(self).__name__}.merge: this one")
        for number, other in enumerate(others):
            check_is_fitted(other, "n_features_in_")
            _check_alike(self, number, other, self if _counted(self) else others[0])
        # All of them before the first is added: one of them may be this one.
        parts = [other._told("document_counts_") for other in others] if self.use_idf else []
        for other in others:
            for name in ("n_features_in_", "feature_names_in_"):
                if name in vars(other):
                    setattr(self, name, vars(other)[name])
        for part in parts:
            self._add(part)
        return self

    @cached_property
    def idf_(self) -> NDArray[Any]:
        """The weights of the features."""
        return self._told("idf_").idf(smooth=bool(self.smooth_idf))

    @property
    def document_counts_(self) -> NDArray[np.int64]:
        """The number of documents that have each feature."""
        return self._told("document_counts_").of_features

    @property
    def n_documents_(self) -> int:
        """The number of documents."""
        return self._told("n_documents_").n_documents

    def _told(self, name: str) -> DocumentCounts:
        counts: DocumentCounts | None = vars(self).get("_counts")
        if counts is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return counts

    def _validated(self, X: Any, *, reset: bool) -> Any:
        """The matrix as CSR or CSC, after scikit-learn's checks."""
        import scipy.sparse as sp

        large = np.dtype(np.intp).itemsize == 8
        X = validate_data(self, X, accept_sparse=("csr", "csc"), accept_large_sparse=large, reset=reset)
        return X if sp.issparse(X) else sp.csr_array(X)

    def _add(self, counts: DocumentCounts) -> None:
        before: DocumentCounts | None = vars(self).get("_counts")
        self._counts = counts if before is None else before + counts
        self.__dict__.pop("idf_", None)


def _counted(transformer: TfidfTransformer) -> bool:
    return "n_features_in_" in vars(transformer)


def _check_alike(
    self: TfidfTransformer, number: int, other: TfidfTransformer, first: TfidfTransformer
) -> None:
    """Raise unless the other's counts are of the same features as the first's, and for the same weights."""
    which = f"{type(self).__name__}.merge: argument {number}"
    if not isinstance(other, TfidfTransformer):
        raise SettingsError(
            f"{which} is a {type(other).__module__}.{type(other).__name__}, which keeps no counts",
            hint="count the part with manymill.TfidfTransformer",
        )
    ours, theirs = self.get_params(), other.get_params()
    for name in ours:
        if ours[name] != theirs.get(name):
            raise SettingsError(
                f"{which} has {name}={theirs.get(name)!r}, this one {ours[name]!r}",
                hint="count all parts with the same parameters",
            )
    if other.n_features_in_ != first.n_features_in_:
        raise SettingsError(
            f"{which} has {other.n_features_in_} features, others have {first.n_features_in_}",
            hint="count all parts with the same n_features",
        )
    if [*getattr(other, "feature_names_in_", ())] != [*getattr(first, "feature_names_in_", ())]:
        raise SettingsError(
            f"{which} has other names of features", hint="use the same columns in the same order"
        )
    _check_counts(other, which)


def _check_counts(transformer: TfidfTransformer, which: str) -> None:
    """Raise unless there are counts just where they are used now."""
    counts = vars(transformer).get("_counts") is not None
    if counts != bool(transformer.use_idf):
        raise SettingsError(
            f"{which} was fitted with use_idf={counts}, and now has {transformer.use_idf}",
            hint="fit it anew",
        )
