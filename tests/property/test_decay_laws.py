"""Regularisation in lanes: each feature decays once a round, by the rows of all lanes, whoever holds it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill._core import Learner, MergeSums
from manymill.linear.state import apply_round, dump_state, load_state
from reference.learner import SlowLearner
from reference.merging import direction
from reference.sparse import random_rows, sparse

N = 120
# Features that lanes may meet: the others no lane meets in that round.
MET = 40
RULES = ("uniform", "support", "damped", "mass", "magnitude")

strengths = st.sampled_from([{"l2": 0.02}, {"l1": 1e-3}, {"l2": 1e-3, "l1": 2e-3, "initial_g": 0.3}])
n_classes = st.sampled_from([2, 3, 9])


def state(learner):
    parts = learner.weights(0, N), learner.accumulators(0, N), learner.intercept_state()
    return b"".join(part.tobytes() for part in parts), learner.n_rows_seen


def trained(k, strength, seed=1):
    """A driver's learner that has met all features."""
    learner, (X, y) = Learner(N, k, **strength), random_rows(seed, 60, N, k)
    learner.learn(sparse(X), y)
    learner.settle()
    return learner


def rows_of(seed, k, n_lanes, n_rows=5):
    """Rows and classes by lane; they have features of an area that moves from round to round."""
    start = seed * 7 % (N - MET)
    for lane in range(n_lanes):
        X, y = random_rows(1000 * seed + lane, n_rows, MET, k)
        yield np.pad(X, ((0, 0), (start, N - MET - start))), y


def changes_of(lane, X, y):
    lane.begin_changes()
    lane.learn(sparse(X), y)
    return MergeSums.of(lane, len(y), RULES)


def end_round(driver, parts, n_lanes, rule):
    """Merge a round as the driver does; returns what it broadcasts."""
    sums = MergeSums.combine(parts)
    sums.merge_into(driver, rule, 1.0)
    driver.decay(sums.n_rows, n_lanes, is_part=False)
    driver.settle()
    return dump_state(driver, sums.features())


def lane_of(driver, strength, n_lanes):
    lane = Learner(N, driver.n_classes, **strength)
    load_state(lane, dump_state(driver, driver.met()), n_lanes)
    return lane


