"""The loss of decision values, in float64: for held-out rows, which are measured but never learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean_loss(scores: NDArray[np.floating[Any]], classes: NDArray[np.int32], loss: str) -> float:
    """The mean loss of the rows.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_outputs)
        Decision values; one output for two classes.
    classes : ndarray of shape (n_rows,)
        The true classes; a row of an unknown class (-1) counts as one with every margin negative.
    loss : str
        A loss of ``settings.LOSSES``: logistic or softmax for ``"log"``, else one against the rest, summed
        over the outputs.
    """
    z = scores.astype(np.float64)
    if loss == "log" and z.shape[1] > 1:
        top = z.max(axis=1)
        total = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
        own = np.where(
            classes >= 0, np.take_along_axis(z, np.maximum(classes, 0)[:, None], 1)[:, 0], z.min(axis=1)
        )
        return float(np.mean(total - own))
    signs = np.where(classes[:, None] == (1 if z.shape[1] == 1 else np.arange(z.shape[1])), 1.0, -1.0)
    return float(np.mean(_of_margin(signs * z, loss).sum(axis=1)))


def _of_margin(m: NDArray[np.float64], loss: str) -> NDArray[np.float64]:
    """The loss of margins ``m = ±1 * score``; definitions as in scikit-learn's SGDClassifier."""
    if loss == "log":
        return np.logaddexp(0.0, -m)
    if loss == "hinge":
        return np.maximum(0.0, 1.0 - m)
    if loss == "squared_hinge":
        return np.maximum(0.0, 1.0 - m) ** 2
    if loss == "modified_huber":
        return np.where(m >= -1.0, np.maximum(0.0, 1.0 - m) ** 2, -4.0 * m)
    return 0.5 * (1.0 - m) ** 2
