"""Convert documents to rows of features, mapped to the columns of a model if it holds the features in use only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.constants import Norm
from manymill.hash_form import DocumentHasher, Documents
from manymill.model.linear import Analyzer, LinearModel

if TYPE_CHECKING:
    from manymill.data.hashed_texts import HashedTexts as Hashed


class RowHasher:
    """Thread-safe converter of documents to rows.

    Parameters
    ----------
    analyzer : Analyzer
    table : FeatureTable, optional
        Features in use, which are mapped to their columns; others are left out. If the table has weights they multiply
        the values before the row is normalised; otherwise the norm is that of all features of the row.
    """

    def __init__(self, analyzer: Analyzer, table: _core.FeatureTable | None = None) -> None:
        self._analyzer, self._table = analyzer, table
        # Values are weighted before the row is normalised.
        self._is_weighted = table is not None and table.weights is not None
        self._form = analyzer.form
        self._hasher = DocumentHasher(self._form)

    def rows(
        self, documents: Documents, chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        """The rows of selected documents: row ``i`` is document ``row_of[i]`` of chunk ``chunk_of[i]``."""
        analyzer = self._analyzer
        rows = self._hasher.rows(
            documents, chunk_of, row_of, analyzer.n_features, value=analyzer.value, norm=self._norm
        )
        return self._mapped(rows)

    def rows_of_hashed(
        self, documents: Sequence[Hashed], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        """The same rows, for documents that are already hashed."""
        cached = self._cached_rows(documents, len(row_of))
        if cached is None:
            return self._mapped(self._rows_of_hashes(documents, chunk_of, row_of))
        indices = [chunk.row_indices() for chunk in documents]
        starts = np.cumsum([0, *map(len, indices)])[chunk_of]
        return self._mapped(cached.take(np.concatenate(indices)[starts + row_of].astype(np.uint32)))

    def _cached_rows(self, documents: Sequence[Hashed], n_requested: int) -> _core.Rows | None:
        """The cached rows of all texts that the documents were selected from, if they were requested often enough."""
        if not documents or any(chunk.cache is not documents[0].cache for chunk in documents):
            return None
        analyzer = self._analyzer
        n_texts, n_hashes = documents[0].sizes(self._form)
        form = replace(analyzer, norm=self._norm)

        def make() -> _core.Rows:
            every = np.arange(n_texts, dtype=np.uint32)
            return self._rows_of_hashes([documents[0].all_rows()], np.zeros_like(every), every)

        return documents[0].cache.get(form, n_requested, n_texts, n_hashes, make)

    def _rows_of_hashes(
        self, documents: Sequence[Hashed], chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.Rows:
        analyzer = self._analyzer
        chunks = [chunk.chunk(self._form) for chunk in documents]
        return _core.Rows.of_hashes(
            chunks, chunk_of, row_of, analyzer.n_features, value=analyzer.value, norm=self._norm
        )

    @property
    def _norm(self) -> Norm | None:
        return None if self._is_weighted else self._analyzer.norm

    def _mapped(self, rows: _core.Rows) -> _core.Rows:
        if self._table is None:
            return rows
        return rows.mapped(self._table, self._analyzer.norm if self._is_weighted else None)


def table_of(model: LinearModel) -> _core.FeatureTable | None:
    """The table of the features of a model; None if every hash bucket is a column and has no weight."""
    features, weights = model.features, model.feature_weights
    if features is None and weights is None:
        return None
    n_hashed = model.analyzer.n_features
    every = np.arange(n_hashed, dtype=np.uint32) if features is None else features
    return _core.FeatureTable.from_arrays(n_hashed, every, weights)
