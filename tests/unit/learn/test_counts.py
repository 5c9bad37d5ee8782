"""Counting rows: invalid input changes nothing."""

import numpy as np
import pytest

from manymill._core import FeatureCounts, FeatureSums, Rows
from reference.counts import bits, counting

ROWS = Rows.from_arrays(
    np.array([0, 2, 3, 3]), np.array([1, 4, 0], np.uint32), np.array([1, 2, 0.25], np.float32)
)
CLASSES = np.array([0, 1, 2], np.int32)


def small(kind="classes"):
    counter = counting(kind, 5, 3)
    counter.add(ROWS, CLASSES)
    return counter


def test_sums_are_whole_numbers_of_a_fixed_point():
    features, sums, rows, bound = small("sums").to_arrays()
    assert features.tolist() == [0, 1, 4]
    np.testing.assert_array_equal(sums, np.array([[0, 2**34, 0], [2**36, 0, 0], [2**37, 0, 0]], np.uint64))
    assert (rows.tolist(), bound) == ([1, 1, 1], 2**37 + 2**34)


@pytest.mark.parametrize("kind", ["rows", "classes", "sums"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": np.array([0, 3, 0], np.int32)}, "class 3 is not -1 to 2"),
        ({"classes": np.array([0, -2, 0], np.int32)}, "class -2"),
        ({"classes": CLASSES[:2]}, "as many classes"),
        ({"weights": np.ones(2, np.float32)}, "as many classes and weights"),
        ({"weights": np.array([1, -1, 1], np.float32)}, "weight is -1"),
        ({"rows": Rows.from_arrays(np.array([0, 1, 1, 1]), np.array([5], np.uint32), np.ones(1, np.float32))},
         "feature 5 is not below n_features=5"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_changes_nothing(kind, change, message):
    counter = small(kind)
    before = bits(counter)
    with pytest.raises(ValueError, match=message):
        counter.add(**{"rows": ROWS, "classes": CLASSES} | change)
    assert bits(counter) == before


def test_more_rows_than_a_count_holds_are_refused_not_wrapped():
    full = FeatureCounts.from_arrays(
        5,
        np.array([2], np.uint32),
        np.array([0], np.uint32),
        np.array([2**32 - 3], np.uint32),
        np.array([2**32 - 3], np.uint64),
        np.array([2**32 - 3], np.uint64),
        by_class=True,
    )
    before = bits(full)
    with pytest.raises(ValueError, match="4294967293 rows are counted and 3 more"):
        full.add(ROWS, np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="rows are counted"):
        full.merge(full_of_three())
    assert bits(full) == before
    full.add(ROWS, np.array([0, 0, -1], np.int32))
    assert full.rows.tolist() == [2**32 - 1]


def full_of_three():
    counter = FeatureCounts(5, 1, by_class=True)
    counter.add(ROWS, np.zeros(3, np.int32))
    return counter


def test_values_that_sums_cannot_hold_are_refused():
    def one(value):
        return Rows.from_arrays(np.array([0, 1]), np.zeros(1, np.uint32), np.array([value], np.float32))

    sums = FeatureSums(1, 1)
    sums.add(one(2.0**26), np.zeros(1, np.int32))
    for value, message in [
        (2.0**26, "too large"),
        (np.inf, "too large"),
        (-1, "negative"),
        (np.nan, "no number"),
    ]:
        with pytest.raises(ValueError, match=message):
            sums.add(one(value), np.zeros(1, np.int32))
    assert sums.to_arrays()[1].tolist() == [[2**62]]


@pytest.mark.parametrize(
    ("which", "array"),
    [
        (0, [0, 4, 1]),
        (0, [0, 1, 5]),
        (0, [0, 1]),
        (1, [1, 0, 3]),
        (1, [1, 0]),
        (2, [1, 1, 2]),
        (2, [1, 1, 0]),
        (2, [1, 1]),
        (3, [2**63, 2**63, 1]),
        (3, [0, 1, 1]),
        (4, [2, 2, 0]),
        (4, [2, 1]),
    ],
)
def test_arrays_that_no_rows_give_are_refused(which, array):
    arrays = list(small().to_arrays())
    FeatureCounts.from_arrays(5, *arrays, by_class=True)
    arrays[which] = np.array(array, arrays[which].dtype)
    with pytest.raises(ValueError, match=r"features|count|rows"):
        FeatureCounts.from_arrays(5, *arrays, by_class=True)


@pytest.mark.parametrize(("features", "classes"), [([3, 3], [1, 1]), ([3, 3], [1, 0])])
def test_a_pair_that_is_given_twice_or_out_of_order_is_refused(features, classes):
    rows = np.full(20, 9, np.uint64)
    distinct = np.bincount(classes, minlength=20).astype(np.uint64)
    pairs = (np.array(array, np.uint32) for array in (features, classes, [1, 1]))
    with pytest.raises(ValueError, match="ascend strictly"):
        FeatureCounts.from_arrays(5, *pairs, rows, distinct, by_class=True)


def test_counts_over_all_classes_have_no_classes():
    arrays = list(small("rows").to_arrays())
    assert len(arrays[1]) == 0
    arrays[1] = np.zeros(3, np.uint32)
    with pytest.raises(ValueError, match="do not fit together"):
        FeatureCounts.from_arrays(5, *arrays, by_class=False)


def test_sums_above_their_bound_are_refused():
    *arrays, _ = small("sums").to_arrays()
    FeatureSums.from_arrays(5, *arrays, 2**37)
    with pytest.raises(ValueError, match="larger than its rows"):
        FeatureSums.from_arrays(5, *arrays, 2**37 - 1)


def test_counts_of_another_shape_are_not_added():
    for other in (counting("classes", 5, 2), counting("classes", 6, 3), counting("rows", 5, 3)):
        with pytest.raises(ValueError, match="cannot be added"):
            small().merge(other)
    with pytest.raises(ValueError, match="3 classes already"):
        small().grow(2)


def test_memory_grows_with_the_features_met():
    assert counting("rows", 1000, 50).nbytes < 5000
    one = counting("classes", 1000, 16)
    empty = one.nbytes
    one.add(ROWS, CLASSES)
    assert one.nbytes == empty + 3 * 16 * 4


def test_many_classes_take_memory_for_the_pairs_that_occur():
    rng = np.random.default_rng(0)
    indices = np.sort(rng.integers(0, 2**20, (500, 200)), axis=1)
    indices += np.arange(200)  # strictly ascending
    rows = Rows.from_arrays(
        np.arange(501) * 200, indices.ravel().astype(np.uint32), np.ones(indices.size, np.float32)
    )
    counter = counting("classes", 2**21, 512)
    counter.add(rows, rng.integers(0, 512, 500).astype(np.int32))
    n_pairs = len(counter.to_arrays()[0])
    assert n_pairs > 90_000
    assert counter.nbytes < 24 * n_pairs + 20_000
