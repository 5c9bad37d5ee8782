"""The changes of a learner, and the state of some features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill._core import Learner, MergeSums
from reference.sparse import random_rows, sparse

N = 200


def state(learner):
    parts = learner.weights(0, N), learner.accumulators(0, N), learner.intercept_state()
    return b"".join(part.tobytes() for part in parts), learner.n_rows_seen


def learnt(n_classes, loss="log", l2=0.0, seed=3):
    X, y = random_rows(seed, 12, N, n_classes)
    learner = Learner(N, n_classes, loss=loss, l2=l2, l1=l2 / 7)
    learner.learn(sparse(X), y)
    learner.settle()
    return learner


cases = given(
    n_classes=st.sampled_from([2, 3, 9]),
    loss=st.sampled_from(["log", "hinge"]),
    l2=st.sampled_from([0.0, 1e-3]),
)


@settings(deadline=None)
@cases
def test_taking_changes_puts_the_learner_back_and_learning_is_as_ever(n_classes, loss, l2):
    tracked, plain = learnt(n_classes, loss, l2), learnt(n_classes, loss, l2)
    before, (X, y) = state(tracked), random_rows(4, 20, N, n_classes)
    for _ in range(2):
        tracked.begin_changes()
        tracked.learn(sparse(X), y)
        tracked.take_changes()
        assert state(tracked) == before
    for learner in (tracked, plain):
        learner.learn(sparse(X), y)
        learner.settle()
    assert state(tracked) == state(plain)


@settings(deadline=None)
@cases
def test_changes_are_now_less_before_where_they_differ(n_classes, loss, l2):
    tracked, plain = learnt(n_classes, loss, l2), Learner(N, n_classes, loss=loss)
    # Recorded rows are learned without regularisation.
    plain.set_state(0, tracked.weights(0, N), tracked.accumulators(0, N))
    plain.set_intercept_state(tracked.intercept_state(), tracked.n_rows_seen)
    X, y = random_rows(4, 20, N, n_classes)
    tracked.begin_changes()
    for learner in (tracked, plain):
        learner.learn(sparse(X), y)
        learner.settle()
    assert state(tracked) == state(plain)
    features, weights, sums, intercept = tracked.take_changes()
    d_weights = plain.weights(0, N) - tracked.weights(0, N)
    d_sums = plain.accumulators(0, N) - tracked.accumulators(0, N)
    assert (features == np.flatnonzero(d_weights.any(axis=1) | (d_sums != 0))).all()
    assert (weights == d_weights[features]).all()
    assert (sums == d_sums[features]).all()
    assert (intercept == plain.intercept_state() - tracked.intercept_state()).all()


def test_a_lane_that_learns_nothing_changes_nothing():
    learner = learnt(3)
    learner.begin_changes()
    features, weights, sums, intercept = learner.take_changes()
    assert (features.shape, weights.shape, sums.shape) == ((0,), (0, 3), (0,))
    assert intercept.shape == (2, 3)
    assert not intercept.any()


def test_a_model_that_blew_up_is_put_back():
    learner, (X, y) = learnt(2, "squared_error"), random_rows(4, 20, N, 2)
    before = state(learner)
    learner.begin_changes()
    with pytest.raises(FloatingPointError):
        learner.learn(sparse(X), y, np.full(20, 1e30, np.float32))
    learner.take_changes()
    assert state(learner) == before


def test_changes_that_were_not_begun_are_refused():
    with pytest.raises(ValueError, match="begin_changes first"):
        learnt(3).take_changes()


@pytest.mark.parametrize("call", ["grow", "scatter", "set_state", "merge_into", "take_changes"])
def test_what_overwrites_the_state_ends_the_noting(call):
    learner = learnt(3)
    some = np.zeros((1, 3), np.float32), np.zeros(1, np.float32)
    learner.begin_changes()
    sums = MergeSums.of(learner, 1, ("support",))
    learner.begin_changes()
    {
        "grow": lambda: learner.grow(5),
        "scatter": lambda: learner.scatter(np.array([1], np.uint32), *some),
        "set_state": lambda: learner.set_state(0, *some),
        "merge_into": lambda: sums.merge_into(learner, "support", 1.0),
        "take_changes": learner.take_changes,
    }[call]()
    with pytest.raises(ValueError, match="begin_changes first"):
        learner.take_changes()


def test_beginning_again_forgets_what_was_noted():
    learner, (X, y) = learnt(2), random_rows(4, 20, N, 2)
    learner.begin_changes()
    learner.learn(sparse(X), y)
    before = state(learner)
    learner.begin_changes()
    learner.learn(sparse(X[:1]), y[:1])
    features, *_ = learner.take_changes()
    assert set(features) <= set(np.flatnonzero(X[0]))
    assert state(learner) == before


@pytest.mark.parametrize("l2", [0.0, 1e-3])
@pytest.mark.parametrize("n_classes", [2, 3, 9])
def test_what_is_gathered_and_scattered_is_the_state(n_classes, l2):
    first, second = learnt(n_classes, l2=l2), learnt(n_classes, l2=l2, seed=8)
    met = first.met()
    assert (met == np.flatnonzero(first.accumulators(0, N))).all()
    everything = np.arange(N, dtype=np.uint32)
    second.scatter(everything, *first.gather(everything))
    second.set_intercept_state(first.intercept_state(), first.n_rows_seen)
    assert state(second) == state(first)
    assert (second.met() == met).all()


@pytest.mark.parametrize(
    ("features", "weights", "sums"),
    [
        ([3, 2], np.ones((2, 3)), [1, 1]),
        ([3, 3], np.ones((2, 3)), [1, 1]),
        ([3, N], np.ones((2, 3)), [1, 1]),
        ([3, 4], np.ones((2, 2)), [1, 1]),
        ([3, 4], np.ones((2, 3)), [1]),
        ([3, 4], np.full((2, 3), np.inf), [1, 1]),
        ([3, 4], np.ones((2, 3)), [1, -1]),
        ([3, 4], np.ones((2, 3)), [1, np.nan]),
    ],
)
def test_a_wrong_scatter_changes_nothing(features, weights, sums):
    learner = learnt(3)
    before = state(learner)
    with pytest.raises(ValueError, match=r"feature|weight|accumulator"):
        learner.scatter(np.array(features, np.uint32), weights.astype(np.float32), np.array(sums, np.float32))
    assert state(learner) == before
