"""A drop-in for scikit-learn's ``TfidfTransformer`` that is fitted incrementally or in parallel.

Fitting counts the documents with each feature. The counts are integers: they add up in any order to those of a single
fit, and so do the weights computed from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer as SklearnTfidfTransformer
from sklearn.utils.validation import check_is_fitted, validate_data

from manymill.errors import SettingsError
from manymill.text.sklearn_private import validates_parameters


@dataclass(frozen=True, eq=False)
class DocumentCounts:
    """Document counts of some documents.

    Parameters
    ----------
    n_documents : int
        Number of documents.
    per_feature : ndarray of shape (n_features,), int64
        Number of documents with each feature.
    dtype : numpy.dtype
        float32 if all matrices had this type, else float64.
    """

    n_documents: int
    per_feature: NDArray[np.int64]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, X: Any) -> Self:
        """Count the documents of a CSR or CSC matrix; every stored value counts, even an explicit zero."""
        n_documents, n_features = X.shape
        stored = np.bincount(X.indices, minlength=n_features) if X.format == "csr" else np.diff(X.indptr)
        dtype = np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
        return cls(n_documents, stored.astype(np.int64, copy=False), dtype)

    def __add__(self, other: DocumentCounts) -> DocumentCounts:
        return DocumentCounts(
            self.n_documents + other.n_documents,
            self.per_feature + other.per_feature,
            np.promote_types(self.dtype, other.dtype),
        )

    def idf(self, *, smooth: bool) -> NDArray[Any]:
        """The weights of the features, shape ``(n_features,)``, in scikit-learn's order of operations."""
        documents = self.per_feature.astype(self.dtype)
        documents += float(smooth)
        idf = np.full_like(documents, fill_value=self.n_documents + int(smooth))
        idf /= documents
        np.log(idf, out=idf)
        idf += 1.0
        return idf


