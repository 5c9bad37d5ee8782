"""Slow reference for the learner: one loop over rows, features and outputs, as the formulas are written.

State is float32 as in the core, sums inside a margin are float64: the two differ only by rounding.
"""

from __future__ import annotations

import numpy as np

F = np.float32

# A feature that is touched pays L2 where that takes so much of its weights; until then it owes.
DUE = 1 / 256


def one_margin(loss, sign, z):
    """Loss and derivative of one margin ``z`` for the target ``sign`` (-1 or 1)."""
    m = sign * z
    if loss == "log":
        return np.logaddexp(0, -m), -sign / (1 + np.exp(m))
    if loss == "hinge":
        return (1 - m, -sign) if m <= 1 else (0.0, 0.0)
    if loss == "modified_huber" and m < -1:
        return -4 * m, -4 * sign
    if loss in ("squared_hinge", "modified_huber"):
        return max(0.0, 1 - m) ** 2, -2 * sign * max(0.0, 1 - m)
    return 0.5 * (z - sign) ** 2, z - sign


def all_margins(loss, cls, z):
    """Loss of one row and its derivative by each margin."""
    if len(z) == 1:
        signs = [1 if cls == 1 else -1]
    elif loss == "log":
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        return -np.log(p[cls]), p - (np.arange(len(z)) == cls)
    else:
        signs = [1 if k == cls else -1 for k in range(len(z))]
    parts = [one_margin(loss, s, v) for s, v in zip(signs, z, strict=True)]
    return sum(p[0] for p in parts), np.array([p[1] for p in parts])


class SlowLearner:
    """``manymill._core.Learner`` on dense rows."""

    def __init__(
        self,
        n_features,
        n_classes,
        *,
        loss="log",
        l1=0.0,
        l2=0.0,
        learning_rate=0.5,
        initial_g=0.0,
        fit_intercept=True,
    ):
        n_outputs = 1 if n_classes == 2 else n_classes
        self.loss, self.l1, self.l2, self.eta = loss, F(l1), F(l2), F(learning_rate)
        self.fit_intercept, self.initial_g = fit_intercept, F(initial_g)
        self.w, self.g = np.zeros((n_features, n_outputs), F), np.zeros(n_features, F)
        self.b, self.b_g = np.zeros((2, n_outputs), F)
        self.rows, self.last = 0, np.zeros(n_features, int)

    def scores(self, X):
        return X.astype(float) @ self.w + self.b

    def learn(self, X, classes, weights):
        """Learn from the rows; returns the sum of weight times loss, each row scored before it is learned from."""
        return sum(self.learn_row(*row) for row in zip(X, classes, weights, strict=True) if row[2] > 0)

    def learn_row(self, x, cls, weight):
        loss, slopes = all_margins(self.loss, cls, self.scores(x[None])[0])
        residuals = F(weight) * slopes.astype(F)
        self.rows += 1
        if residuals.any():
            for j in np.flatnonzero(x):
                self.step(j, x[j], residuals)
            if self.fit_intercept:
                self.b_g += residuals * residuals
                self.b -= self.eta / (np.sqrt(self.b_g) + F(1e-6)) * residuals
        return weight * loss

    def step(self, j, x, residuals):
        self.g[j] += x * x * (residuals * residuals).sum()
        self.w[j] -= self.alpha(j) * x * residuals
        if self.l1 > 0 or self.alpha(j) * self.l2 * F(self.rows - self.last[j]) >= DUE:
            self.pay(j)

    def alpha(self, j):
        return self.eta / (np.sqrt(self.initial_g + self.g[j]) + F(1e-6))

    def pay(self, j):
        owed = F(self.rows - self.last[j])
        left = np.maximum(abs(self.w[j]) - self.alpha(j) * self.l1 * owed, F(0))
        self.w[j] = np.copysign(left, self.w[j]) / (1 + self.alpha(j) * self.l2 * owed)
        self.last[j] = self.rows

    def settle(self):
        for j in range(len(self.w)):
            self.pay(j)
