"""The ranking of candidates while splits are missing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.search.policies import policy_of, splits

from manymill.search.results import rank_candidates, ranking_text


def order(policy):
    return [row.trial for row in rank_candidates(policy)]


@pytest.mark.parametrize("whole", [(0.90, 0.95, 0.85, 0.92, 0.88), (0.9,) * 5])
def test_one_lucky_split_does_not_outrank_the_only_whole_candidate(whole):
    policy = policy_of(splits(0, *whole) | splits(1, 0.91), 5)
    assert order(policy) == [0, 1]
    assert [row.partial for row in rank_candidates(policy)] == [False, True]


def test_a_candidate_far_above_what_splits_differ_by_need_not_be_whole():
    scores = splits(0, 0.50, 0.52, 0.51) | splits(1, 0.41, 0.42, 0.42) | splits(2, 0.9, 0.92)
    assert order(policy_of(scores, 3)) == [2, 0, 1]


def test_an_easy_split_is_no_merit():
    whole = {trial: [0.9 + trial / 100, 0.5 + trial / 100, 0.5 + trial / 100] for trial in range(4)}
    scores = {key: s for trial, own in whole.items() for key, s in splits(trial, *own).items()}
    first = rank_candidates(policy_of(scores | {(9, 0, 0): 0.91}, 3))
    assert next(row.mean for row in first if row.trial == 9) == pytest.approx(sum(whole[1]) / 3)


def test_whole_candidates_stand_by_their_means_and_equal_ones_share_a_rank():
    rows = rank_candidates(policy_of(splits(0, 0.5, 0.7) | splits(1, 0.7, 0.5) | splits(2, 0.7, 0.9), 2))
    assert [(row.trial, row.rank, row.mean) for row in rows] == [(2, 1, 0.8), (0, 2, 0.6), (1, 2, 0.6)]


def test_a_candidate_that_fails_with_more_rows_is_not_the_best():
    scores = splits(0, 0.1) | splits(1, 0.2) | splits(2, 0.3)
    policy = policy_of(scores, 1, rungs=(1, 3), failed=[(2, 0, 1)])
    assert order(policy) == [1, 0, 2]
    assert "failed" in ranking_text(rank_candidates(policy)).splitlines()[-1]


def test_a_rung_that_is_only_begun_does_not_count_yet():
    scores = splits(0, 0.8, 0.9) | splits(1, 0.1, 0.2) | {(0, 0, 1): 0.99}
    first = rank_candidates(policy_of(scores, 2, rungs=(1, 3)))[0]
    assert (first.trial, first.resource, first.partial) == (0, 1, False)
    assert first.mean == pytest.approx(0.85)


def test_nothing_is_ranked_before_there_is_a_result():
    assert rank_candidates(policy_of({}, 3)) == []
    assert ranking_text([]) == ""


anything = st.sampled_from([0.1, 0.5, 0.9, math.nan, math.inf, -math.inf])


@given(st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 2), st.just(0)), anything))
def test_any_scores_are_ranked_without_a_warning_and_nan_stands_last(scores):
    rows = rank_candidates(policy_of(scores, 3))
    assert sorted(row.trial for row in rows) == sorted({trial for trial, *_ in scores})
    assert [row.rank for row in rows] == sorted(row.rank for row in rows)
    unknown = [math.isnan(row.mean) for row in rows]
    assert unknown == sorted(unknown)
    assert all(line for line in ranking_text(rows).splitlines())


def test_a_candidate_has_one_line_whatever_its_parameters():
    policy = policy_of(splits(0, 0.5), 1)
    policy.params[0] = {"x": np.arange(100).reshape(10, 10)}
    assert len(ranking_text(rank_candidates(policy)).splitlines()) == 1
