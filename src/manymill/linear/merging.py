"""How the states of lanes become one: the rules, and the choice among them on held-out rows.

Pure: no files, clocks, threads. The sums themselves are native: see ``rust/src/learn/merging.rs``, which gives the
formulas of the rules and where they come from.

=========  ==========================================================================================
rule       a feature's weight moves by
=========  ==========================================================================================
uniform    the mean over all lanes
support    the mean over the lanes that met the feature
damped     the same, lengthened by the fourth root of their number, at most doubled
mass       the mean weighted by the squared gradients that each lane saw of the feature
=========  ==========================================================================================

``auto`` takes the first of damped, mass and support whose held-out loss is within a tenth of the best one's, and a
shorter or longer step where none of them is: the longest strides are the best in the long run, unless they stumble, and
to take the best loss of each round would be greedy. Where one round is all, there is no long run: ``auto`` is then the
step along the direction of mass that makes the loss of held-out rows least, see ``Settings.merge_used``.
``python benches/mixing.py --sections rules`` measures each rule for itself.
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

RULES = ("uniform", "support", "damped", "mass")

# Steps tried along a direction; 1 is the rule itself.
GRID = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)

# Margins that are looked at for each candidate: a tenth of a second.
MARGINS = 1 << 21

# How much worse than the best a preferred candidate's loss may be.
_SLACK = 1.1

# Sums for one rule more take as much memory again: with many outputs that counts.
_WIDE = 32


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do with the sums of a round."""

    rule: str
    step: float
    loss: float | None  # of the held-out rows after it; None without such rows
    accuracy: float | None


def rules_of(merge: str, n_outputs: int) -> tuple[str, ...]:
    """The rules that have to be compared, the preferred one first."""
    if merge == "auto":
        return ("damped", "mass", "support") if n_outputs <= _WIDE else ("damped", "support")
    return ("mass",) if merge == SEARCHED else (merge,)


def choose(
    candidates: Mapping[str, NDArray[np.float32]],
    before: NDArray[np.float32],
    classes: NDArray[np.int32],
    loss: str,
    merge: str,
) -> Choice:
    """The rule and the step to take.

    Parameters
    ----------
    candidates : mapping of str to ndarray of shape (n_rows, n_outputs)
        Decision values of held-out rows after a whole step by each rule, the preferred one first.
    before : ndarray of shape (n_rows, n_outputs)
        Decision values before it. They are linear in the weights, so those of any step lie on the line through both.
    classes : ndarray of shape (n_rows,)
        The classes of these rows; there may be none.
    loss : str
        The loss that is learnt.
    merge : str
        ``"auto"``, one of ``RULES``, or ``SEARCHED``.
    """
    preferred = next(iter(candidates))
    if not len(classes):
        # Nothing to choose by.
        return Choice(preferred, 1.0, None, None)
    if merge in RULES:
        return _measured(preferred, 1.0, before, candidates[preferred], classes, loss)
    if merge == SEARCHED:
        return _searched(preferred, before, candidates[preferred], classes, loss)
    whole = [_measured(rule, 1.0, before, after, classes, loss) for rule, after in candidates.items()]
    least = min(_or_worst(choice) for choice in whole)
    now = mean_loss(before, classes, loss)
    if least <= _SLACK * now:
        return next(choice for choice in whole if _or_worst(choice) <= _SLACK * least)
    # Every rule stumbles: another step.
    searched = [_searched(rule, before, after, classes, loss) for rule, after in candidates.items()]
    return min(searched, key=_or_worst)


def _or_worst(choice: Choice) -> float:
    return choice.loss if choice.loss is not None and math.isfinite(choice.loss) else math.inf


def _searched(
    rule: str,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    classes: NDArray[np.int32],
    loss: str,
) -> Choice:
    tried = [_measured(rule, step, before, after, classes, loss) for step in GRID]
    # Of equals the step nearest to the whole one.
    return min(tried, key=lambda choice: (_or_worst(choice), abs(choice.step - 1.0)))


def _measured(
    rule: str,
    step: float,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    classes: NDArray[np.int32],
    loss: str,
) -> Choice:
    with np.errstate(over="ignore", invalid="ignore"):
        # No step is no step, even where the direction leads to infinity.
        scores = before if step == 0.0 else after
        if step not in (0.0, 1.0):
            scores = before + np.float32(step) * (after - before)
        value = mean_loss(scores, classes, loss)
    return Choice(rule, step, value, float(np.mean(choose_classes(scores) == classes)))
