"""Limited-memory BFGS (Nocedal 1980) for an objective that others add up. Pure.

::

    gradient = objective.evaluate(point)                    one look at all rows
    repeat:  direction = -H · gradient                      H from the last 6 steps: the two-loop recursion
             losses    = objective.search(point, direction, steps)      one look serves every step of the grid
             point     = point + best step · direction
             keep (s, y) = (change of point, change of gradient) if s·y > 1e-12

Where no step lowers the loss the history is dropped and the gradient itself tried; after that it is over. Sums
run in one fixed order, so the points have the same bytes on any number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

HISTORY = 6
LEAST_CURVATURE = 1e-12

# Of a quasi-Newton step, which is about right as it is.
STEPS: Vector = np.array(
    [0, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8, 11, 16, 23, 32, 64], np.float64
)
# Of a gradient, which knows nothing of scale: 0, and from 1e-3 to 1e4.
FIRST_STEPS: Vector = np.concatenate([[0.0], 1e-3 * 1.5 ** np.arange(40)])


class Objective(Protocol):
    """What is made small."""

    def evaluate(self, point: Vector) -> tuple[float, Vector]:
        """Loss and gradient at a point, ``(n,)``."""
        ...

    def search(self, point: Vector, direction: Vector, steps: Vector) -> Vector:
        """The losses at ``point + step * direction``, ``(n_steps,)``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Iterate:
    """Where an iteration arrived."""

    number: int  # from 1
    point: Vector
    loss: float
    step: float


def minimise(
    objective: Objective, start: Vector, *, iterations: int, history: int = HISTORY
) -> Iterator[Iterate]:
    """Points of ever lower loss; fewer than ``iterations`` if there is none lower.

    Parameters
    ----------
    objective : Objective
    start : ndarray of float64, shape (n,)
    iterations : int
        Two looks at all rows each.
    history : int
        Steps remembered, of ``2 * n`` numbers each.
    """
    pairs: deque[tuple[Vector, Vector]] = deque(maxlen=history)
    point = start
    _, gradient = objective.evaluate(point)
    for number in range(1, iterations + 1):
        direction = descent(gradient, pairs)
        step = _best_step(objective, point, direction, STEPS if pairs else FIRST_STEPS)
        if not step and pairs:
            pairs.clear()
            direction = -gradient
            step = _best_step(objective, point, direction, FIRST_STEPS)
        if not step:
            return
        # As float32, which models are kept in: the loss is that of the very point.
        moved = (point + step * direction).astype(np.float32).astype(np.float64)
        loss, slope = objective.evaluate(moved)
        change, bend = moved - point, slope - gradient
        if dot(change, bend) > LEAST_CURVATURE:
            pairs.append((change, bend))
        point, gradient = moved, slope
        yield Iterate(number, point, loss, step)


def descent(gradient: Vector, pairs: deque[tuple[Vector, Vector]]) -> Vector:
    """The direction ``-H · gradient``, H being the inverse curvature that the steps have shown, oldest first."""
    direction = -gradient
    shares = []
    for change, bend in reversed(pairs):
        share = dot(change, direction) / dot(change, bend)
        direction -= share * bend
        shares.append(share)
    if pairs:
        change, bend = pairs[-1]
        direction *= dot(change, bend) / dot(bend, bend)
    for (change, bend), share in zip(pairs, reversed(shares), strict=True):
        direction += (share - dot(bend, direction) / dot(change, bend)) * change
    return direction


def dot(a: Vector, b: Vector) -> float:
    """The sum of products, in NumPy's own order: that of BLAS depends on its threads."""
    return float((a * b).sum())


def _best_step(objective: Objective, point: Vector, direction: Vector, steps: Vector) -> float:
    losses = objective.search(point, direction, steps)
    return float(steps[np.argmin(np.where(np.isfinite(losses), losses, np.inf))])
