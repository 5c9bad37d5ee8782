"""Laws of mixing: each row in one part, the mean whatever the grouping, the order of parts no matter."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill.parameter_mixing.averaging import add_sums, class_sums, weighted_mean
from manymill.parameter_mixing.parts import PARTITIONINGS, assign_parts, split_held_out

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 60), st.integers(1, 9), st.sampled_from(PARTITIONINGS))
def test_each_row_is_in_one_part_and_parts_are_equally_large(seed, n_rows, n_parts, partitioning):
    n_parts = min(n_parts, n_rows)
    rng = np.random.default_rng(seed)
    parts = assign_parts(n_rows, n_parts, partitioning, rng, rng.integers(0, 3, n_rows))
    assert sorted(np.concatenate(parts)) == list(range(n_rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all((np.diff(part) > 0).all() for part in parts)


@given(seeds, st.integers(1, 60), st.integers(1, 9), st.integers(1, 5))
def test_stratified_parts_have_as_many_rows_of_a_class_up_to_one(seed, n_rows, n_parts, n_classes):
    n_parts = min(n_parts, n_rows)
    codes = np.random.default_rng(seed).integers(0, n_classes, n_rows)
    parts = assign_parts(n_rows, n_parts, "stratified", np.random.default_rng(seed), codes)
    counts = np.array([np.bincount(codes[part], minlength=n_classes) for part in parts])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


@given(seeds, st.integers(1, 100), st.floats(0, 0.99))
def test_a_row_is_learnt_or_held_out(seed, n_rows, share):
    learnt, held = split_held_out(n_rows, share, np.random.default_rng(seed))
    assert sorted([*learnt, *held]) == list(range(n_rows))
    assert len(learnt)


@settings(max_examples=50)
@given(seeds, st.integers(1, 8), st.integers(2, 5))
def test_votes_give_the_mean_of_the_parts_that_met_a_class_in_any_order(seed, n_parts, n_classes):
    rng = np.random.default_rng(seed)
    votes, total, weights = [], np.zeros((n_classes, 3)), np.zeros(n_classes)
    met_by = [np.arange(n_classes)] + [
        np.sort(rng.choice(n_classes, rng.integers(2, n_classes + 1), replace=False))
        for _ in range(n_parts - 1)
    ]
    for met in met_by:
        weight = float(rng.integers(1, 50))
        f = rng.normal(size=(1 if len(met) == 2 else len(met), 3))
        votes.append(class_sums({"coef_": f, "intercept_": f[:, 0]}, met, n_classes, weight, jointly=False))
        total[met] += weight * (np.concatenate([-f, f]) if len(met) == 2 else f)
        weights[met] += weight
    mean, back = weighted_mean(add_sums(votes)), weighted_mean(add_sums(votes[::-1]))
    expected = (total / weights[:, None])[1:] if n_classes == 2 else total / weights[:, None]
    np.testing.assert_allclose(mean["coef_"], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back["coef_"], mean["coef_"], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(mean["intercept_"], mean["coef_"][:, 0])
