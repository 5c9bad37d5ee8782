"""Laws of merging what lanes learnt apart, against the slow twin."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill._core import Learner, MergeSums
from reference.merging import direction
from reference.sparse import random_rows, sparse

# Wider than several of the spans that are merged at a time.
N = 40_000

RULES = ("uniform", "support", "damped", "mass", "magnitude")
LENGTHENED = ("damped", "magnitude")


def lane(rng, k, most=60):
    """Changes as a learner of k outputs could have made them: features, weights, sums, intercept state."""
    m = rng.integers(0, most)
    near = rng.choice([50, N])
    features = np.sort(rng.choice(near, min(m, near), replace=False)).astype(np.uint32)
    sums = rng.choice([0, 1, 1e-3, 7], len(features)) * rng.uniform(0, 1, len(features))
    intercept = np.stack([rng.normal(size=k), rng.uniform(0, 1, k)])
    weights = rng.normal(size=(len(features), k))
    return (features, *(a.astype(np.float32) for a in (weights, sums, intercept)))


def sums_of(changes, n_rows, rules=RULES):
    """The sums of one lane that changed so."""
    features, weights, sums, (b, b_sums) = (part.astype(float) for part in changes)
    none = np.zeros(0)
    plain = none if set(rules) == {"magnitude"} else weights
    by_mass = sums[:, None] * weights if "mass" in rules else none
    by_magnitude = [abs(weights), abs(weights) * weights] if "magnitude" in rules else [none, none]
    intercept = np.concatenate([b_sums, b, b_sums * b, abs(b), abs(b) * b])
    support = np.ones(len(features), np.uint32)
    cells = [array.ravel() for array in (plain, by_mass, *by_magnitude)]
    arrays = features.astype(np.uint32), support, sums, *cells, intercept
    return MergeSums.from_arrays((len(b), 1, n_rows), *arrays)


def learner_of(k):
    return Learner(N, 2 if k == 1 else k)


def merged(sums, rule, k, step=1.0):
    """The features and the state that a learner that knew nothing has after the merge."""
    learner, features = learner_of(k), sums.features()
    sums.merge_into(learner, rule, step)
    return (features, *learner.gather(features), learner.intercept_state())


def combined(lanes, rows, rules=RULES):
    return MergeSums.combine([sums_of(one, n, rules) for one, n in zip(lanes, rows, strict=True)])


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def arrays(sums):
    return sums.__reduce__()[1]


cases = given(seed=st.integers(0, 2**32), n_lanes=st.integers(1, 9), k=st.sampled_from([1, 3, 20]))


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=25)
@cases
def test_every_rule_is_its_formula(rule, seed, n_lanes, k):
    rng = np.random.default_rng(seed)
    lanes, rows = [lane(rng, k) for _ in range(n_lanes)], rng.integers(1, 99, n_lanes).tolist()
    features, *fast = merged(combined(lanes, rows), rule, k)
    weights, sums, intercept = direction(lanes, rule, N)
    assert (features == np.unique(np.concatenate([one[0] for one in lanes]))).all()
    for one, twin in zip(fast, (weights[features], sums[features], intercept), strict=True):
        np.testing.assert_allclose(one, twin, rtol=1e-6, atol=1e-7)
    assert not np.delete(weights, features, axis=0).any()


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=15)
@cases
def test_equal_lanes_give_what_one_gives_but_for_the_length_of_some_rules(rule, seed, n_lanes, k):
    changes = lane(np.random.default_rng(seed), k)
    longer = min(n_lanes**0.25, 2) if rule in LENGTHENED else 1
    _, weights, sums, intercept = merged(combined([changes] * n_lanes, [5] * n_lanes), rule, k)
    np.testing.assert_allclose(weights, longer * changes[1], rtol=1e-6)
    np.testing.assert_allclose(sums, n_lanes * changes[2], rtol=1e-6)
    np.testing.assert_allclose(intercept[0], longer * changes[3][0], rtol=1e-6)


@settings(deadline=None, max_examples=25)
@cases
def test_a_tree_gives_the_same_bytes_through_pickles(seed, n_lanes, k):
    rng = np.random.default_rng(seed)
    parts = [sums_of(lane(rng, k), 3) for _ in range(2 * n_lanes)]
    halves = [MergeSums.combine(parts[:n_lanes]), MergeSums.combine(parts[n_lanes:])]
    there = [pickle.loads(pickle.dumps(half, protocol=5)) for half in halves]
    one, other = MergeSums.combine(halves), MergeSums.combine(there)
    assert same(arrays(one), arrays(other))
    assert (one.n_lanes, one.n_rows) == (2 * n_lanes, 6 * n_lanes)


@settings(deadline=None, max_examples=20)
@cases
def test_any_number_of_parts_is_added_up_in_their_order(seed, n_lanes, k):
    rng = np.random.default_rng(seed)
    parts = [sums_of(lane(rng, k), 3) for _ in range(n_lanes)]
    one_by_one = parts[0]
    for part in parts[1:]:
        one_by_one = MergeSums.combine([one_by_one, part])
    assert same(arrays(MergeSums.combine(parts))[1:], arrays(one_by_one)[1:])


@settings(deadline=None, max_examples=20)
@cases
def test_renamed_features_give_renamed_states(seed, n_lanes, k):
    rng = np.random.default_rng(seed)
    lanes, new = [lane(rng, k) for _ in range(n_lanes)], rng.permutation(N).astype(np.uint32)
    orders = [np.argsort(new[one[0]]) for one in lanes]
    renamed = [(new[j][o], w[o], g[o], b) for (j, w, g, b), o in zip(lanes, orders, strict=True)]
    j, w, g, b = merged(combined(lanes, [2] * n_lanes), "mass", k)
    order = np.argsort(new[j])
    assert same((new[j][order], w[order], g[order], b), merged(combined(renamed, [2] * n_lanes), "mass", k))


@settings(deadline=None, max_examples=20)
@cases
def test_a_part_moves_its_features_as_the_whole_does(seed, n_lanes, k):
    rng = np.random.default_rng(seed)
    whole = combined([lane(rng, k) for _ in range(n_lanes)], [2] * n_lanes)
    marks = rng.random(N) < 0.5
    features, *state = merged(whole, "mass", k, 0.7)
    part = merged(whole.part(marks), "mass", k, 0.7)
    kept = marks[features]
    assert same(part, (features[kept], state[0][kept], state[1][kept], state[2]))


@pytest.mark.parametrize("rules", [RULES, ("mass",), ("support",), ("magnitude",), ("magnitude", "mass")])
@pytest.mark.parametrize("n_classes", [2, 3, 9])
def test_the_sums_of_a_lane_are_those_of_its_changes(n_classes, rules):
    (X, y), learner = random_rows(5, 30, 200, n_classes), Learner(200, n_classes)
    learner.begin_changes()
    learner.learn(sparse(X), y)
    changes = learner.take_changes()
    learner.begin_changes()
    learner.learn(sparse(X), y)
    lane = MergeSums.of(learner, 30, rules)
    assert not len(learner.met())
    there = pickle.loads(pickle.dumps(lane))
    for one in (lane, there):
        assert same(arrays(MergeSums.combine([one])), arrays(sums_of(changes, 30, rules)))
        assert (one.n_lanes, one.n_rows, one.nbytes) == (1, 30, sum(part.nbytes for part in changes))
    both = learner_of(n_classes), learner_of(n_classes)
    for learner, one in zip(both, (lane, MergeSums.combine([lane])), strict=True):
        one.merge_into(learner, rules[0], 0.5)
    assert same(*(learner.gather(lane.features()) for learner in both))


@pytest.mark.parametrize(
    ("position", "array"),
    [
        (0, (5, False, False, False)),
        (0, (5, False, True, True)),
        (1, np.array([3, 3], np.uint32)),
        (1, np.array([1], np.uint32)),
        (2, np.ones(3, np.float32)),
        (2, np.full(4, np.nan, np.float32)),
        (3, np.float32([1, -1])),
        (3, np.float32([1, np.inf])),
        (4, np.ones(3, np.float32)),
        (4, np.full(4, -np.inf, np.float32)),
        (4, np.zeros(0, np.float32)),
    ],
)
def test_impossible_changes_are_refused(position, array):
    numbers = [np.ones(length, np.float32) for length in (4, 2, 4)]
    given = [(5, True, True, True), np.array([1, 7], np.uint32), *numbers]
    assert len(MergeSums.from_changes(*given).features()) == 2
    given[position] = array
    with pytest.raises((ValueError, TypeError)):
        MergeSums.from_changes(*given)


def test_half_a_step_moves_weights_half_as_far_and_sums_as_far():
    sums = combined([lane(np.random.default_rng(1), 3) for _ in range(3)], [2, 3, 4])
    _, weights, masses, intercept = merged(sums, "support", 3)
    _, half, others, b = merged(sums, "support", 3, 0.5)
    assert same((half, others, b), (weights / 2, masses, intercept * np.float32([[0.5], [1]])))


@pytest.mark.parametrize(
    ("asked", "also", "not_kept"),
    [(("support",), "uniform", ["mass", "magnitude"]), (("magnitude",), "magnitude", ["support", "mass"])],
)
def test_sums_that_were_not_asked_for_are_refused(asked, also, not_kept):
    rng, learner = np.random.default_rng(0), learner_of(3)
    sums = combined([lane(rng, 3) for _ in range(2)], [5, 5], asked)
    sums.merge_into(learner, also, 1.0)
    for rule, words in (*((rule, "not kept") for rule in not_kept), ("rows", "no rule")):
        with pytest.raises(ValueError, match=words):
            sums.merge_into(learner, rule, 1.0)


def test_a_lane_that_left_an_output_alone_is_not_divided_by():
    one = np.array([7], np.uint32), np.float32([[3, 0, 0]]), np.float32([1]), np.zeros((2, 3), np.float32)
    other = np.array([7], np.uint32), np.float32([[0, -1, 0]]), np.float32([1]), np.zeros((2, 3), np.float32)
    _, weights, _, _ = merged(combined([one, other], [1, 1]), "magnitude", 3)
    # Steps of one learner that has seen the squares of both would be shorter by this.
    np.testing.assert_allclose(weights, np.float32([[3, -1, 0]]) / 2**0.5, rtol=1e-6)


@pytest.mark.parametrize(("sum_before", "initial_g"), [(0, 0), (0, 1), (60, 0), (60, 0.5), (1e6, 0)])
def test_what_one_lane_moves_goes_at_the_pace_of_one_learner(sum_before, initial_g):
    """Squares 1 of one lane of four, beside a fourth of those before."""
    learner = Learner(N, 3, initial_g=initial_g)
    learner.scatter(np.uint32([7]), np.zeros((1, 3), np.float32), np.float32([sum_before]))
    one = np.uint32([7]), np.float32([[3, -1, 0]]), np.float32([1]), np.zeros((2, 3), np.float32)
    none = np.zeros(0, np.uint32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32), one[3]
    combined([one, none, none, none], [1] * 4).merge_into(learner, "magnitude", 1.0)
    rates = [(initial_g + before + 1) ** -0.5 for before in (sum_before, sum_before / 4)]
    np.testing.assert_allclose(learner.weights(7, 8), one[1] * rates[0] / rates[1], rtol=1e-6)


def test_sums_of_other_outputs_or_rules_or_none_are_refused():
    rng = np.random.default_rng(0)
    some = sums_of(lane(rng, 3), 5)
    with pytest.raises(ValueError, match="no sums"):
        MergeSums.combine([])
    for other in (sums_of(lane(rng, 1), 5), sums_of(lane(rng, 3), 5, ("support",))):
        with pytest.raises(ValueError, match="different kinds"):
            MergeSums.combine([some, other])
    with pytest.raises(ValueError, match="another shape"):
        some.merge_into(learner_of(4), "mass", 1.0)
    with pytest.raises(ValueError, match="fewer marks"):
        some.part(np.ones(1, np.bool_))


@pytest.mark.parametrize(
    ("position", "array"),
    [
        (0, (2, 1, 5)),
        (0, (0, 1, 5)),
        (0, (1, 0, 5)),
        (1, np.array([3, 3], np.uint32)),
        (1, np.array([1, 2], np.int64)),
        (1, np.array([1], np.uint32)),
        (2, np.array([0, 1], np.uint32)),
        (3, np.array([-1.0, 0.0])),
        (3, np.array([1.0])),
        (4, np.full(2, np.nan)),
        (4, np.zeros(0)),
        (5, np.zeros(1)),
        (6, np.zeros(0)),
        (6, np.array([-1.0, 1.0])),
        (7, np.full(2, np.inf)),
        (8, np.zeros(0)),
        (8, np.full(5, np.inf)),
    ],
)
def test_impossible_arrays_are_refused(position, array):
    changes = np.array([1, 7], np.uint32), np.ones((2, 1), np.float32), np.ones(2, np.float32)
    given = list(arrays(sums_of((*changes, np.ones((2, 1), np.float32)), 5)))
    assert len(MergeSums.from_arrays(*given).features()) == 2
    given[position] = array
    with pytest.raises((ValueError, TypeError)):
        MergeSums.from_arrays(*given)
