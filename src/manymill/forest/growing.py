"""Trees as they are grown: handed out, brought back in order, counted, stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Protocol

from manymill.engine.base import Engine, arrivals
from manymill.forest.grown import Grown


class Task(Protocol):
    """What grows one tree on a worker; it pickles."""

    @property
    def number(self) -> int:
        """Of the tree, from 0."""

    def grow(self) -> Grown:
        """Grow it."""


class Growth:
    """The trees so far; another thread may look.

    The trees that count are those without a gap from the first on: a tree that came before its turn waits. So what
    has been grown when a fit is stopped is what a fit with fewer trees would have grown.

    Parameters
    ----------
    earlier : sequence of Grown
        The first trees.
    """

    def __init__(self, earlier: Sequence[Grown] = ()) -> None:
        self._ahead: dict[int, Grown] = {}
        self._members = list(earlier)
        self._over = False
        self._changing = threading.Lock()

    @property
    def members(self) -> list[Grown]:
        """Those in order, without a gap."""
        with self._changing:
            return list(self._members)

    def add(self, grown: Grown, last: Callable[[Grown], bool]) -> bool:
        """Take a tree, and give whether any more are wanted.

        Parameters
        ----------
        grown : Grown
        last : callable
            Asked for each tree in its turn; the first that it holds for is the last, whatever came before its turn.
        """
        self._ahead[grown.number] = grown
        while not self._over and (member := self._ahead.pop(len(self._members), None)) is not None:
            with self._changing:
                self._members.append(member)
            self._over = last(member)
        return not self._over


def grow(
    tasks: Sequence[Task],
    engine: Engine,
    take: Callable[[Grown], bool],
    *,
    keys: Sequence[int | None] | None = None,
) -> None:
    """Grow the trees of the tasks on an engine, as long as ``take``, which is given each, wants more.

    Parameters
    ----------
    tasks : sequence
    engine : Engine
    take : callable
        Called on this thread, in the order of arrival.
    keys : sequence of int or None, optional
        Which tasks go to the same worker where that is possible.
    """

    def submit(task: Task, key: int | None) -> Future[Grown]:
        return engine.submit(_grow, task, key=key)

    with closing(arrivals(submit, tasks, keys=keys, window=2 * engine.width)) as coming:
        for _, grown in coming:
            if not take(grown):
                return


def _grow(task: Task) -> Grown:
    return task.grow()
