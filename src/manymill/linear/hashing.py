"""Slices of documents turned into rows of features, ahead of whoever takes them, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

from manymill import _core
from manymill.data.dataset import Dataset
from manymill.data.reading import read
from manymill.engine.local import workers
from manymill.engine.ordered import map_in_order
from manymill.linear.slices import Slice, whole
from manymill.model import Analyzer


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
    """

    def __init__(self, analyzer: Analyzer, executor: Executor | None, look_ahead: int) -> None:
        self._analyzer, self._executor, self._look_ahead = analyzer, executor, look_ahead
        self._hasher = _core.Hasher(ngram_range=analyzer.ngram_range, lowercase=analyzer.lowercase)

    def rows(self, part: Slice) -> _core.Rows:
        """The rows of a slice."""
        analyzer = self._analyzer
        return self._hasher.rows_utf8(
            part.documents,
            part.chunk_of,
            part.row_of,
            analyzer.n_features,
            value=analyzer.value,
            norm=analyzer.norm,
        )

    def ahead(self, slices: Iterable[Slice]) -> Iterator[tuple[Slice, _core.Rows]]:
        """Slices and their rows in order; a bounded number of them is hashed ahead."""
        if self._executor is None:
            return map(self._paired, slices)
        return map_in_order(self._paired, slices, executor=self._executor, look_ahead=self._look_ahead)

    def _paired(self, part: Slice) -> tuple[Slice, _core.Rows]:
        return part, self.rows(part)


def rows_of(X: Any, analyzer: Analyzer, *, threads: int) -> Iterator[_core.Rows]:
    """The rows of texts in their own order, some at a time.

    Parameters
    ----------
    X : Dataset or sequence of str
        Texts: a list, NumPy array, Arrow array, pandas or polars column; or what :func:`manymill.scan` gives.
    analyzer : Analyzer
        How a document becomes a row.
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
    with workers(threads) as executor:
        batches = read(X.plan(), executor=executor, look_ahead=2 * threads)
        maker = RowMaker(analyzer, executor, 2 * threads)
        for _, rows in maker.ahead(whole(batch, None) for batch in batches if len(batch)):
            yield rows
