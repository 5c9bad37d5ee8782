"""`cv_results_` where scikit-learn has no equivalent."""

import math

import numpy as np
import pytest
from tests.unit.search.policies import policy_of, splits

from manymill.search.results import best_index, cv_results, rank_candidates


def test_the_first_rank_is_the_best_row_though_another_was_begun_with_more_rows():
    scores = splits(0, 0.1, 0.1) | splits(1, 0.2, 0.2) | splits(2, 0.3, 0.3) | {(2, 0, 1): 0.9}
    policy = policy_of(scores, 2, rungs=(1, 3))
    table = cv_results(policy, ["score"])
    assert table["rank_test_score"].tolist() == [3, 2, 1]
    assert best_index(table, "score") == rank_candidates(policy)[0].trial == 2


def test_a_candidate_that_failed_with_more_rows_has_the_last_rank():
    scores = splits(0, 0.1) | splits(1, 0.2) | splits(2, 0.3)
    table = cv_results(policy_of(scores, 1, rungs=(1, 3), failed=[(2, 0, 1)]), ["score"])
    assert table["rank_test_score"].tolist() == [2, 1, 3]
    assert (best_index(table, "score"), math.isnan(table["mean_test_score"][2])) == (1, True)


def test_infinite_scores_have_means_and_no_warning():
    table = cv_results(policy_of(splits(0, -math.inf, 0.5) | splits(1, 0.4, 0.5), 2), ["score"])
    assert table["mean_test_score"].tolist() == [-math.inf, pytest.approx(0.45)]
    assert table["rank_test_score"].tolist() == [2, 1]


def test_splits_that_are_missing_are_nan_and_counted():
    table = cv_results(policy_of(splits(0, 0.5) | splits(1, 0.4, 0.5), 2), ["score"])
    np.testing.assert_array_equal(table["split1_test_score"], [math.nan, 0.5])
    assert table["n_splits_done"].tolist() == [1, 2]
    assert best_index(table, "score") == 1
