"""Merge rules of lanes, and the choice among them on held-out rows.

The sums are native: see ``rust/src/learn/merging.rs`` for the formulas of the rules and their sources.

=========  ==========================================================================================
rule       a weight moves by
=========  ==========================================================================================
uniform    the mean over all lanes
support    the mean over the lanes with the feature
damped     the same, times the fourth root of their number, at most doubled
mass       the mean weighted by the squared gradients of the feature in each lane
magnitude  the sum of the lanes' moves of this weight, shortened to the steps of one learner and by the
           fourth root of the number of lanes that moved it (by half of the square root above 16)
=========  ==========================================================================================

Every lane meets the frequent features, but only lanes with rows of a class move the weights of its output: magnitude
does not divide by the others. ``auto`` takes the first of :func:`rules_of` whose held-out loss is within a tenth of the
best. If every rule makes the loss worse, it takes a shorter or longer step. Long steps are best over many rounds as
long as they do not diverge; the best loss of each round would be a greedy choice. With a single round ``auto`` is the
step along the direction of mass that minimises the held-out loss: see ``Settings.merge_used``. ``python
benches/mixing.py --sections rules`` measures each rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manymill.linear.holdout import mean_loss
from manymill.linear.settings import SEARCHED
from manymill.model import choose_classes

RULES = ("uniform", "support", "damped", "mass", "magnitude")

# Steps tried along a direction; 1 is the rule itself.
GRID = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)

# Margins computed for each candidate: a tenth of a second.
MARGINS = 1 << 21

# Tolerance of the loss of a preferred candidate, relative to the best.
_SLACK = 1.1

# With more outputs the sums of further rules take too much memory.
_WIDE = 32


@dataclass(frozen=True, slots=True)
class MergeChoice:
    """Rule and step by which the sums of a round are applied."""

    rule: str
    step: float
    loss: float | None  # of the held-out rows after the step; None without such rows
    accuracy: float | None


def rules_of(merge: str, n_outputs: int) -> tuple[str, ...]:
    """The rules to compare, the preferred one first."""
    if merge == "auto":
        if n_outputs == 1:
            return ("damped", "mass", "support")
        return ("magnitude", "damped", "support") if n_outputs <= _WIDE else ("magnitude",)
    return ("mass",) if merge == SEARCHED else (merge,)


def n_sums(rules: tuple[str, ...]) -> int:
    """Number of sums of a weight's changes that the rules need, 8 bytes each."""
    # Plain sums; those weighted by squared gradients; those weighted by magnitudes, and the magnitudes.
    return (set(rules) != {"magnitude"}) + ("mass" in rules) + 2 * ("magnitude" in rules)


def choose(
    candidates: Mapping[str, NDArray[np.float32]],
    before: NDArray[np.float32],
    classes: NDArray[np.int32],
    loss: str,
    merge: str,
) -> MergeChoice:
    """Choose the rule and the step.

    Parameters
    ----------
    candidates : mapping of str to ndarray of shape (n_rows, n_outputs)
        Decision values of held-out rows after a full step by each rule, the preferred one first.
    before : ndarray of shape (n_rows, n_outputs)
        Decision values before the step. They are linear in the weights, so those of other steps are interpolated.
    classes : ndarray of shape (n_rows,)
        The classes of these rows, possibly none.
    loss : str
        The loss of the training.
    merge : str
        ``"auto"``, one of ``RULES``, or ``SEARCHED``.
    """
    preferred = next(iter(candidates))
    if not len(classes):
        return MergeChoice(preferred, 1.0, None, None)
    if merge in RULES:
        return _evaluate(preferred, 1.0, before, candidates[preferred], classes, loss)
    if merge == SEARCHED:
        return _line_search(preferred, before, candidates[preferred], classes, loss)
    full_steps = [_evaluate(rule, 1.0, before, after, classes, loss) for rule, after in candidates.items()]
    lowest = min(_loss_or_inf(choice) for choice in full_steps)
    now = mean_loss(before, classes, loss)
    if lowest <= _SLACK * now:
        return next(choice for choice in full_steps if _loss_or_inf(choice) <= _SLACK * lowest)
    # Every rule makes the loss worse: search for another step.
    steps = [_line_search(rule, before, after, classes, loss) for rule, after in candidates.items()]
    return min(steps, key=_loss_or_inf)


def _loss_or_inf(choice: MergeChoice) -> float:
    return choice.loss if choice.loss is not None and math.isfinite(choice.loss) else math.inf


def _line_search(
    rule: str,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    classes: NDArray[np.int32],
    loss: str,
) -> MergeChoice:
    tried = [_evaluate(rule, step, before, after, classes, loss) for step in GRID]
    # Of equal steps take the one nearest to a full step.
    return min(tried, key=lambda choice: (_loss_or_inf(choice), abs(choice.step - 1.0)))


def _evaluate(
    rule: str,
    step: float,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    classes: NDArray[np.int32],
    loss: str,
) -> MergeChoice:
    with np.errstate(over="ignore", invalid="ignore"):
        # A zero step changes nothing, even if the direction is infinite.
        scores = before if step == 0.0 else after
        if step not in (0.0, 1.0):
            scores = before + np.float32(step) * (after - before)
        value = mean_loss(scores, classes, loss)
    return MergeChoice(rule, step, value, float(np.mean(choose_classes(scores) == classes)))
