"""Slices of documents turned into rows of features, ahead of whoever takes them, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.dataset import Dataset
from manymill.data.reader import read
from manymill.engine.local import map_in_order, workers
from manymill.linear.slices import Slice, whole
from manymill.model import Analyzer
from manymill.model.rows import RowHasher


class RowMaker:
    """An analyzer, ready to be applied on other threads.

    Parameters
    ----------
    analyzer : Analyzer
        How a document becomes a row.
    executor : Executor or None
        Threads that hash; None: the thread that takes the rows does.
    look_ahead : int
        Slices in hand at a time.
    feature_weights : ndarray of float32, shape (n_features,), optional
        What each value is multiplied by before the row is divided by its norm.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        executor: Executor | None,
        look_ahead: int,
        feature_weights: NDArray[np.float32] | None = None,
    ) -> None:
        self._executor, self._look_ahead = executor, look_ahead
        self._hasher = RowHasher(analyzer, feature_weights)

    def rows(self, part: Slice) -> _core.Rows:
        """The rows of a slice."""
        texts = [chunk for chunk in part.documents if isinstance(chunk, tuple)]
        if texts:
            return self._hasher.rows(texts, part.chunk_of, part.row_of)
        hashed = [chunk for chunk in part.documents if not isinstance(chunk, tuple)]
        return self._hasher.rows_of_hashed(hashed, part.chunk_of, part.row_of)

    def ahead(self, slices: Iterable[Slice]) -> Iterator[tuple[Slice, _core.Rows]]:
        """Slices and their rows in order; a bounded number of them is hashed ahead."""
        if self._executor is None:
            return map(self._paired, slices)
        return map_in_order(self._paired, slices, executor=self._executor, look_ahead=self._look_ahead)

    def _paired(self, part: Slice) -> tuple[Slice, _core.Rows]:
        return part, self.rows(part)


def rows_of(
    X: Any, analyzer: Analyzer, feature_weights: NDArray[np.float32] | None, *, threads: int
) -> Iterator[_core.Rows]:
    """The rows of texts in their own order, some at a time.

    Parameters
    ----------
    X : Dataset or sequence of str
        Texts: a list, NumPy array, Arrow array, pandas or polars column; or what :func:`manymill.scan` gives.
    analyzer : Analyzer
        How a document becomes a row.
    feature_weights : ndarray of float32, shape (n_features,), or None
        What each value is multiplied by before the row is divided by its norm.
    threads : int
        Threads that hash.

    Raises
    ------
    SchemaError
        If there is no text, one is missing, or one is no string.
    """
    if not isinstance(X, Dataset):
        # Here, since files are trained on without Arrow.
        from manymill.data.memory import complete_texts

        X = Dataset.from_memory(complete_texts(X))
    plan = X.plan()
    ahead = threads > 1 or not plan.is_hashed
    with workers(threads) if ahead else nullcontext() as executor:
        batches = read(plan, executor=executor, look_ahead=2 * threads)
        maker = RowMaker(analyzer, executor, 2 * threads, feature_weights)
        for _, rows in maker.ahead(whole(batch, None) for batch in batches if len(batch)):
            yield rows
