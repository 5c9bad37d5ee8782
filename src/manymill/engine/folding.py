"""Parts combined in a fixed tree, whoever made them and in whatever order they arrive.

::

    items    0 1 2 3 | 4 5 6 7 | 8 9        groups of fan_in consecutive items, then groups of groups:
    level 1     a         b       c         floating-point sums come out the same bytes every time
    level 2     a b c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Part = TypeVar("Part")


class FixedTree(Generic[Part]):
    """A tree over ``n_items`` parts that are added in any order; a group is combined as soon as it is whole.

    Parameters
    ----------
    n_items : int
    fan_in : int
        2 or more.
    combine : callable
        Makes one part of two or more. What is ``None`` is left out, and a part alone in its group passes as it is.
    """

    def __init__(self, n_items: int, fan_in: int, combine: Callable[[list[Part]], Part]) -> None:
        if fan_in < 2:
            raise ValueError(f"fan_in must be 2 or more, not {fan_in}")
        self._combine = combine
        self._fan_in = fan_in
        self._sizes = [n_items]
        while self._sizes[-1] > 1:
            self._sizes.append(-(-self._sizes[-1] // fan_in))
        self._held: dict[tuple[int, int], Part | None] = {}

    def add(self, index: int, part: Part | None) -> None:
        """Add the part of an item; combines every group that becomes whole by it."""
        level = 0
        self._held[level, index] = part
        while level + 1 < len(self._sizes):
            group = index // self._fan_in
            members = range(group * self._fan_in, min((group + 1) * self._fan_in, self._sizes[level]))
            if any((level, member) not in self._held for member in members):
                return
            parts = [self._held.pop((level, member)) for member in members]
            level, index = level + 1, group
            self._held[level, index] = self._one(parts)

    def root(self) -> Part | None:
        """The combined part, once all have been added; None if there was none."""
        return self._held.get((len(self._sizes) - 1, 0))

    def _one(self, parts: list[Part | None]) -> Part | None:
        there = [part for part in parts if part is not None]
        return self._combine(there) if len(there) > 1 else next(iter(there), None)
