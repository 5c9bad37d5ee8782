"""Scores of document batches by a linear model.

Batches may be scored on several threads at once; the scores are the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.batches import Batch
from manymill.model import LinearModel
from manymill.model.rows import RowHasher, table_of

# Scores that a thread holds at once: with thousands of classes, a batch is scored in pieces.
MAX_SCORES = 2**22


class Scorer:
    """Scores batches with a model, on any number of threads at once.

    Parameters
    ----------
    model : LinearModel
    """

    def __init__(self, model: LinearModel) -> None:
        self.model = model
        self._hasher = RowHasher(model.analyzer, table_of(model))

    def pieces(self, batch: Batch) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Score a batch in order, in pieces of at most ``MAX_SCORES`` numbers.

        Yields
        ------
        rows : slice
            Rows of the batch.
        scores : ndarray of float32, shape (n, n_outputs)
        """
        step = max(1, MAX_SCORES // self.model.n_outputs)
        for start in range(0, len(batch), step):
            stop = min(start + step, len(batch))
            yield slice(start, stop), self._scores(batch, start, stop)

    def _scores(self, batch: Batch, start: int, stop: int) -> NDArray[np.float32]:
        row_of = np.arange(start, stop, dtype=np.uint32)
        rows = self._hasher.rows([(batch.data, batch.offsets)], np.zeros_like(row_of), row_of)
        return _core.score_rows(rows, self.model.weights, self.model.intercept)
