"""The statistics that a call of learn returns, and the effect of weights."""

import numpy as np
import pytest

from manymill._core import Learner
from reference.sparse import random_rows, sparse


def test_rows_are_predicted_before_they_are_learnt():
    X, y = random_rows(0, 50, 30, 2)
    X[:] = X[0]
    y[:] = 1
    stats = Learner(30, 2).learn(sparse(X), y)
    assert (stats.n_rows, stats.weight_sum, stats.n_correct) == (50, 50.0, 49)


def test_a_first_row_costs_the_loss_of_knowing_nothing():
    X, y = random_rows(0, 1, 30, 7)
    assert Learner(30, 7).learn(sparse(X), y).loss_sum == pytest.approx(np.log(7), rel=1e-6)


def test_the_loss_falls_from_pass_to_pass():
    X, y = random_rows(0, 200, 30, 4)
    learner = Learner(30, 4)
    losses = [learner.learn(sparse(X), y).loss_sum for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * losses[0]


def test_a_row_of_weight_nought_changes_nothing():
    X, y = random_rows(0, 20, 30, 3)
    weights = np.ones(20, np.float32)
    weights[::2] = 0
    some, all_rows = Learner(30, 3, l2=1e-3), Learner(30, 3, l2=1e-3)
    some.learn(sparse(X[1::2]), y[1::2])
    stats = all_rows.learn(sparse(X), y, weights)
    assert stats.n_rows == all_rows.n_rows_seen == 10
    assert some.weights(0, 30).tobytes() == all_rows.weights(0, 30).tobytes()


def test_a_weight_multiplies_the_gradient():
    X, y = random_rows(0, 1, 30, 3)
    one, three = Learner(30, 3), Learner(30, 3)
    one.learn(sparse(X), y)
    three.learn(sparse(X), y, np.array([3], np.float32))
    np.testing.assert_allclose(three.accumulators(0, 30), 9 * one.accumulators(0, 30), rtol=1e-6)


def test_the_step_is_against_the_slope_of_the_loss():
    X, y = random_rows(4, 1, 30, 3)
    learner = Learner(30, 3, learning_rate=1e-3)
    before = learner.learn(sparse(X), y).loss_sum
    assert learner.learn(sparse(X), y).loss_sum < before
