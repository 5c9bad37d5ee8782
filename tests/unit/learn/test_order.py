"""Only the order of the rows determines the bytes of the model."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill._core import Learner, Rows, score_rows
from reference.sparse import random_rows, sparse

LOSSES = ["log", "hinge", "squared_hinge", "modified_huber", "squared_error"]


def state(learner):
    n = learner.n_features
    parts = learner.weights(0, n), learner.accumulators(0, n), learner.intercept_state()
    return b"".join(part.tobytes() for part in parts)


@settings(deadline=None, max_examples=30)
@given(
    cuts=st.lists(st.integers(0, 50), max_size=4),
    n_classes=st.sampled_from([2, 3, 9]),
    loss=st.sampled_from(LOSSES),
    penalty=st.sampled_from([(0, 0), (0, 1e-3), (1e-4, 1e-3)]),
)
def test_where_calls_are_cut_changes_no_byte(cuts, n_classes, loss, penalty):
    X, y = random_rows(5, 50, 30, n_classes)
    l1, l2 = penalty
    whole, cut = (Learner(30, n_classes, loss=loss, l2=l2, l1=l1) for _ in range(2))
    whole.learn(sparse(X), y)
    bounds = [0, *sorted(cuts), 50]
    for start, stop in pairwise(bounds):
        cut.learn(sparse(X[start:stop]), y[start:stop])
    assert state(whole) == state(cut)


def test_another_order_gives_another_model():
    X, y = random_rows(5, 50, 30, 3)
    there, back = Learner(30, 3), Learner(30, 3)
    there.learn(sparse(X), y)
    back.learn(sparse(X[::-1]), y[::-1])
    assert state(there) != state(back)


@pytest.mark.parametrize("n_classes", [2, 3, 9])
@pytest.mark.parametrize(("l2", "initial_g"), [(0, 0), (1e-3, 0), (0, 0.1), (1e-3, 0.1)])
def test_a_model_made_from_a_state_learns_on_to_the_same_bytes(n_classes, l2, initial_g):
    X, y = random_rows(6, 50, 30, n_classes)
    first = Learner(30, n_classes, l2=l2, initial_g=initial_g)
    first.learn(sparse(X), y)
    first.settle()
    second = Learner(30, n_classes, l2=l2, initial_g=initial_g)
    for start in (0, 10, 20):
        second.set_state(start, first.weights(start, start + 10), first.accumulators(start, start + 10))
    second.set_intercept_state(first.intercept_state(), first.n_rows_seen)
    assert (state(second), second.n_rows_seen) == (state(first), 50)
    for learner in (first, second):
        learner.learn(sparse(X[::-1]), y[::-1])
    assert state(second) == state(first)


@settings(deadline=None, max_examples=30)
@given(n_classes=st.sampled_from([2, 3, 4, 8, 21]), per_row=st.integers(1, 30), seed=st.integers(0, 99))
def test_scores_under_given_weights_are_the_learners_to_the_bit(n_classes, per_row, seed):
    X, y = random_rows(seed, 10, 30, n_classes, per_row)
    learner = Learner(30, n_classes)
    learner.learn(sparse(X), y)
    rows = sparse(X)
    scores = score_rows(rows, learner.weights(0, 30), learner.intercept())
    assert scores.tobytes() == learner.scores(rows).tobytes()
    assert scores.shape == (10, learner.n_outputs)


@pytest.mark.parametrize("n_classes", [2, 3, 9])
@pytest.mark.parametrize("l2", [0, 1e-2])
def test_a_value_of_0_teaches_nothing_of_its_feature(n_classes, l2):
    X, y = random_rows(11, 50, 30, n_classes)
    indptr, indices = np.arange(51, dtype=np.int64) * 30, np.tile(np.arange(30, dtype=np.uint32), 50)
    X[:, 20:] = 0
    learner = Learner(30, n_classes, l2=l2)
    learner.learn(Rows.from_arrays(indptr, indices, X.ravel()), y)
    assert (learner.met() < 20).all()
    assert learner.weights(0, 20).any()


def test_settling_twice_is_settling_once():
    X, y = random_rows(7, 50, 30, 2)
    learner = Learner(30, 2, l1=1e-3, l2=1e-3)
    learner.learn(sparse(X), y)
    learner.settle()
    once = state(learner)
    learner.settle()
    assert state(learner) == once


def test_strong_l1_leaves_few_weights():
    X, y = random_rows(8, 200, 30, 2)
    dense, thin = Learner(30, 2), Learner(30, 2, l1=0.1)
    for learner in (dense, thin):
        learner.learn(sparse(X), y)
        learner.settle()
    assert np.count_nonzero(thin.weights(0, 30)) < 20 < np.count_nonzero(dense.weights(0, 30))
