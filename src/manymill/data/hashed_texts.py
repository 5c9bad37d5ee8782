"""Texts hashed once into memory-mapped files, to fit any number of models without hashing again.

::

    HashedTexts  = documents (text sizes, row keys)  +  one form per analyzer (raw hashes, ends)  +  row selection
                   └──────────────── files, mapped by every process that reads them ─────────────┘

A batch of hashed texts has no text, but everything that training depends on, including the sizes of the texts: the
model is bit-identical to that of the texts.
"""

from __future__ import annotations

import os
import reprlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from manymill import _core
from manymill.data.batches import Batch, Labels
from manymill.data.column_store import MappedColumns
from manymill.errors import SchemaError, SettingsError
from manymill.hash_form import Form, differing

# The rows of 33 MB of text take 30 MB, and 70 MB with word bigrams; a search may try a dozen forms.
_LIMIT_BYTES = 1 << 30
_SHARE_OF_MEMORY = 16


class RowCache:
    """Thread-safe least-recently-used cache of the feature rows of all texts, by form.

    A search requests parts of the rows again and again, for candidates that differ in training parameters only.
    Requests return None, and the caller computes its rows itself, until the requested rows of a form add up to the
    number of texts. Then all rows are computed, at about the cost spent so far: unless the cache is too small for all
    forms, the total cost is at most twice that of the best decision in hindsight.

    Parameters
    ----------
    limit_bytes : int, optional
        Size of the cache; by default a sixteenth of the memory, at most 1 GiB.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit_bytes = _default_limit() if limit_bytes is None else limit_bytes
        self._requested: Counter[Hashable] = Counter()
        self._rows: OrderedDict[Hashable, _core.Rows] = OrderedDict()
        self._excluded: set[Hashable] = set()  # too large, or being computed by another thread
        self._lock = threading.Lock()

    def get(
        self, form: Hashable, n_requested: int, n_texts: int, n_hashes: int, make: Callable[[], _core.Rows]
    ) -> _core.Rows | None:
        """The rows of all texts in a form, or None.

        Parameters
        ----------
        form : hashable
            Everything that rows depend on besides the texts.
        n_requested : int
            Number of rows that the caller needs.
        n_texts, n_hashes : int
            Totals over all texts.
        make : callable
            Computes the rows of all texts.
        """
        with self._lock:
            if form in self._rows:
                self._rows.move_to_end(form)
                return self._rows[form]
            self._requested[form] += n_requested
            # A feature takes 8 bytes, and at least half of the hashes of ordinary text are distinct features.
            too_large = 4 * n_hashes > self._limit_bytes
            if form in self._excluded or self._requested[form] < n_texts or too_large:
                return None
            self._excluded.add(form)
        rows = make()
        with self._lock:
            self._requested[form] = 0
            if rows.nbytes <= self._limit_bytes:
                self._excluded.discard(form)
                self._rows[form] = rows
            while sum(cached.nbytes for cached in self._rows.values()) > self._limit_bytes:
                self._rows.popitem(last=False)
        return rows

    def clear(self) -> None:
        """Remove all rows; they are computed again on request."""
        with self._lock:
            self._rows.clear()
            self._requested.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a disabled cache: one cache in each of many worker processes would take too much memory."""
        return RowCache, (0,)


def _default_limit() -> int:
    if not hasattr(os, "sysconf"):
        return _LIMIT_BYTES // 4  # the size of the memory is unknown
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(_LIMIT_BYTES, memory // _SHARE_OF_MEMORY)


# All hashes of a form, and the start and end of each row in them.
HashChunk = tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]
DOCUMENT_COLUMNS: dict[str, np.dtype[Any]] = {"sizes": np.dtype("<u4"), "keys": np.dtype("<u8")}
HASH_COLUMNS: dict[str, np.dtype[Any]] = {"hashes": np.dtype("<u4"), "ends": np.dtype("<i8")}


