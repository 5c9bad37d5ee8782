"""Feature weights ignore classes without rows; how sorted partitions are."""

import numpy as np
import pytest
from scipy.stats.contingency import association

from manymill._core import FeatureCounts
from manymill.metrics import cramers_v
from reference.sparse import random_rows, sparse


@pytest.mark.parametrize("n_classes", [6, 40])
@pytest.mark.parametrize("kind", ["nb-idf", "nb", "idf"])
def test_a_class_without_rows_changes_no_weight(kind, n_classes):
    X, classes = random_rows(0, 30, 40, 4)
    counts = FeatureCounts(40, 4, by_class=True)
    counts.add(sparse(X), classes)
    before = counts.table(kind).weights
    counts.grow(n_classes)
    np.testing.assert_array_equal(counts.table(kind).weights, before)


def test_skew_is_scipys_cramers_v():
    table = np.random.default_rng(1).integers(1, 30, (4, 3))
    assert cramers_v(table) == pytest.approx(association(table, method="cramer"))


def test_sorted_partitions_are_found_and_mixed_ones_are_not():
    assert cramers_v(np.diag([50, 50, 50])) == pytest.approx(1)
    assert cramers_v(np.full((8, 3), 50)) == 0


@pytest.mark.parametrize(
    "table", [[[3, 4]], [[3], [4]], [[0, 3], [0, 4]], [[0, 0], [0, 0]], [[1, 2], [0, 0]]]
)
def test_one_partition_or_label_has_no_skew(table):
    assert cramers_v(table) == 0
