"""Texts that were hashed once and lie in mapped files: any number of models is fitted on them, and none hashes again.

::

    HashedTexts  = documents (bytes of text, keys)  +  a form for each analyzer (raw hashes, ends)  +  rows
                   └──────────── files, mapped by every process that reads them ────────────┘

A batch of hashed texts has no text; all else that a training goes by is there, the sizes of the texts among them: the
model is that of the texts, bit for bit.

Rows of hashed texts, kept for those who ask for the same ones again and again, as a search does.

::

    asked for fewer rows than there are texts, so far    ──► None: whoever asks makes its own
    from then on                                         ──► the rows of all texts, made once, picked from by number

A share of the rows is asked for often, by candidates that differ in how they learn. To make all rows costs as much as
has been spent on them by then: as long as there is room for all forms, at worst twice as much is spent as with the best
decision in hindsight.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from manymill import _core
from manymill.data.batches import Batch, Labels
from manymill.data.column_store import MappedColumns
from manymill.errors import SchemaError, SettingsError

# All rows of 33 MB of text in one form take 30 MB, and 70 MB with pairs of words; a search may try a dozen forms.
_LIMIT_BYTES = 1 << 30
_SHARE_OF_MEMORY = 16


class RowCache:
    """Rows of all texts in several forms; those that were used longest ago go first. Any number of threads may ask.

    Parameters
    ----------
    limit_bytes : int, optional
        Of all rows that are kept: a sixteenth of the memory, but no more than 1 GiB, if not given.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit_bytes = _own_limit() if limit_bytes is None else limit_bytes
        self._asked: Counter[Hashable] = Counter()
        self._rows: OrderedDict[Hashable, _core.Rows] = OrderedDict()
        self._refused: set[Hashable] = set()  # too large, or being made
        self._lock = threading.Lock()

    def get(
        self, form: Hashable, n_asked: int, n_texts: int, n_hashes: int, make: Callable[[], _core.Rows]
    ) -> _core.Rows | None:
        """The rows of all texts in a form, or None.

        Parameters
        ----------
        form : hashable
            What rows depend on besides the texts.
        n_asked : int
            Rows that are needed now.
        n_texts, n_hashes : int
            Of all texts.
        make : callable
            Makes the rows of all texts.
        """
        with self._lock:
            if form in self._rows:
                self._rows.move_to_end(form)
                return self._rows[form]
            self._asked[form] += n_asked
            # A feature has 8 bytes, and of the hashes of ordinary text at least every other one is another feature.
            if form in self._refused or self._asked[form] < n_texts or 4 * n_hashes > self._limit_bytes:
                return None
            self._refused.add(form)
        rows = make()
        with self._lock:
            self._asked[form] = 0
            if rows.nbytes <= self._limit_bytes:
                self._refused.discard(form)
                self._rows[form] = rows
            while sum(kept.nbytes for kept in self._rows.values()) > self._limit_bytes:
                self._rows.popitem(last=False)
        return rows

    def clear(self) -> None:
        """Let all rows go; they are made again when they are asked for."""
        with self._lock:
            self._rows.clear()
            self._asked.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles empty, and stays so: there may be as many processes as processors, each with rows of its own."""
        return RowCache, (0,)


def _own_limit() -> int:
    if not hasattr(os, "sysconf"):
        return _LIMIT_BYTES // 4  # nobody to ask
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(_LIMIT_BYTES, memory // _SHARE_OF_MEMORY)


# Least and greatest number of words of an n-gram, and whether text is lower-cased.
Form = tuple[tuple[int, int], bool]
# All hashes of a form, and where those of each row start and end.
Chunk = tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]
DOCUMENT_COLUMNS: dict[str, np.dtype[Any]] = {"sizes": np.dtype("<u4"), "keys": np.dtype("<u8")}
HASH_COLUMNS: dict[str, np.dtype[Any]] = {"hashes": np.dtype("<u4"), "ends": np.dtype("<i8")}


class HashedTexts:
    """Texts as the raw hashes of their words: what ``fit``, ``predict`` and ``score`` take in place of the texts.

    It is small, and pickles as the names of its files and its rows.

    Parameters
    ----------
    documents : MappedColumns
        ``sizes``, bytes of each text, and ``keys``, by which rows are held out.
    forms : mapping of Form to MappedColumns
        ``hashes`` of all texts, one text after the other, and where those of each text end, ``ends``.
    rows : ndarray of int64, optional
        The rows that this object stands for, in their order; None for all.
    cache : RowCache, optional
        That of the texts of which these are some.
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
        self._chunks: dict[Form, Chunk] = {}

    def __len__(self) -> int:
        return len(self._documents["sizes"] if self._rows is None else self._rows)

    @property
    def shape(self) -> tuple[int]:
        """``(n_rows,)``."""
        return (len(self),)

    @property
    def identity(self) -> str:
        """The name of the texts that were hashed, whatever rows of them this object stands for."""
        return self._documents.folder.name

    def __getitem__(self, rows: Any) -> HashedTexts:
        """The texts of some rows: numbers in any order, a mask, or a slice."""
        if isinstance(rows, tuple) and len(rows) == 2 and rows[1] is Ellipsis:
            rows = rows[0]  # as scikit-learn picks the rows of arrays of any dimensions
        if self._rows is None and isinstance(rows, slice):
            picked = np.arange(*rows.indices(len(self)))  # not all of them for each batch
        else:
            every = np.arange(len(self)) if self._rows is None else self._rows
            picked = every[rows if isinstance(rows, slice) else np.asarray(rows)]
        if picked.ndim != 1:
            raise TypeError("hashed texts are no strings: they can be picked, but not read one by one")
        return HashedTexts(self._documents, self._forms, picked.astype(np.int64), self.cache)

    def take(self, rows: ArrayLike, axis: int = 0) -> HashedTexts:
        """The texts of rows of these numbers."""
        return self[rows]

    def filter(self, mask: Any) -> HashedTexts:
        """The texts of the rows for which a mask is true."""
        return self[np.asarray(mask, np.bool_)]

    def text_bytes(self) -> NDArray[np.int64]:
        """Bytes of each text in UTF-8, ``(n_rows,)``."""
        return self._picked("sizes").astype(np.int64)

    def keys(self) -> NDArray[np.uint64]:
        """What rows are held out by, ``(n_rows,)``: see :mod:`manymill.data.batches`."""
        return self._picked("keys").astype(np.uint64)

    def numbers(self) -> NDArray[np.int64]:
        """The texts that this object stands for, by their numbers among all that were hashed, ``(n_rows,)``."""
        return np.arange(len(self)) if self._rows is None else self._rows

    def whole(self) -> HashedTexts:
        """All texts that were hashed."""
        return HashedTexts(self._documents, self._forms, cache=self.cache)

    def sizes(self, ngram_range: tuple[int, int], lowercase: bool) -> tuple[int, int]:
        """How many texts were hashed, and to how many hashes of a form."""
        ends = self._columns((ngram_range, bool(lowercase)))["ends"]
        return len(ends), int(ends[-1]) if len(ends) else 0

    def _picked(self, column: str) -> NDArray[Any]:
        values = np.asarray(self._documents[column])
        return values if self._rows is None else values[self._rows]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chunks": {}}

    def chunk(self, ngram_range: tuple[int, int], lowercase: bool) -> Chunk:
        """All hashes of a form, and where those of each row start and end.

        Raises
        ------
        SettingsError
            If the texts were not hashed like that.
        """
        form = (ngram_range, bool(lowercase))
        # The rows of a batch are taken slice by slice.
        if form not in self._chunks:
            self._chunks[form] = self._chunk(form)
        return self._chunks[form]

    def _columns(self, form: Form) -> MappedColumns:
        columns = self._forms.get(form)
        if columns is None:
            known = ", ".join(f"ngram_range={words}, lowercase={lower}" for words, lower in self._forms)
            raise SettingsError(
                f"the texts were hashed with {known}, not with ngram_range={form[0]}, lowercase={form[1]}",
                "name all n-grams and cases that will be tried when the texts are hashed",
            )
        return columns

    def _chunk(self, form: Form) -> Chunk:
        columns = self._columns(form)
        hashes, ends = np.asarray(columns["hashes"]), np.asarray(columns["ends"])
        if self._rows is None:
            return hashes, np.concatenate(([0], ends[:-1])), ends
        starts = np.where(self._rows == 0, 0, ends[self._rows - 1])
        return hashes, starts, ends[self._rows]


class HashedMemory:
    """Hashed texts with labels and weights: a dataset in which the texts are no texts.

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
            raise SchemaError("a hashed text has no label", "leave such rows out")
        self._texts = texts
        self._label = None if label is None else label.cast(pa.string())
        self._weight = None if weight is None else weight.to_numpy(zero_copy_only=False)
        self._integers = label is not None and pa.types.is_integer(label.type)
        self._offsets = np.concatenate(([0], np.cumsum(texts.text_bytes())))
        self._keys = texts.keys()

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def nbytes(self) -> int:
        """Bytes that the texts would take as an Arrow array: what blocks are cut by."""
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