@settings(deadline=None, max_examples=30)
@given(k=n_classes, strength=strengths, n_lanes=st.integers(1, 6), seed=st.integers(0, 99))
@pytest.mark.parametrize("rule", RULES)
def test_a_round_is_that_of_lanes_without_regularisation_and_then_one_payment(
    rule, k, strength, n_lanes, seed
):
    driver = trained(k, strength)
    slow = SlowLearner(N, k, **strength)
    slow.w, slow.g = driver.weights(0, N).copy(), driver.accumulators(0, N).copy()
    begin, b = driver.intercept_state(), {"initial_g": strength.get("initial_g", 0.0)}
    parts, changes = [], []
    for X, y in rows_of(seed, k, n_lanes):
        parts.append(changes_of(lane_of(driver, strength, n_lanes), X, y))
        apart = SlowLearner(N, k, **b)
        apart.w, apart.g = slow.w.copy(), slow.g / np.float32(n_lanes)
        apart.b, apart.b_g = begin[0].copy(), begin[1] / np.float32(n_lanes)
        w, g, intercept = apart.w.copy(), apart.g.copy(), np.stack([apart.b, apart.b_g])
        apart.learn(X, y, np.ones(len(y)))
        met = np.flatnonzero(X.any(axis=0))
        moved = np.stack([apart.b, apart.b_g]) - intercept
        changes.append((met, (apart.w - w)[met], (apart.g - g)[met], moved))
    end_round(driver, parts, n_lanes, rule)
    weights, sums, intercept = direction(changes, rule, N, slow.g, **b)
    slow.w, slow.g = (slow.w + weights).astype(np.float32), (slow.g + sums).astype(np.float32)
    slow.rows = 5 * n_lanes
    slow.settle()
    np.testing.assert_allclose(driver.weights(0, N), slow.w, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(driver.accumulators(0, N), slow.g, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(driver.intercept_state(), begin + intercept, rtol=1e-3, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(k=n_classes, strength=strengths, n_lanes=st.integers(1, 6), seed=st.integers(0, 99))
def test_lanes_send_only_features_of_their_rows(k, strength, n_lanes, seed):
    driver = trained(k, strength)
    for X, y in rows_of(seed, k, n_lanes):
        lane = lane_of(driver, strength, n_lanes)
        lane.decay(50, n_lanes, is_part=True)
        assert set(changes_of(lane, X, y).features()) <= set(np.flatnonzero(X.any(axis=0)))


@settings(deadline=None, max_examples=30)
@given(k=n_classes, strength=strengths, n_rows=st.integers(1, 99), n_lanes=st.sampled_from([1, 4, 16]))
def test_a_feature_that_no_lane_meets_decays_as_in_sequential_training(k, strength, n_rows, n_lanes):
    lanes, sequential = trained(k, strength), trained(k, strength)
    lanes.decay(n_rows, n_lanes, is_part=False)
    lanes.settle()
    # Rows of other features: the last feature alone is not met.
    X, y = random_rows(5, n_rows, N - 1, k)
    sequential.learn(sparse(np.pad(X, ((0, 0), (0, 1)))), y)
    sequential.settle()
    assert lanes.accumulators(N - 1, N)[0] > 0
    assert lanes.weights(N - 1, N).tobytes() == sequential.weights(N - 1, N).tobytes()


@settings(deadline=None, max_examples=40)
@given(
    k=n_classes,
    strength=strengths,
    n_lanes=st.integers(1, 7),
    n_rounds=st.integers(1, 5),
    joins=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_whoever_holds_the_state_and_whatever_it_learned_has_the_bytes_of_the_driver(
    k, strength, n_lanes, n_rounds, joins, seed
):
    driver = trained(k, strength)
    busy, idle, late = (lane_of(driver, strength, n_lanes) for _ in range(3))
    for number in range(n_rounds):
        if number == joins:
            late = lane_of(driver, strength, n_lanes)
        lanes = rows_of(seed + number, k, n_lanes)
        fresh = lane_of(driver, strength, n_lanes)
        parts = []
        for X, y in lanes:
            part = changes_of(busy, X, y)
            # A worker that has just joined, and loses its learner, computes the same changes.
            again = changes_of(fresh, X, y)
            assert [a.tobytes() for a in part.__reduce__()[1][1:]] == [
                a.tobytes() for a in again.__reduce__()[1][1:]
            ]
            parts.append(part)
        changed = end_round(driver, parts, n_lanes, "magnitude")
        for learner in (busy, idle, late):
            apply_round(learner, changed, n_lanes)
    last = lane_of(driver, strength, n_lanes)
    for learner in (busy, idle, late):
        learner.settle()
        assert state(learner) == state(last)
    assert busy.weights(0, N).tobytes() == driver.weights(0, N).tobytes()


@settings(deadline=None, max_examples=20)
@given(k=n_classes, n_rows=st.integers(0, 99))
def test_without_regularisation_a_round_leaves_everything_as_it_is(k, n_rows):
    learner = trained(k, {})
    before = state(learner)
    learner.decay(n_rows, 3, is_part=True)
    learner.settle()
    assert state(learner) == before


def test_rows_learned_one_by_one_and_rounds_may_follow_each_other():
    strength = {"l2": 0.01}
    eager, lazy = trained(3, strength), trained(3, strength)
    for seed in range(3):
        X, y = random_rows(seed, 9, N, 3)
        for learner in (eager, lazy):
            learner.learn(sparse(X), y)
            if learner is eager:
                learner.settle()
            learner.decay(7, 2, is_part=False)
            if learner is eager:
                learner.settle()
    for learner in (eager, lazy):
        learner.settle()
    assert state(eager) == state(lazy)


def test_a_round_without_lanes_is_refused():
    with pytest.raises(ValueError, match="n_lanes is 0"):
        trained(2, {"l2": 0.1}).decay(5, 0, is_part=True)
