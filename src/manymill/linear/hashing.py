"""Slices of documents turned into rows of features, ahead of whoever takes them, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from manymill import _core
from manymill.data.dataset import Dataset
from manymill.data.reading import read
from manymill.linear.slices import Slice, whole
from manymill.model import Analyzer


class RowMaker:
    """An analyzer, ready to be applied on other threads.

    Parameters
    ----------
    analyzer : Analyzer
        How a document becomes a row.
    executor : Executor
        Threads that hash.
    look_ahead : int
        Slices in hand at a time.
    """

    def __init__(self, analyzer: Analyzer, executor: Executor, look_ahead: int) -> None:
        self._analyzer, self._executor, self._look_ahead = analyzer, executor, look_ahead
        self._hasher = _core.Hasher(ngram_range=analyzer.ngram_range, lowercase=analyzer.lowercase)

    def rows(self, part: Slice) -> _core.Rows:
        """The rows of a slice."""
        hashed = self._hasher.hash_utf8(part.documents, part.chunk_of, part.row_of)
        analyzer = self._analyzer
        return hashed.to_rows(analyzer.n_features, value=analyzer.value, norm=analyzer.norm)

    def ahead(self, slices: Iterable[Slice]) -> Iterator[tuple[Slice, _core.Rows]]:
        """Slices and their rows in order; a bounded number of them is hashed ahead."""
        waiting: deque[tuple[Slice, Future[_core.Rows]]] = deque()
        rest = iter(slices)
        while True:
            while len(waiting) < self._look_ahead and (part := next(rest, None)) is not None:
                waiting.append((part, self._executor.submit(self.rows, part)))
            if not waiting:
                return
            part, future = waiting.popleft()
            yield part, future.result()


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
        If texts are no strings.
    """
    dataset = X if isinstance(X, Dataset) else Dataset.from_memory(X)
    with ThreadPoolExecutor(threads, thread_name_prefix="manymill") as executor:
        batches = read(dataset.plan(), executor=executor, look_ahead=2 * threads)
        maker = RowMaker(analyzer, executor, 2 * threads)
        for _, rows in maker.ahead(whole(batch, None) for batch in batches if len(batch)):
            yield rows
