"""How many documents have each feature: what TF-IDF learns, and all that has to travel.

In: a sparse matrix. Out: integers that can be added in any order, and from them the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


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
