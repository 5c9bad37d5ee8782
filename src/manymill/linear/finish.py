"""The optional finish: L-BFGS over all rows, from the best state that the passes have found.

::

    each iteration:  gradient      one pass: parts of lessons, added up in a fixed tree
                     line search   one pass: sums of losses by step
                     measured on held-out rows by the caller, who keeps the state or not

Works on the features met in training; the weights are held twice while it runs, and 16 times in float64 for those
features.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.engine import stopping
from manymill.linear.lane import Lane, Lesson
from manymill.linear.lbfgs import Iterate, Vector, dot, minimise
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState, Snapshot

# Parts added up at once; the same whoever adds them.
FAN_IN = 4


class GradientTree:
    """Adds up gradients in a tree of fixed shape, holding few of them at a time."""

    def __init__(self) -> None:
        self._levels: list[list[_core.Gradient]] = []

    def add(self, part: _core.Gradient) -> None:
        """Take the next part in order."""
        for level in itertools.count():
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(part)
            if len(self._levels[level]) < FAN_IN:
                return
            part = _core.Gradient.combine(self._levels[level])
            self._levels[level] = []

    def total(self) -> _core.Gradient:
        """The sum of all parts.

        Raises
        ------
        ValueError
            If there were none.
        """
        above = list(itertools.chain.from_iterable(reversed(self._levels)))
        return _core.Gradient.combine(above)


class RowSums(Protocol):
    """Sums over all rows that are learnt from; each is a pass."""

    def gradient(self, weights: NDArray[np.float32], intercept: NDArray[np.float32]) -> _core.Gradient:
        """Loss and gradient at weights, ``(n_features, n_outputs)``, and intercepts, ``(n_outputs,)``."""

    def losses(self, line: Line) -> Vector:
        """The sums of losses at the steps of a line, ``(n_steps,)``."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points along a direction."""

    weights: NDArray[np.float32]  # (n_features, n_outputs)
    intercept: NDArray[np.float32]  # (n_outputs,)
    direction: NDArray[np.float32]  # (n_features, n_outputs)
    turn: NDArray[np.float32]  # (n_outputs,): the direction of the intercepts
    steps: Vector  # (n_steps,)


def gradient_over(
    lessons: Iterable[Lesson], weights: NDArray[np.float32], intercept: NDArray[np.float32]
) -> _core.Gradient:
    """The gradient over lessons, added up in a fixed tree."""
    tree = GradientTree()
    for lesson in lessons:
        stopping.check()
        tree.add(_core.Gradient.at(lesson.rows, lesson.classes, lesson.weights, weights, intercept))
    return tree.total()


def losses_over(lessons: Iterable[Lesson], line: Line) -> Vector:
    """The sums of losses of lessons, in their order."""
    sums = np.zeros(len(line.steps))
    for lesson in lessons:
        stopping.check()
        sums += _core.losses_along(
            lesson.rows,
            lesson.classes,
            lesson.weights,
            line.weights,
            line.intercept,
            line.direction,
            line.turn,
            line.steps,
        )
    return sums


class Objective:
    """Mean loss over the rows plus the L2 penalty, as a function of the weights of the features met.

    Parameters
    ----------
    sums : RowSums
        Over which rows.
    state : LinearState
        Where to start; it is not changed.
    settings : Settings
        Regularisation, and whether there are intercepts.
    """

    def __init__(self, sums: RowSums, state: LinearState, settings: Settings) -> None:
        self._sums, self._settings = sums, settings
        learner = state.learner
        self._weights, self._intercept = learner.weights(0, learner.n_features), learner.intercept()
        self._direction = np.zeros_like(self._weights)
        self._first: _core.Gradient | None = self._gradient()
        self._features, self._scale = self._first.features, 1.0 / self._first.weight_sum
        self.start: Vector = np.concatenate(
            [self._weights[self._features].ravel(), self._intercept], dtype=np.float64
        )

    def evaluate(self, point: Vector) -> tuple[float, Vector]:
        """Loss and gradient at a point: weights of the features met, feature after feature, then intercepts."""
        self._place(point)
        # That of the start was needed to know the features.
        gradient = self._gradient() if self._first is None or point is not self.start else self._first
        self._first = None
        scale, l2 = self._scale, self._settings.l2
        slope = np.concatenate([gradient.sums.ravel(), gradient.intercept]) * scale
        slope[: self._n_weights] += l2 * point[: self._n_weights]
        if not self._settings.fit_intercept:
            slope[self._n_weights :] = 0.0
        weights = point[: self._n_weights]
        return scale * gradient.loss_sum + 0.5 * l2 * dot(weights, weights), slope

    def search(self, point: Vector, direction: Vector, steps: Vector) -> Vector:
        """The losses at ``point + step * direction``; the point must have been evaluated last."""
        n, k = self._n_weights, len(self._intercept)
        self._direction[self._features] = direction[:n].reshape(-1, k)
        turn = direction[n:].astype(np.float32)
        line = Line(self._weights, self._intercept, self._direction, turn, steps)
        sums = self._sums.losses(line)
        squares = [dot(a[:n], b[:n]) for a, b in ((point, point), (point, direction), (direction, direction))]
        penalty = squares[0] + 2 * steps * squares[1] + steps**2 * squares[2]
        losses: Vector = self._scale * sums + 0.5 * self._settings.l2 * penalty
        return losses

    def write(self, point: Vector, state: LinearState) -> None:
        """Give a state the weights of a point; its squared-gradient sums stay."""
        self._place(point)
        sums: NDArray[np.float32] = state.learner.intercept_state()[1]
        state.restore(Snapshot(self._weights, np.stack([self._intercept, sums])))

    @property
    def _n_weights(self) -> int:
        return len(self._features) * len(self._intercept)

    def _place(self, point: Vector) -> None:
        n = self._n_weights
        self._weights[self._features] = point[:n].reshape(-1, len(self._intercept))
        self._intercept[:] = point[n:]

    def _gradient(self) -> _core.Gradient:
        return self._sums.gradient(self._weights, self._intercept)


class LessonSums:
    """Sums over the lessons of one lane.

    Parameters
    ----------
    lane : Lane
    first_pass : int
        The number of the next pass, from 0.
    """

    def __init__(self, lane: Lane, first_pass: int) -> None:
        self._lane, self._numbers = lane, itertools.count(first_pass)

    def gradient(self, weights: NDArray[np.float32], intercept: NDArray[np.float32]) -> _core.Gradient:
        """Loss and gradient at weights and intercepts."""
        return gradient_over(self._lane.lessons(next(self._numbers)), weights, intercept)

    def losses(self, line: Line) -> Vector:
        """The sums of losses at the steps of a line."""
        return losses_over(self._lane.lessons(next(self._numbers)), line)


def iterations(sums: RowSums, state: LinearState, settings: Settings) -> Iterator[Iterate]:
    """The iterations of a finish; while each is looked at, ``state`` has its weights."""
    objective = Objective(sums, state, settings)
    for iterate in minimise(objective, objective.start, iterations=settings.finish_iterations):
        objective.write(iterate.point, state)
        yield iterate
