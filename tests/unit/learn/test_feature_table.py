"""Feature tables: invalid arguments are refused."""

import numpy as np
import pytest

from manymill._core import FeatureCounts, FeatureTable, Rows


@pytest.mark.parametrize(
    ("n_hashed", "features", "weights", "message"),
    [
        (0, [], None, "n_hashed=0 is invalid"),
        (-1, [], None, "n_hashed=0 is invalid"),
        (2**30 + 1, [], None, "n_hashed=1073741825 is invalid"),
        (5, [1, 1], None, "strictly ascending"),
        (5, [2, 1], None, "strictly ascending"),
        (5, [1, 5], None, "feature 5 is not below n_hashed=5"),
        (5, [1], [], "expected 1 numbers, got 0"),
        (5, [1], [-1], "finite numbers of 0 or more, got -1"),
        (5, [1], [np.nan], "got NaN"),
        (5, [1], [np.inf], "got inf"),
    ],
)
def test_arrays_that_are_no_table_are_refused(n_hashed, features, weights, message):
    weights = None if weights is None else np.array(weights, np.float32)
    with pytest.raises(ValueError, match=message):
        FeatureTable.from_arrays(n_hashed, np.array(features, np.uint32), weights)


def test_a_feature_that_is_not_below_n_hashed_is_not_mapped():
    rows = Rows.from_arrays(np.array([0, 1]), np.array([5], np.uint32), np.ones(1, np.float32))
    with pytest.raises(ValueError, match="feature 5 is not below n_hashed=5"):
        rows.mapped(FeatureTable.from_arrays(5, np.array([1], np.uint32), None), None)


def test_a_table_of_a_million_features_takes_12_bytes_for_64():
    table = FeatureTable.from_arrays(2**20, np.array([7, 8], np.uint32), None)
    assert table.nbytes == 2**20 * 12 // 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "tf"}, "kind=\"tf\" is invalid: expected 'nb-idf', 'nb' or 'idf'"),
        ({"kind": "nb"}, "kind is invalid: expected 'idf'"),
        ({"kind": "idf", "min_rows": 0}, "min_rows is invalid"),
    ],
)
def test_a_table_with_invalid_settings_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FeatureCounts(5, 2, by_class=False).table(**settings)


@pytest.mark.parametrize("n_classes", [2, 3, 40])
def test_frequencies_count_the_features_in_so_many_rows(n_classes):
    counts = FeatureCounts(9, n_classes, by_class=True)
    rows = Rows.from_arrays(np.array([0, 2, 3, 4]), np.array([1, 3, 1, 1], np.uint32), np.ones(4, np.float32))
    counts.add(rows, np.array([0, 1, 1], np.int32))
    assert counts.frequencies(4).tolist() == [0, 1, 0, 1, 0]
    assert counts.frequencies(2).tolist() == [0, 1, 1]
