"""Losses on held-out rows equal scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import hinge_loss, log_loss

from manymill.linear.holdout import mean_loss

RNG = np.random.default_rng(0)


def test_log_loss_of_two_classes_is_that_of_scikit_learn():
    z, y = RNG.normal(size=(50, 1)).astype(np.float32), RNG.integers(0, 2, 50).astype(np.int32)
    assert mean_loss(z, y, "log") == pytest.approx(log_loss(y, 1 / (1 + np.exp(-z[:, 0].astype(float)))))


def test_log_loss_of_more_classes_is_that_of_scikit_learn():
    z, y = RNG.normal(size=(50, 4)).astype(np.float32), RNG.integers(0, 4, 50).astype(np.int32)
    p = np.exp(z.astype(float))
    assert mean_loss(z, y, "log") == pytest.approx(log_loss(y, p / p.sum(1, keepdims=True), labels=range(4)))


def test_hinge_loss_is_that_of_scikit_learn():
    z, y = RNG.normal(size=(50, 1)).astype(np.float32), RNG.integers(0, 2, 50).astype(np.int32)
    assert mean_loss(z, y, "hinge") == pytest.approx(hinge_loss(y, z[:, 0]))


def test_huge_scores_give_finite_losses():
    z = np.array([[1e30, -1e30, 0]], np.float32)
    assert np.isfinite(mean_loss(z, np.array([1], np.int32), "log"))


@pytest.mark.parametrize("loss", ["squared_hinge", "modified_huber", "squared_error"])
def test_a_margin_of_one_costs_nothing(loss):
    z = np.array([[1.0], [-1.0]], np.float32)
    assert mean_loss(z, np.array([1, 0], np.int32), loss) == 0


def test_a_row_of_an_unknown_class_is_never_cheap():
    z = np.array([[3.0, -3.0, 1.0]], np.float32)
    assert mean_loss(z, np.array([-1], np.int32), "log") >= mean_loss(z, np.array([1], np.int32), "log")