class HashedTexts:
    """Texts as raw hashes of their n-grams, accepted by ``fit``, ``predict`` and ``score`` in place of the texts.

    The object is small: it pickles as the names of its files and its row selection.

    Parameters
    ----------
    documents : MappedColumns
        ``sizes``, bytes of each text, and ``keys``, which decide the rows held out.
    forms : mapping of Form to MappedColumns
        ``hashes`` of all texts, concatenated, and ``ends``, the end of each text in them.
    rows : ndarray of int64, optional
        The selected rows, in order; None for all.
    cache : RowCache, optional
        Cache shared with the other selections of the same texts.
    """

    def __init__(
        self,
        documents: MappedColumns,
        forms: Mapping[Form, MappedColumns],
        rows: NDArray[np.int64] | None = None,
        cache: RowCache | None = None,
    ) -> None:
        self._documents, self._forms, self._rows = documents, dict(forms), rows
        self.cache = RowCache() if cache is None else cache
        self._chunks: dict[Form, HashChunk] = {}

    def __len__(self) -> int:
        return len(self._documents["sizes"] if self._rows is None else self._rows)

    @property
    def shape(self) -> tuple[int]:
        """``(n_rows,)``."""
        return (len(self),)

    @property
    def identity(self) -> str:
        """Name of the hashed texts, independent of the row selection."""
        return self._documents.folder.name

    def __getitem__(self, rows: Any) -> HashedTexts:
        """Select rows by a list of indices, a mask, or a slice."""
        if isinstance(rows, tuple) and len(rows) == 2 and rows[1] is Ellipsis:
            rows = rows[0]  # the form in which scikit-learn indexes arrays of any dimension
        if self._rows is None and isinstance(rows, slice):
            selected = np.arange(*rows.indices(len(self)))  # avoids an array of all rows for each batch
        else:
            selected = self.row_indices()[rows if isinstance(rows, slice) else np.asarray(rows)]
        if selected.ndim != 1:
            raise TypeError(
                "hashed texts cannot be read one by one: select rows with a list, a mask or a slice"
            )
        return HashedTexts(self._documents, self._forms, selected.astype(np.int64), self.cache)

    def take(self, rows: ArrayLike, axis: int = 0) -> HashedTexts:
        """Select rows by index."""
        return self[rows]

    def filter(self, mask: Any) -> HashedTexts:
        """Select the rows for which a mask is true."""
        return self[np.asarray(mask, np.bool_)]

    def text_bytes(self) -> NDArray[np.int64]:
        """Bytes of each text in UTF-8, ``(n_rows,)``."""
        return self._selected("sizes").astype(np.int64)

    def keys(self) -> NDArray[np.uint64]:
        """The row keys, ``(n_rows,)``: see :func:`manymill.data.batches.row_keys`."""
        return self._selected("keys").astype(np.uint64)

    def row_indices(self) -> NDArray[np.int64]:
        """The selected rows as indices into all hashed texts, ``(n_rows,)``."""
        return np.arange(len(self)) if self._rows is None else self._rows

    def all_rows(self) -> HashedTexts:
        """All hashed texts, without the row selection."""
        return HashedTexts(self._documents, self._forms, cache=self.cache)

    def sizes(self, form: Form) -> tuple[int, int]:
        """The number of all hashed texts, and of their hashes in a form."""
        ends = self._columns(form)["ends"]
        return len(ends), int(ends[-1]) if len(ends) else 0

    def _selected(self, column: str) -> NDArray[Any]:
        values = np.asarray(self._documents[column])
        return values if self._rows is None else values[self._rows]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chunks": {}}

    def chunk(self, form: Form) -> HashChunk:
        """All hashes of a form, and the start and end of each row in them.

        Raises
        ------
        SettingsError
            If the texts were not hashed in this form.
        """
        # Cached, since the rows of a batch are requested slice by slice.
        if form not in self._chunks:
            self._chunks[form] = self._chunk(form)
        return self._chunks[form]

    def _columns(self, form: Form) -> MappedColumns:
        columns = self._forms.get(form)
        if columns is None:
            names = sorted({name for known in self._forms for name in differing(known, form)})
            known = " or ".join(_values(known, names) for known in self._forms)
            raise SettingsError(
                f"the texts were hashed with {known}, not with {_values(form, names)}",
                f"hash the texts with all values of {', '.join(names)} that will be tried",
            )
        return columns

    def _chunk(self, form: Form) -> HashChunk:
        columns = self._columns(form)
        hashes, ends = np.asarray(columns["hashes"]), np.asarray(columns["ends"])
        if self._rows is None:
            return hashes, np.concatenate(([0], ends[:-1])), ends
        starts = np.where(self._rows == 0, 0, ends[self._rows - 1])
        return hashes, starts, ends[self._rows]


def _values(form: Form, names: Sequence[str]) -> str:
    return ", ".join(f"{name}={reprlib.repr(getattr(form, name))}" for name in names)


class HashedColumns:
    """Hashed texts with labels and weights, the in-memory columns of a dataset without texts.

    Parameters
    ----------
    texts : HashedTexts
    label : Arrow array of str, or None
    weight : Arrow array of float32, or None

    Raises
    ------
    SchemaError
        If a label is missing.
    """

    is_hashed = True

    def __init__(self, texts: HashedTexts, label: pa.Array | None, weight: pa.Array | None) -> None:
        if label is not None and label.null_count:
            raise SchemaError("a hashed text has no label", "remove rows without a label")
        self._texts = texts
        self._label = None if label is None else label.cast(pa.string())
        self._weight = None if weight is None else weight.to_numpy(zero_copy_only=False)
        self._integers = label is not None and pa.types.is_integer(label.type)
        self._offsets = np.concatenate(([0], np.cumsum(texts.text_bytes())))
        self._keys = texts.keys()

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights."""
        return self._weight is not None

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def nbytes(self) -> int:
        """Bytes that the texts would take as an Arrow array; decides the blocks."""
        return int(self._offsets[-1]) + self._offsets.nbytes

    def batch(self, start: int, stop: int, file: int) -> Batch:
        """The rows from ``start`` to ``stop``."""
        label = None
        if self._label is not None:
            coded = self._label.slice(start, stop - start).dictionary_encode()
            codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
            label = Labels(tuple(coded.dictionary.to_pylist()), codes)
        return Batch(
            data=np.zeros(0, np.uint8),
            offsets=self._offsets[start : stop + 1],
            label=label,
            weight=None if self._weight is None else self._weight[start:stop],
            position=np.arange(start, stop, dtype=np.int64),
            file=file,
            keys=self._keys[start:stop],
            labels_are_integers=self._integers,
            hashed=self._texts[start:stop],
        )
