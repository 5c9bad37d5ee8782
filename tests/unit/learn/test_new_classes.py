"""Classes that appear late."""

import numpy as np
import pytest

from manymill._core import Learner
from reference.sparse import random_rows, sparse

LOSSES = ["log", "hinge", "squared_hinge", "modified_huber", "squared_error"]


def learnt(n_classes, loss="log", seed=0):
    X, y = random_rows(seed, 60, 30, n_classes)
    learner = Learner(30, n_classes, loss=loss)
    learner.learn(sparse(X), y)
    return learner, sparse(X)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_classes", [3, 8])
def test_a_model_of_two_classes_keeps_its_decisions(loss, n_classes):
    learner, rows = learnt(2, loss)
    before = learner.scores(rows)[:, 0] > 0
    learner.grow(n_classes)
    assert (learner.n_classes, learner.n_outputs) == (n_classes, n_classes)
    np.testing.assert_array_equal(np.argmax(learner.scores(rows), axis=1), before)


def test_two_logistic_classes_keep_their_odds():
    learner, rows = learnt(2)
    before = learner.scores(rows)[:, 0]
    learner.grow(4)
    after = learner.scores(rows)
    np.testing.assert_allclose(after[:, 1] - after[:, 0], before, rtol=1e-5, atol=1e-6)


def test_old_outputs_stay_as_they_were_and_new_ones_are_nought():
    learner, rows = learnt(3)
    scores, sums = learner.scores(rows), learner.accumulators(0, 30)
    learner.grow(5)
    assert (learner.scores(rows)[:, :3] == scores).all()
    assert (learner.accumulators(0, 30) == sums).all()
    assert not learner.scores(rows)[:, 3:].any()


@pytest.mark.parametrize(("n_classes", "first"), [(2, 1), (3, 0)])
def test_what_is_owed_is_owed_by_the_grown_model(n_classes, first):
    X, y = random_rows(1, 60, 30, n_classes)
    whole, grown = (Learner(30, n_classes, loss="hinge", l2=1e-2) for _ in range(2))
    for learner in (whole, grown):
        learner.learn(sparse(X), y)
    grown.grow(6)
    for learner in (whole, grown):
        learner.settle()
    n_outputs = whole.n_outputs
    weights = grown.weights(0, 30)[:, first : first + n_outputs]
    assert n_outputs == 1 or (weights == whole.weights(0, 30)).all()
    # A pair has twice the squared gradients of the one, and pays by them.
    assert (abs(weights) <= abs(whole.weights(0, 30)) * 1.2).all()


def test_a_grown_model_learns_its_new_classes():
    learner, _ = learnt(2)
    X, y = random_rows(9, 400, 30, 4)
    learner.grow(4)
    for _ in range(5):
        stats = learner.learn(sparse(X), y)
    assert stats.n_correct > 300


def test_growing_to_as_many_classes_changes_nothing_and_to_fewer_is_refused():
    learner, rows = learnt(5)
    before = learner.scores(rows)
    learner.grow(5)
    assert (learner.scores(rows) == before).all()
    with pytest.raises(ValueError, match="5 classes already"):
        learner.grow(4)
