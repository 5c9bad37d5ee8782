"""A learner's state as arrays: of all features, or of those that changed.

Values are absolute: one who missed some changes and loads the whole state has the same bytes as one who took them all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill import _core

# features (m,) uint32, sorted; weights (m, n_outputs) and sums (m,) float32; intercept (2, n_outputs) float32;
# n_rows_seen (1,) int64.
Arrays = dict[str, NDArray[Any]]


def put(learner: _core.Learner, arrays: Arrays, share: int = 1) -> None:
    """Overwrite the features of a broadcast; the squared-gradient sums divided among ``share`` lanes."""
    sums: NDArray[np.float32] = arrays["sums"]
    learner.scatter(arrays["features"], arrays["weights"], sums / np.float32(share))
    intercept = arrays["intercept"].copy()
    intercept[1] /= np.float32(share)
    learner.set_intercept_state(intercept, int(arrays["n_rows_seen"][0]))


def taken(learner: _core.Learner, features: NDArray[np.uint32]) -> Arrays:
    """The state of features, as :func:`put` takes it."""
    weights, sums = learner.gather(features)
    return {
        "features": features,
        "weights": weights,
        "sums": sums,
        "intercept": learner.intercept_state(),
        "n_rows_seen": np.array([learner.n_rows_seen], np.int64),
    }
