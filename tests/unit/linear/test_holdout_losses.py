"""Losses on held-out rows equal scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import hinge_loss, log_loss

from manymill import _core
from manymill.linear.holdout import MAX_MEASURED_SCORES, mean_loss, measure
from manymill.model import choose_classes

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


def test_many_scores_are_measured_in_parts_like_all_at_once():
    n_rows, n_classes = 5000, 300  # more scores than are measured at a time
    features = RNG.integers(0, 50, n_rows).astype(np.uint32)
    rows = _core.Rows.from_arrays(np.arange(n_rows + 1), features, np.ones(n_rows, np.float32))
    classes = RNG.integers(0, n_classes, n_rows).astype(np.int32)
    learner = _core.Learner(50, n_classes, loss="modified_huber")
    learner.learn(rows, classes, None)
    metrics, scores = measure([(rows, classes)], learner, "modified_huber"), learner.scores(rows)
    assert n_rows * n_classes > MAX_MEASURED_SCORES
    assert metrics.n_rows == n_rows
    assert metrics.loss == pytest.approx(mean_loss(scores, classes, "modified_huber"))
    assert metrics.accuracy == np.mean(choose_classes(scores) == classes)
