"""Convert documents to rows of features, multiplied by the feature weights of a model if it has any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.constants import Norm
from manymill.model.linear import Analyzer

if TYPE_CHECKING:
    from manymill.data.hashed_texts import HashedTexts as Hashed


Documents = Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]]  # in Arrow layout


class RowHasher:
    """Thread-safe converter of documents to rows.

    Parameters
    ----------
    analyzer : Analyzer
    feature_weights : ndarray of float32, shape (n_features,), optional
        Factor of each feature, applied before the norm.
    """

    def __init__(self, analyzer: Analyzer, feature_weights: NDArray[np.float32] | None = None) -> None:
        self._analyzer, self._weights = analyzer, feature_weights
        self._hasher = _core.Hasher(ngram_range=analyzer.ngram_range, lowercase=analyzer.lowercase)

    def rows(
        self, documents: Documents, chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        """The rows of selected documents: row ``i`` is document ``row_of[i]`` of chunk ``chunk_of[i]``."""
        analyzer = self._analyzer
        rows = self._hasher.rows_utf8(
            documents, chunk_of, row_of, analyzer.n_features, value=analyzer.value, norm=self._norm
        )
        return self._weighted(rows)

    def rows_of_hashed(
        self, documents: Sequence[Hashed], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        """The same rows, for documents that are already hashed."""
        cached = self._cached_rows(documents, len(row_of))
        if cached is None:
            return self._weighted(self._rows_of_hashes(documents, chunk_of, row_of))
        indices = [chunk.row_indices() for chunk in documents]
        starts = np.cumsum([0, *map(len, indices)])[chunk_of]
        return self._weighted(cached.take(np.concatenate(indices)[starts + row_of].astype(np.uint32)))

    def _cached_rows(self, documents: Sequence[Hashed], n_requested: int) -> _core.Rows | None:
        """The cached rows of all texts that the documents were selected from, if they were requested often enough."""
        if not documents or any(chunk.cache is not documents[0].cache for chunk in documents):
            return None
        analyzer = self._analyzer
        n_texts, n_hashes = documents[0].sizes(analyzer.ngram_range, analyzer.lowercase)
        form = (analyzer.ngram_range, analyzer.lowercase, analyzer.n_features, analyzer.value, self._norm)

        def make() -> _core.Rows:
            every = np.arange(n_texts, dtype=np.uint32)
            return self._rows_of_hashes([documents[0].all_rows()], np.zeros_like(every), every)

        return documents[0].cache.get(form, n_requested, n_texts, n_hashes, make)

    def _rows_of_hashes(
        self, documents: Sequence[Hashed], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        analyzer = self._analyzer
        chunks = [chunk.chunk(analyzer.ngram_range, analyzer.lowercase) for chunk in documents]
        return _core.Rows.of_hashes(
            chunks, chunk_of, row_of, analyzer.n_features, value=analyzer.value, norm=self._norm
        )

    @property
    def _norm(self) -> Norm | None:
        return self._analyzer.norm if self._weights is None else None

    def _weighted(self, rows: _core.Rows) -> _core.Rows:
        return rows if self._weights is None else rows.weighted(self._weights, self._analyzer.norm)