class TfidfTransformer(SklearnTfidfTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Weight token counts by inverse document frequency, bit-identical to scikit-learn's estimator of this name.

    Fitting counts documents. Counts are integers, so the documents can be counted in any order and by any number of
    transformers: :meth:`partial_fit` counts block by block, :meth:`merge` adds the counts of other transformers, and
    the weights are bit-identical to one :meth:`fit` on all documents.

    Parameters
    ----------
    norm : {"l2", "l1"} or None
        Norm to divide each row by.
    use_idf : bool
        Whether to weight features; if not, nothing is counted.
    smooth_idf : bool
        Whether to count one additional document with every feature.
    sublinear_tf : bool
        Whether to replace each count by 1 + log(count).

    Attributes
    ----------
    idf_ : ndarray of shape (n_features,)
        The weights log(n_documents_ / document_counts_) + 1, both numbers plus 1 if smoothed. float32 if all blocks
        have this type, else float64. After :meth:`partial_fit` and :meth:`merge`, computed on first access. Only with
        ``use_idf``.
    document_counts_ : ndarray of shape (n_features,), int64
        Number of documents with each feature; an explicit zero in the matrix counts. Only with ``use_idf``.
    n_documents_ : int
        Number of documents. Only with ``use_idf``.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    sklearn.feature_extraction.text.TfidfTransformer : The original.
    manymill.HashingVectorizer : Computes the counts, with ``alternate_sign=False, norm=None``.

    Examples
    --------
    >>> from manymill import HashingVectorizer, TfidfTransformer
    >>> counts = HashingVectorizer(n_features=2**10, alternate_sign=False, norm=None)

    Out of core, block by block:

    >>> blocks = [["a good film", "a bad film"], ["a film of films"]]
    >>> tfidf = TfidfTransformer()
    >>> for texts in blocks:
    ...     tfidf = tfidf.partial_fit(counts.transform(texts))
    >>> tfidf.transform(counts.transform(["one good film"])).nnz
    3

    In parallel, with one transformer per block:

    >>> parts = [TfidfTransformer().partial_fit(counts.transform(texts)) for texts in blocks]
    >>> merged = TfidfTransformer().merge(*parts)
    >>> merged.n_documents_, bool((merged.idf_ == tfidf.idf_).all())
    (3, True)
    """

    @validates_parameters
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the weights to these documents only.

        Parameters
        ----------
        X : sparse or dense matrix of shape (n_documents, n_features)
            Token counts.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``X`` is not a matrix of finite numbers, or a parameter is invalid.
        """
        X = self._validated(X, reset=True)
        self._counts: DocumentCounts | None = None
        if self.use_idf:  # scikit-learn would keep old weights otherwise
            self._add(DocumentCounts.of(X))
            _ = self.idf_  # with the parameters at the time of the fit, as in scikit-learn
        return self

    @validates_parameters
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add these documents to the counts.

        Parameters
        ----------
        X : sparse or dense matrix of shape (n_documents, n_features)
            Token counts. Large blocks are faster: each call costs a pass over all features.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``X`` is not a matrix of finite numbers, or has another number of features than before; if a parameter
            is invalid, or ``use_idf`` has changed.
        """
        if _counted(self):
            _check_counts(self, f"{type(self).__name__}.partial_fit: this transformer")
        X = self._validated(X, reset=not _counted(self))
        if self.use_idf:
            self._add(DocumentCounts.of(X))
        return self

    def merge(self, *others: TfidfTransformer) -> Self:
        """Add the counts of other transformers, which are not changed; their order does not matter.

        This transformer may be unfitted.

        Parameters
        ----------
        *others : TfidfTransformer
            Fitted transformers with the same parameters and number of features.

        Returns
        -------
        self

        Raises
        ------
        SettingsError
            If another transformer has different parameters or features, or has no counts, as scikit-learn's; then
            nothing is changed.
        sklearn.exceptions.NotFittedError
            If another transformer is not fitted.
        """
        if _counted(self):
            _check_counts(self, f"{type(self).__name__}.merge: this transformer")
        for index, other in enumerate(others):
            check_is_fitted(other, "n_features_in_")
            _check_compatible(self, index, other, self if _counted(self) else others[0])
        # All counts are read before the first is added: this transformer may be among the others.
        parts = [other._required_counts("document_counts_") for other in others] if self.use_idf else []
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
        return self._required_counts("idf_").idf(smooth=bool(self.smooth_idf))

    @property
    def document_counts_(self) -> NDArray[np.int64]:
        """Number of documents with each feature."""
        return self._required_counts("document_counts_").per_feature

    @property
    def n_documents_(self) -> int:
        """Number of documents."""
        return self._required_counts("n_documents_").n_documents

    def _required_counts(self, name: str) -> DocumentCounts:
        counts: DocumentCounts | None = vars(self).get("_counts")
        if counts is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return counts

    def _validated(self, X: Any, *, reset: bool) -> Any:
        """Convert to CSR or CSC, with scikit-learn's validation."""
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


def _check_compatible(
    self: TfidfTransformer, index: int, other: TfidfTransformer, first: TfidfTransformer
) -> None:
    """Raise unless the other transformer has the parameters of this one and the features of the first."""
    which = f"{type(self).__name__}.merge: argument {index}"
    if not isinstance(other, TfidfTransformer):
        raise SettingsError(
            f"{which} is a {type(other).__module__}.{type(other).__name__}, which has no document counts",
            hint="fit each part with manymill.TfidfTransformer",
        )
    ours, theirs = self.get_params(), other.get_params()
    for name in ours:
        if ours[name] != theirs.get(name):
            raise SettingsError(
                f"{which} has {name}={theirs.get(name)!r}, but this transformer has {ours[name]!r}",
                hint="fit all parts with the same parameters",
            )
    if other.n_features_in_ != first.n_features_in_:
        raise SettingsError(
            f"{which} has {other.n_features_in_} features, but others have {first.n_features_in_}",
            hint="fit all parts with the same n_features",
        )
    if [*getattr(other, "feature_names_in_", ())] != [*getattr(first, "feature_names_in_", ())]:
        raise SettingsError(
            f"{which} has different feature names", hint="use the same columns in the same order"
        )
    _check_counts(other, which)


def _check_counts(transformer: TfidfTransformer, which: str) -> None:
    """Raise if ``use_idf`` has changed since the fit."""
    counts = vars(transformer).get("_counts") is not None
    if counts != bool(transformer.use_idf):
        raise SettingsError(
            f"{which} was fitted with use_idf={counts}, but use_idf is now {transformer.use_idf}",
            hint="fit it again",
        )
