"""What a mixing tells of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Between two scores R², a difference that is more than chance.
_R2_MARGIN = 0.01


class AveragingWarning(UserWarning):
    """The average is worse on held-out rows than the best part, or than a model that learnt all rows in turn.

    Examples
    --------
    >>> import warnings
    >>> from manymill import AveragingWarning
    >>> warnings.simplefilter("error", AveragingWarning)
    """


@dataclass(frozen=True, slots=True)
class MixingScores:
    """Scores on held-out rows: accuracy, or R² for regression.

    Parameters
    ----------
    n_rows : int
        Held-out rows.
    parts : tuple of (float or None)
        Of each part's own model; None for one without a model.
    average : float
        Of the average.
    reference : float or None
        Of the estimator fitted on all rows; None if it was not asked for.
    """

    n_rows: int
    parts: tuple[float | None, ...]
    average: float
    reference: float | None = None

    def lost(self, *, classification: bool) -> str:
        """What the average lost against by more than chance, as a sentence; empty if it did not.

        For a share of rows, chance is one standard error of the average's; for R², 0.01.
        """
        known = [score for score in self.parts if score is not None]
        rivals = [("the best part", max(known))] if known else []
        if self.reference is not None:
            rivals.append(("the estimator fitted on all rows", self.reference))
        margin = _R2_MARGIN
        if classification:
            margin = math.sqrt(max(0.0, self.average * (1 - self.average)) / self.n_rows)
        worse = [f"{name} {score:.4f}" for name, score in rivals if score - self.average > margin]
        return (
            f"on {self.n_rows} held-out rows the average scores {self.average:.4f}, but {' and '.join(worse)}"
            if worse
            else ""
        )


@dataclass(frozen=True, slots=True)
class MixingRound:
    """One round.

    Parameters
    ----------
    number : int
        From 1.
    n_rows : tuple of int
        Rows of each part.
    weights : tuple of float
        What each part's vote weighed; 0 for a part without one.
    change : float
        How far the coefficients moved in this round, as a share of their norm; 1 in the first round.
    scores : MixingScores or None
        None if no rows are held out.
    """

    number: int
    n_rows: tuple[int, ...]
    weights: tuple[float, ...]
    change: float
    scores: MixingScores | None
