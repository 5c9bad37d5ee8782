"""The sums of a finish over lanes: every lane adds up its own rows where they are, and only the sums travel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.engine.seam import Engine
from manymill.engine.spool import Ref
from manymill.linear.finish import Line, gradient_over, losses_over
from manymill.linear.lane import Lesson
from manymill.linear.lane_place import place_of
from manymill.linear.lane_tasks import Work
from manymill.linear.lbfgs import Vector


@dataclass(frozen=True, slots=True)
class SumTask:
    """A lane whose rows are looked at, and the arrays they are looked at with."""

    work: Work
    lane: int
    arrays: Ref

    @property
    def name(self) -> str:
        """What people call it, should it fail."""
        return f"the finish over lane {self.lane + 1}"

    def lessons(self) -> Iterator[Lesson]:
        """All rows of the lane, always in the same order."""
        place = place_of(self.work)
        rows = place.rows(self.lane)
        for number in range(place.lanes.rounds):
            # A later pass than the first: nothing is held out again, and kept rows are used.
            yield from rows.lessons(1, number)


class LaneSums:
    """Sums over the rows of all lanes.

    Parameters
    ----------
    work : Work
        What the lanes have in common.
    n_lanes : int
    engine : Engine
        Where they are.
    """

    def __init__(self, work: Work, n_lanes: int, engine: Engine) -> None:
        self._work, self._n_lanes, self._engine = work, n_lanes, engine

    def gradient(self, weights: NDArray[np.float32], intercept: NDArray[np.float32]) -> _core.Gradient:
        """Loss and gradient at weights and intercepts."""
        total: _core.Gradient | None = self._fold(
            _lane_gradient, add_gradients, {"weights": weights, "intercept": intercept}
        )
        assert total is not None
        return total

    def losses(self, line: Line) -> Vector:
        """The sums of losses at the steps of a line."""
        arrays = {name: getattr(line, name) for name in line.__dataclass_fields__}
        total: Vector = self._fold(_lane_losses, add_losses, arrays)
        return total

    def _fold(self, function: Any, combine: Any, arrays: dict[str, NDArray[Any]]) -> Any:
        published = self._engine.publish(arrays)
        tasks = [SumTask(self._work, lane, published) for lane in range(self._n_lanes)]
        try:
            return self._engine.fold(function, tasks, combine, keys=range(self._n_lanes))[1]
        finally:
            self._engine.withdraw(published)


def _lane_gradient(task: SumTask) -> tuple[None, _core.Gradient | None]:
    arrays = task.arrays.load()
    lessons = task.lessons()
    first = next(lessons, None)
    if first is None:
        return None, None
    return None, gradient_over(chain([first], lessons), arrays["weights"], arrays["intercept"])


def add_gradients(parts: list[_core.Gradient]) -> _core.Gradient:
    """The sum of gradients, in their order."""
    return _core.Gradient.combine(parts)


def _lane_losses(task: SumTask) -> tuple[None, Vector]:
    return None, losses_over(task.lessons(), Line(**task.arrays.load()))


def add_losses(parts: list[Vector]) -> Vector:
    """The sum of sums, in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
