"""Slow reference for merging: dense arrays, the rules as their formulas are written, lanes in order."""

from __future__ import annotations

import numpy as np


def dense(changes, n_features):
    """Changes of one lane as dense (weights, sums, support, intercept)."""
    features, weights, sums, intercept = changes
    W, G, S = np.zeros((n_features, weights.shape[1])), np.zeros(n_features), np.zeros(n_features)
    W[features], G[features], S[features] = weights, sums, 1
    return W, G, S, intercept.astype(float)


def weighted(rule, dW, dG, support):
    """The direction of arrays with lanes first: dW (P, m, K), dG and support (P, m, 1) or wider."""
    if rule == "uniform":
        return dW.sum(0) / len(dW)
    lanes = np.maximum(support.sum(0), 1)
    damping = np.minimum(lanes**0.25, 2)
    if rule == "damped":
        return dW.sum(0) / lanes * damping
    if rule == "magnitude":
        magnitude = abs(dW).sum(0)
        return (dW * abs(dW)).sum(0) / np.where(magnitude > 0, magnitude, 1) * damping
    mass = dG.sum(0)
    by_support = dW.sum(0) / lanes
    if rule == "support":
        return by_support
    return np.where(mass > 0, (dG * dW).sum(0) / np.where(mass > 0, mass, 1), by_support)


def direction(lanes, rule, n_features):
    """The dense direction of lanes' changes: weights, sums, intercept state. Every lane has an intercept."""
    W, G, S, b = (np.stack(parts) for parts in zip(*(dense(lane, n_features) for lane in lanes), strict=True))
    weights = weighted(rule, W, G[..., None], S[..., None])
    one = np.ones((len(b), b.shape[2], 1))
    intercept = weighted(rule, b[:, 0, :, None], b[:, 1, :, None], one)[:, 0]
    return weights, G.sum(0), np.stack([intercept, b[:, 1].sum(0)])
