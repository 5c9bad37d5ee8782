"""The learner equals its slow reference implementation."""

from itertools import product

import numpy as np
import pytest

from manymill._core import Learner
from reference.learner import SlowLearner
from reference.sparse import random_rows, sparse

LOSSES = ["log", "hinge", "squared_hinge", "modified_huber", "squared_error"]
PENALTIES = [(0, 0), (0, 1e-3), (1e-3, 0), (1e-4, 1e-3)]
N_FEATURES = 40


def both(loss, n_classes, l1=0.0, l2=0.0, **more):
    settings = {"loss": loss, "l1": l1, "l2": l2, "learning_rate": 0.3} | more
    return Learner(N_FEATURES, n_classes, **settings), SlowLearner(N_FEATURES, n_classes, **settings)


def assert_alike(fast, slow):
    np.testing.assert_allclose(fast.weights(0, N_FEATURES), slow.w, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(fast.accumulators(0, N_FEATURES), slow.g, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(fast.intercept_state(), [slow.b, slow.b_g], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("loss", "n_classes", "penalty"), list(product(LOSSES, (2, 3, 17), PENALTIES)))
@pytest.mark.parametrize("weighted", [False, True])
def test_state_and_loss_are_those_of_the_slow_twin(loss, n_classes, penalty, weighted):
    fast, slow = both(loss, n_classes, *penalty)
    X, y = random_rows(1, 60, N_FEATURES, n_classes)
    weights = np.random.default_rng(2).choice([0, 0.5, 1, 3], 60).astype(np.float32) if weighted else None
    stats = fast.learn(sparse(X), y, weights)
    loss_sum = slow.learn(X, y, np.ones(60) if weights is None else weights)
    assert stats.loss_sum == pytest.approx(loss_sum, rel=1e-4)
    assert_alike(fast, slow)
    np.testing.assert_allclose(fast.scores(sparse(X)), slow.scores(X), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize(("n_classes", "penalty"), list(product((2, 3, 17), PENALTIES)))
@pytest.mark.parametrize("initial_g", [1e-3, 0.1, 50])
def test_sums_of_squared_gradients_start_at_initial_g(n_classes, penalty, initial_g):
    fast, slow = both("modified_huber", n_classes, *penalty, initial_g=initial_g)
    X, y = random_rows(4, 60, N_FEATURES, n_classes)
    fast.learn(sparse(X), y)
    slow.learn(X, y, np.ones(60))
    assert_alike(fast, slow)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_settled_state_is_that_of_the_slow_twin(n_classes, penalty):
    fast, slow = both("log", n_classes, *penalty)
    for seed in range(2):
        X, y = random_rows(seed, 30, N_FEATURES, n_classes)
        fast.learn(sparse(X), y)
        slow.learn(X, y, np.ones(30))
        fast.settle()
        slow.settle()
        assert_alike(fast, slow)


def test_without_intercept_there_is_none():
    fast, slow = both("log", 3, fit_intercept=False)
    X, y = random_rows(3, 40, N_FEATURES, 3)
    fast.learn(sparse(X), y)
    slow.learn(X, y, np.ones(40))
    assert not fast.intercept_state().any()
    assert_alike(fast, slow)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 130])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_rows_of_every_length_are_summed_whole(length, n_classes):
    fast = Learner(200, n_classes)
    slow = SlowLearner(200, n_classes)
    X, y = (
        random_rows(length, 6, 200, n_classes, per_row=length)
        if length
        else (np.zeros((6, 200), np.float32), np.zeros(6, np.int32))
    )
    fast.learn(sparse(X), y)
    slow.learn(X, y, np.ones(6))
    np.testing.assert_allclose(fast.scores(sparse(X)), slow.scores(X), rtol=2e-5, atol=1e-5)
