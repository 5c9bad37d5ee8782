"""Feature weights from counts equal the formulas, written out feature by feature."""

from math import log, sqrt

import numpy as np
import pytest
from scipy.stats.contingency import association

from manymill import _core
from manymill._core import FeatureCounts
from manymill.linear.feature_weights import (
    empty_counts,
    feature_weights,
    idf,
    nb_weights,
)
from manymill.metrics import cramers_v
from reference.sparse import random_rows, sparse


def counted(n_classes, seed=0, n_features=40):
    X, classes = random_rows(seed, 30, n_features, n_classes)
    counts = FeatureCounts(n_features, n_classes, by_class=True)
    counts.add(sparse(X), classes)
    return counts, np.array([(X[classes == c] != 0).sum(axis=0) for c in range(n_classes)]).T, classes


def test_idf_is_smooth_and_0_for_what_was_never_met():
    got = idf(np.array([0, 1, 9], np.uint32), 9)
    np.testing.assert_allclose(got, [0, log(10 / 2) + 1, 1], rtol=1e-6)
    assert got.dtype == np.float32


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_two_classes_weigh_by_the_log_count_ratio(alpha):
    counts, of_class, _ = counted(2)
    totals = alpha * 40 + of_class.sum(axis=0)
    for j, weight in enumerate(nb_weights(counts, alpha)):
        p, q = (alpha + of_class[j]) / totals
        assert weight == pytest.approx(abs(log(p / q)) if of_class[j].any() else 0, rel=1e-6)


def test_more_classes_weigh_by_the_divergence_from_all_rows():
    counts, of_class, classes = counted(5)
    prior = np.bincount(classes, minlength=5) / len(classes)
    met = prior > 0
    added = 0.1 * met.sum()
    for j, weight in enumerate(nb_weights(counts)):
        p = (of_class[j] + added * prior)[met] / (of_class[j].sum() + added)
        divergence = sum(p * np.log(p / prior[met]))
        assert weight == pytest.approx(
            sqrt(max(0, divergence)) if of_class[j].any() else 0, rel=1e-5, abs=1e-7
        )


def test_counts_are_looked_at_in_slices(monkeypatch):
    counts, _, _ = counted(5)
    whole = nb_weights(counts)
    monkeypatch.setattr("manymill.linear.feature_weights.SLICE_COUNTS", 35)
    np.testing.assert_array_equal(nb_weights(counts), whole)


def test_a_class_without_rows_changes_no_weight():
    counts, _, _ = counted(4)
    before = nb_weights(counts)
    counts.grow(6)
    np.testing.assert_array_equal(nb_weights(counts), before)


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


@pytest.mark.parametrize("n_features", [2, 5, 100])
def test_frequencies_weigh_alike_whether_there_are_more_rows_or_features(n_features):
    counts = empty_counts("idf", n_features, 2)
    indptr = np.array([0, 1, 2, 2, 4, 5])
    rows = _core.Rows.from_arrays(indptr, np.array([1, 0, 0, 1, 1], np.uint32), np.ones(5, np.float32))
    counts.add(rows, np.zeros(5, np.int32))
    expected = idf(counts.document_frequencies(), 5)
    assert feature_weights("idf", counts).tobytes() == expected.tobytes()
