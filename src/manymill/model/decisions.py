"""What scores mean: the chosen class, and probabilities where the loss gives any. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import PlanError

PROBABILISTIC_LOSSES = ("log", "modified_huber")


def choose_classes(scores: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """The position of the class chosen for each row.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_outputs)
        With one output, a score above 0 chooses the second of two classes; with more, the highest score wins,
        the first of equals.

    Returns
    -------
    ndarray of intp, shape (n_rows,)
    """
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).astype(np.intp)
    chosen: NDArray[np.intp] = np.argmax(scores, axis=1)
    return chosen


def probabilities(
    scores: NDArray[np.floating[Any]], loss: str, n_classes: int, temperature: float = 1.0
) -> NDArray[np.float64]:
    """The probability of each class for each row.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_outputs)
        One output for two classes, else one for each class.
    loss : str
        ``"log"``: logistic for two classes, softmax for more. ``"modified_huber"``, as scikit-learn's
        SGDClassifier: ``(clip(score, -1, 1) + 1) / 2`` (Zadrozny and Elkan 2002), for more than two classes
        divided by their sum, and equal for all where that is 0.
    n_classes : int
        2 or more.
    temperature : float
        What scores are divided by first (Guo et al. 2017), above 0; it changes no class of greatest probability.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_classes)
        Rows sum to 1.

    Raises
    ------
    PlanError
        If the loss gives no probabilities.
    """
    if loss not in PROBABILISTIC_LOSSES:
        raise PlanError(
            f"the loss {loss!r} gives scores but no probabilities",
            f"train with loss {' or '.join(map(repr, PROBABILISTIC_LOSSES))}, or ask for scores",
        )
    wide = np.asarray(scores, dtype=np.float64) / temperature
    if n_classes == 2:
        both = np.stack([-wide[:, 0], wide[:, 0]], axis=1)
        return _logistic(both) if loss == "log" else (np.clip(both, -1, 1) + 1) / 2
    return _softmax(wide) if loss == "log" else _shares((np.clip(wide, -1, 1) + 1) / 2)


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    # exp of a negative number only: no overflow, and no digits lost near 0.
    small = np.exp(-np.abs(scores))
    result: NDArray[np.float64] = np.where(scores >= 0, 1.0, small) / (1 + small)
    return result


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def _shares(masses: NDArray[np.float64]) -> NDArray[np.float64]:
    totals = masses.sum(axis=1, keepdims=True)
    masses = np.where(totals == 0, 1.0, masses)
    result: NDArray[np.float64] = masses / masses.sum(axis=1, keepdims=True)
    return result
