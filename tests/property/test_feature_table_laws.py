"""Laws of feature tables: what they map, and which weights counts give them."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill._core import FeatureCounts, FeatureTable, Rows
from reference.counts import counts_of
from reference.feature_weights import table_of
from reference.sparse import sparse

N_HASHED = 200
numbers = st.floats(0, 100, width=32)
features_of_a_table = st.dictionaries(st.integers(0, N_HASHED - 1), numbers, max_size=N_HASHED)


@st.composite
def tables(draw):
    """The features and the weights of a table."""
    drawn = sorted(draw(features_of_a_table).items())
    return np.array([j for j, _ in drawn], np.uint32), np.array([weight for _, weight in drawn], np.float32)


@st.composite
def hashed_rows(draw):
    """Rows with values of either sign."""
    rows = draw(
        st.lists(st.dictionaries(st.integers(0, N_HASHED - 1), numbers.map(lambda x: 50 - x)), max_size=5)
    )
    indptr = np.cumsum([0, *map(len, rows)])
    entries = [entry for row in rows for entry in sorted(row.items())]
    indices = np.array([j for j, _ in entries], np.uint32)
    return Rows.from_arrays(indptr, indices, np.array([value for _, value in entries], np.float32))


@given(hashed_rows(), tables(), st.booleans(), st.sampled_from(["l1", "l2", None]))
@settings(max_examples=100, deadline=None)
def test_mapped_rows_are_weighted_rows_without_the_features_outside(rows, table, has_weights, norm):
    features, weights = table
    dense = np.zeros(N_HASHED, np.float32)
    dense[features] = weights if has_weights else 1
    mapped = rows.mapped(FeatureTable.from_arrays(N_HASHED, features, weights if has_weights else None), norm)
    indptr, indices, values = rows.weighted(dense, norm).arrays()
    inside = np.isin(indices, features)
    got = mapped.arrays()
    np.testing.assert_array_equal(got[0], np.concatenate([[0], np.cumsum(inside)])[indptr])
    np.testing.assert_array_equal(got[1], np.searchsorted(features, indices[inside]))
    assert got[2].tobytes() == values[inside].tobytes()


@given(tables(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_table_keeps_its_arrays_through_a_pickle(table, has_weights):
    features, weights = table[0], table[1] if has_weights else None
    made = FeatureTable.from_arrays(N_HASHED, features, weights)
    for copy in (made, pickle.loads(pickle.dumps(made))):
        assert (copy.n_hashed, len(copy), copy.nbytes) == (N_HASHED, len(features), made.nbytes)
        np.testing.assert_array_equal(copy.features, features)
        assert (copy.weights is None) == (weights is None)
        if weights is not None:
            np.testing.assert_array_equal(copy.weights, weights)


@pytest.mark.parametrize("kind", ["nb-idf", "nb", "idf"])
@given(
    st.sampled_from([1, 2, 3, 16, 17, 40]),
    st.integers(0, 9),
    st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_weights_of_a_table_are_those_of_the_slow_twin(kind, n_classes, seed, min_rows):
    rng = np.random.default_rng(seed)
    X = (rng.random((60, 30)) < rng.random(30) ** 3).astype(np.float32)
    classes = rng.integers(0, max(1, n_classes - 1) if seed % 2 else n_classes, 60).astype(np.int32)
    counts = FeatureCounts(30, n_classes, by_class=True)
    counts.add(sparse(X), classes)
    table = counts.table(kind, min_rows=min_rows)
    expected = counts_of(np.where(X == 0, np.nan, X), classes, np.ones(60), n_classes)
    features, weights = table_of(*expected, kind, min_rows)
    assert table.n_hashed == 30
    np.testing.assert_array_equal(table.features, features)
    # Where classes hardly differ, the divergence is a difference of nearly equal numbers: compare before the last root.
    power = 2 if kind == "nb-idf" else 1
    np.testing.assert_allclose(
        table.weights.astype(np.float64) ** power, weights**power, rtol=1e-6, atol=1e-7
    )


@given(st.sampled_from([2, 5, 40]), st.integers(0, 9), st.sampled_from(["nb-idf", "nb", "idf"]))
@settings(max_examples=30, deadline=None)
def test_who_counts_which_rows_in_which_order_is_not_to_be_seen_in_a_table(n_classes, seed, kind):
    rng = np.random.default_rng(seed)
    X = (rng.random((60, 30)) < 0.2).astype(np.float32)
    classes = rng.integers(0, n_classes, 60).astype(np.int32)
    whole, merged = (FeatureCounts(30, n_classes, by_class=True) for _ in range(2))
    whole.add(sparse(X), classes)
    for part in np.array_split(rng.permutation(60), 3):
        counts = FeatureCounts(30, n_classes, by_class=True)
        counts.add(sparse(X[part]), classes[part])
        merged.merge(pickle.loads(pickle.dumps(counts)))
    one, other = whole.table(kind), merged.table(kind)
    assert one.features.tobytes() == other.features.tobytes()
    assert one.weights.tobytes() == other.weights.tobytes()
