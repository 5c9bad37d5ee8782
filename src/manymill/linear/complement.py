"""Complement naive Bayes from sums of values by feature and class: pure arithmetic, in float64.

::

    other[j, c] = alpha + sum of the values of feature j in the rows of all classes but c
    log[j, c]   = ln(other[j, c] / sum over all features of other[., c])
    w[j, c]     = -log[j, c],  or  log[j, c] / sum over all features of log[., c]

A document belongs to the class with the greatest ``sum_j x_j w[j, c]`` (Rennie, Shih, Teevan and Karger 2003; names
and smoothing as in scikit-learn's ``ComplementNB``). Features that no row has all have the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manymill import _core

# A value of 1 in the fixed point of the sums.
ONE = 2.0**36

# Weights made at a time: those of all features in float64 are never held.
SLICE_WEIGHTS = 1 << 20


@dataclass(frozen=True, eq=False)
class ComplementWeights:
    """The weights that sums of rows give.

    Parameters
    ----------
    features : ndarray of uint32, shape (m,)
        The features that a row has, ascending.
    met : ndarray of float64, shape (m, n_classes)
        Their weights.
    never_met : ndarray of float64, shape (n_classes,)
        The weights of each other feature.
    n_features : int
    """

    features: NDArray[np.uint32]
    met: NDArray[np.float64]
    never_met: NDArray[np.float64]
    n_features: int

    @classmethod
    def of(cls, sums: _core.FeatureSums, *, alpha: float, weight_norm: bool) -> ComplementWeights:
        """The weights of these sums.

        Parameters
        ----------
        sums : FeatureSums
        alpha : float
            Added to each sum, above 0.
        weight_norm : bool
            Whether the weights of a class are divided by their sum.
        """
        features, whole, _, _ = sums.to_arrays()
        met = whole.astype(np.float64) / ONE
        met = met.sum(axis=1, keepdims=True) + alpha - met
        n_others = sums.n_features - len(features)
        total = met.sum(axis=0) + n_others * alpha
        met = np.log(met / total)
        never_met = np.log(alpha / total)
        by = met.sum(axis=0) + n_others * never_met if weight_norm else -1.0
        return cls(features, met / by, never_met / by, sums.n_features)

    def dense(self) -> NDArray[np.float64]:
        """The weights of all features, ``(n_features, n_classes)``."""
        weights = np.tile(self.never_met, (self.n_features, 1))
        weights[self.features] = self.met
        return weights

    def centred(self) -> Iterator[NDArray[np.float32]]:
        """The weights as a linear model's, in slices of features, ``(n, n_outputs)``.

        What all classes have in common is taken away, which moves no decision and no probability: differences are
        small, and float32 holds them. Two classes have one output.
        """
        step = max(1, SLICE_WEIGHTS // len(self.never_met))
        for start in range(0, self.n_features, step):
            n = min(step, self.n_features - start)
            weights = np.tile(self.never_met, (n, 1))
            first, last = np.searchsorted(self.features, (start, start + n))
            weights[self.features[first:last] - np.uint32(start)] = self.met[first:last]
            if weights.shape[1] == 2:
                yield (weights[:, 1:] - weights[:, :1]).astype(np.float32)
            else:
                yield (weights - weights.mean(axis=1, keepdims=True)).astype(np.float32)
