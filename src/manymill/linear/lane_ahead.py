"""The first lessons of a round, read and hashed before it begins: while the driver merges, workers have nothing to do.

It saves time and decides nothing: the lessons are those that would be read later, in the same order.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from manymill.linear.lane import Lesson

# Bytes of rows that are read ahead for a lane.
_MOST_BYTES = 16 << 20


class Ahead:
    """Lessons of one round of one lane.

    Parameters
    ----------
    which : (int, int)
        The pass and the round.
    lessons : iterator of Lesson
        All of its lessons.
    """

    def __init__(self, which: tuple[int, int], lessons: Iterator[Lesson]) -> None:
        self.which = which
        self._lessons = lessons
        self._ready: deque[Lesson] = deque()
        self._is_due = threading.Event()
        self._filling = threading.Lock()
        self._failed = False

    def fill(self) -> None:
        """Read lessons until the round begins, or there are enough."""
        n_bytes = 0
        with self._filling:
            while n_bytes < _MOST_BYTES and not self._is_due.is_set():
                try:
                    lesson = next(self._lessons, None)
                except Exception:
                    # Whoever reads them again when they are due meets the same, and says so.
                    self._failed = True
                    self._ready.clear()
                    return
                if lesson is None:
                    return
                self._ready.append(lesson)
                n_bytes += lesson.rows.nbytes

    def stop(self) -> bool:
        """Have no more lessons read ahead; whether those that were may be used."""
        self._is_due.set()
        with self._filling:
            return not self._failed

    def lessons(self) -> Iterator[Lesson]:
        """All lessons, those that are ready first."""
        while self._ready:
            yield self._ready.popleft()
        yield from self._lessons
