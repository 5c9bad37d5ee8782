"""A state that travels in pieces is the same bytes as one that travels whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill._core import Learner, MergeSums
from manymill.linear.state import dump_state, load_state
from reference.sparse import random_rows, sparse

N = 300
RULES = ("uniform", "support", "damped", "mass", "magnitude")


def learner_of(n_classes, l2=0.0):
    return Learner(N, n_classes, l2=l2, l1=l2 / 5, initial_g=l2)


def state(learner):
    parts = learner.weights(0, N), learner.accumulators(0, N), learner.intercept_state()
    return b"".join(part.tobytes() for part in parts), learner.n_rows_seen


def round_of(driver, lanes, share, seed, rule):
    """What a driver makes of the changes of lanes that all begin from its state: the features that moved."""
    start, parts = dump_state(driver, driver.met()), []
    for number in range(lanes):
        lane = learner_of(driver.n_classes)
        load_state(lane, start, share)
        lane.begin_changes()
        X, y = random_rows(seed + number, 8, N, driver.n_classes)
        lane.learn(sparse(X), y)
        parts.append(MergeSums.of(lane, 8, RULES))
    sums = MergeSums.combine(parts)
    sums.merge_into(driver, rule, 0.7)
    return dump_state(driver, sums.features())


@settings(deadline=None, max_examples=25)
@given(
    n_classes=st.sampled_from([2, 3, 9]),
    l2=st.sampled_from([0.0, 1e-3]),
    share=st.integers(1, 7),
    n_rounds=st.integers(1, 4),
    seed=st.integers(0, 999),
    rule=st.sampled_from(RULES),
)
def test_who_comes_late_has_the_bytes_of_who_took_every_change(n_classes, l2, share, n_rounds, seed, rule):
    driver = learner_of(n_classes)
    early, late, later = (learner_of(n_classes, l2) for _ in range(3))
    for number in range(n_rounds):
        before = dump_state(driver, driver.met())
        changes = round_of(driver, 3, share, seed + 10 * number, rule)
        load_state(early, changes, share)
    # One joins in the last round, one after it.
    load_state(late, before, share)
    load_state(late, changes, share)
    load_state(later, dump_state(driver, driver.met()), share)
    assert state(early) == state(late) == state(later)


@pytest.mark.parametrize("n_classes", [2, 3, 9])
@pytest.mark.parametrize("l2", [0.0, 1e-2])
def test_those_who_are_up_to_date_learn_the_same(n_classes, l2):
    driver = learner_of(n_classes)
    early, late = learner_of(n_classes, l2), learner_of(n_classes, l2)
    for number in range(2):
        load_state(early, round_of(driver, 2, 2, 10 * number, "mass"), 2)
        early.begin_changes()
        early.learn(sparse(random_rows(99, 5, N, n_classes)[0]), np.zeros(5, np.int32))
        early.take_changes()
    load_state(late, dump_state(driver, driver.met()), 2)
    X, y = random_rows(7, 30, N, n_classes)
    for learner in (early, late):
        learner.learn(sparse(X), y)
        learner.settle()
    assert state(early) == state(late)


def test_lanes_share_the_sums_and_the_weights_go_to_each():
    driver, lane = learner_of(3), learner_of(3)
    round_of(driver, 2, 1, 0, "support")
    load_state(lane, dump_state(driver, driver.met()), 4)
    assert (lane.weights(0, N) == driver.weights(0, N)).all()
    assert (lane.accumulators(0, N) == driver.accumulators(0, N) / 4).all()
    assert (lane.intercept_state() == driver.intercept_state() / np.float32([[1], [4]])).all()
    assert lane.n_rows_seen == driver.n_rows_seen == 16
