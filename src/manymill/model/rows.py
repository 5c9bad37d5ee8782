"""An analyzer at work: documents to rows, weighed by feature where a model has weights for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.model.linear import Analyzer, Norm


class Hashed(Protocol):
    """Documents that were hashed before."""

    def chunk(
        self, ngram_range: tuple[int, int], lowercase: bool
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
        """Hashes, and where those of each document start and end."""


Documents = Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]]  # in Arrow layout


class RowHasher:
    """An analyzer, ready to be applied by any number of threads at once.

    Parameters
    ----------
    analyzer : Analyzer
        How a document becomes a row.
    feature_weights : ndarray of float32, shape (n_features,), optional
        What each value is multiplied by before the row is divided by its norm.
    """

    def __init__(self, analyzer: Analyzer, feature_weights: NDArray[np.float32] | None = None) -> None:
        self._analyzer, self._weights = analyzer, feature_weights
        self._hasher = _core.Hasher(ngram_range=analyzer.ngram_range, lowercase=analyzer.lowercase)

    def rows(
        self, documents: Documents, chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        """The rows of documents picked from chunks: ``row_of[i]`` of chunk ``chunk_of[i]``."""
        analyzer = self._analyzer
        rows = self._hasher.rows_utf8(
            documents, chunk_of, row_of, analyzer.n_features, value=analyzer.value, norm=self._norm
        )
        return self._weighted(rows)

    def rows_of_hashed(
        self, documents: Sequence[Hashed], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        """The same rows, of documents that were hashed before."""
        analyzer = self._analyzer
        chunks = [chunk.chunk(analyzer.ngram_range, analyzer.lowercase) for chunk in documents]
        rows = _core.Rows.of_hashes(
            chunks, chunk_of, row_of, analyzer.n_features, value=analyzer.value, norm=self._norm
        )
        return self._weighted(rows)

    @property
    def _norm(self) -> Norm | None:
        return self._analyzer.norm if self._weights is None else None

    def _weighted(self, rows: _core.Rows) -> _core.Rows:
        return rows if self._weights is None else rows.weighted(self._weights, self._analyzer.norm)
