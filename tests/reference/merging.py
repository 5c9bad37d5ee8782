"""Slow reference for merging: dense arrays, the rules as their formulas are written, lanes in order."""

from __future__ import annotations

import numpy as np


def dense(changes, n_features):
    """Changes of one lane as dense (weights, sums, support, intercept)."""
    features, weights, sums, intercept = changes
    W, G, S = np.zeros((n_features, weights.shape[1])), np.zeros(n_features), np.zeros(n_features)
    W[features], G[features], S[features] = weights, sums, 1
    return W, G, S, intercept.astype(float)


def weighted(rule, dW, dG, support, pace):
    """The direction of arrays with lanes first: dW (P, m, K), dG and support (P, m, 1) or wider; pace (m, 1)."""
    if rule == "uniform":
        return dW.sum(0) / len(dW)
    lanes = np.maximum(support.sum(0), 1)
    damping = np.minimum(lanes**0.25, 2)
    if rule == "damped":
        return dW.sum(0) / lanes * damping
    if rule == "magnitude":
        magnitude = abs(dW).sum(0)
        by_own_length = (dW * abs(dW)).sum(0)
        moving = magnitude**2 / np.where(by_own_length != 0, abs(by_own_length), 1)
        moving = np.clip(moving, 1, lanes)
        length = moving**0.5 * np.minimum(moving**0.25, 2) * pace
        return by_own_length / np.where(magnitude > 0, magnitude, 1) * length
    mass = dG.sum(0)
    by_support = dW.sum(0) / lanes
    if rule == "support":
        return by_support
    return np.where(mass > 0, (dG * dW).sum(0) / np.where(mass > 0, mass, 1), by_support)


def pace_of(before, dG, support, n_lanes, initial_g):
    """The rate of one learner's steps relative to that of lanes with a part of the sums each; (m, 1)."""
    lanes, mass = np.maximum(support.sum(0), 1), dG.sum(0)
    whole = initial_g + before + mass
    part = initial_g + before / n_lanes + mass / lanes
    return np.sqrt(np.where(whole > 0, part, 1) / np.where(whole > 0, whole, lanes))


def direction(lanes, rule, n_features, before=0.0, initial_g=0.0):
    """The dense direction of lanes' changes: weights, sums, intercept state. Every lane has an intercept.

    ``before`` are the sums of squared gradients that the lanes shared, ``(n_features,)``.
    """
    W, G, S, b = (np.stack(parts) for parts in zip(*(dense(lane, n_features) for lane in lanes), strict=True))
    G, S = G[..., None], S[..., None]
    before = np.broadcast_to(before, n_features)[:, None]
    weights = weighted(rule, W, G, S, pace_of(before, G, S, len(lanes), initial_g))
    one = np.ones((len(b), b.shape[2], 1))
    intercept = weighted(rule, b[:, 0, :, None], b[:, 1, :, None], one, len(b) ** -0.5)[:, 0]
    return weights, G.sum(0)[:, 0], np.stack([intercept, b[:, 1].sum(0)])
