"""Trees as they are grown: handed out, brought back in order, counted, stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Protocol

from manymill.engine.arrivals import arrivals
from manymill.engine.seam import Engine
from manymill.forest.grown import Grown


class Task(Protocol):
    """What grows one tree on a worker."""

    @property
    def number(self) -> int: ...

    def grow(self) -> Grown: ...


class Growth:
    """The trees so far; another thread may look.

    The trees that count are those without a gap from the first on: a tree that came before its turn waits. So what
    has been grown when a fit is stopped is what a fit with fewer trees would have grown.
    """

    def __init__(self) -> None:
        self._ahead: dict[int, Grown] = {}
        self._members: list[Grown] = []
        self._changing = threading.Lock()

    @property
    def members(self) -> list[Grown]:
        """Those in order, without a gap."""
        with self._changing:
            return list(self._members)

    def add(self, grown: Grown, first: int) -> list[Grown]:
        """Take a tree; gives those whose turn has come."""
        with self._changing:
            self._ahead[grown.number] = grown
            turn = []
            while (member := self._ahead.pop(first + len(self._members), None)) is not None:
                self._members.append(member)
                turn.append(member)
            return turn


def _grow(task: Task) -> Grown:
    return task.grow()


def grow(
    tasks: Sequence[Task],
    engine: Engine,
    growth: Growth,
    *,
    keys: Sequence[int | None] | None = None,
    on_grown: Callable[[Grown], None] = lambda _: None,
    stop: Callable[[Grown], bool] = lambda _: False,
) -> None:
    """Grow the trees of the tasks on an engine.

    Parameters
    ----------
    tasks : sequence
        In the order of their numbers, without a gap.
    engine : Engine
    growth : Growth
        Is filled; what it holds is whole whenever this ends.
    keys : sequence of int or None, optional
        Which tasks go to the same worker where that is possible.
    on_grown : callable
        Called with each tree as it arrives.
    stop : callable
        Asked for each tree in its turn; the first that it holds for is the last.
    """
    if not tasks:
        return
    first = tasks[0].number

    def submit(task: Task, key: int | None) -> Any:
        return engine.submit(_grow, task, key=key)

    with closing(arrivals(submit, tasks, keys=keys, window=2 * engine.width)) as coming:
        for _, grown in coming:
            on_grown(grown)
            for member in growth.add(grown, first):
                if stop(member):
                    return
