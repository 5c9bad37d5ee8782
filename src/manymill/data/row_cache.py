"""Rows of hashed texts, kept for those who ask for the same ones again and again, as a search does.

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
from collections.abc import Callable, Hashable
from typing import Any

from manymill import _core

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
