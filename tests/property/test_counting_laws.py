"""Laws of counting: who counts which rows in which order is not to be seen in the counts."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from manymill._core import Rows
from reference.counts import arrays_again, bits, counting, counts_of, dense_counts, weighted

N_FEATURES = 7
value = st.one_of(st.just(float("nan")), st.floats(0, 100, width=32))
row = st.lists(value, min_size=N_FEATURES, max_size=N_FEATURES)
KINDS = pytest.mark.parametrize("kind", ["rows", "classes", "sums"])


def rows_of(X):
    """Rows in which an entry that is NaN is not stored."""
    stored = ~np.isnan(X)
    indptr = np.concatenate([[0], stored.sum(axis=1).cumsum()])
    return Rows.from_arrays(indptr, np.nonzero(stored)[1].astype(np.uint32), X[stored].astype(np.float32))


@st.composite
def labelled(draw):
    """A matrix, classes, weights, and the number of classes."""
    n_classes = draw(st.sampled_from([1, 2, 3, 5, 16, 17, 40]))
    rows = draw(
        st.lists(st.tuples(row, st.integers(-1, n_classes - 1), st.sampled_from([0, 0.5, 1])), max_size=8)
    )
    X = np.array([r[0] for r in rows]).reshape(-1, N_FEATURES)
    return X, np.array([r[1] for r in rows], np.int32), np.array([r[2] for r in rows], np.float32), n_classes


@KINDS
@given(labelled(), st.data())
@settings(max_examples=60, deadline=None)
def test_parts_counted_and_merged_in_any_order_are_the_counts_of_the_whole(kind, data, draw):
    X, classes, weights, n_classes = data
    whole = counting(kind, N_FEATURES, n_classes)
    whole.add(rows_of(X), classes, weights)
    merged = counting(kind, N_FEATURES, n_classes)
    for part in np.array_split(draw.draw(st.permutations(range(len(X)))), 3):
        part = np.asarray(part, np.intp)
        counter = counting(kind, N_FEATURES, n_classes)
        counter.add(rows_of(X[part]), classes[part], weights[part])
        merged.merge(arrays_again(counter, kind))
    assert bits(merged) == bits(whole)


@given(labelled())
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_the_slow_twin(data):
    X, classes, weights, n_classes = data
    counts, rows, distinct = counts_of(X, classes, weights, n_classes)
    by_class, together = (counting(kind, N_FEATURES, n_classes) for kind in ("classes", "rows"))
    for counter in (by_class, together):
        counter.add(rows_of(X), classes, weights)
        np.testing.assert_array_equal(counter.rows, rows)
        np.testing.assert_array_equal(counter.distinct, distinct)
    np.testing.assert_array_equal(dense_counts(by_class), counts)
    np.testing.assert_array_equal(dense_counts(together).sum(axis=1), counts.sum(axis=1))


@given(labelled(), st.sampled_from([0, 1, 3, 20]))
@settings(max_examples=40, deadline=None)
def test_counts_that_grow_are_those_with_all_classes_from_the_first(data, more):
    X, classes, weights, n_classes = data
    for kind in ("rows", "classes", "sums"):
        grown, wide = counting(kind, N_FEATURES, n_classes), counting(kind, N_FEATURES, n_classes + more)
        grown.add(rows_of(X), classes, weights)
        grown.grow(n_classes + more)
        wide.add(rows_of(X), classes, weights)
        assert bits(grown) == bits(wide)


@given(labelled(), row, st.sampled_from(["l1", "l2", None]))
@settings(max_examples=80, deadline=None)
def test_weighted_rows_are_those_of_the_slow_twin(data, weights, norm):
    X = data[0]
    weights = np.nan_to_num(np.array(weights)).astype(np.float32)
    products = np.abs(np.nan_to_num(X).astype(np.float64) * weights)
    assume(not ((products > 0) & (products < 1e-30)).any())  # numbers near the smallest have few digits left
    expected = weighted(X, weights, norm)
    got = rows_of(X).weighted(weights, norm)
    stored = ~np.isnan(X)
    np.testing.assert_array_equal(got.arrays()[1], np.nonzero(stored)[1])
    np.testing.assert_allclose(got.arrays()[2], expected[stored], rtol=1e-6, atol=1e-37)
