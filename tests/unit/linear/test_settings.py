import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from manymill.constants import WORD_PATTERN
from manymill.errors import PlanError, SettingsError
from manymill.linear.settings import SEARCHED, Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"ngram_range": (2, 1)},
        {"ngram_range": (0, 1)},
        {"ngram_range": 1},
        {"ngram_range": (1, 1.5)},
        {"lowercase": "yes"},
        {"fit_intercept": None},
        {"n_features": "a"},
        {"n_features": 2.0},
        {"passes": 2.5},
        {"passes": True},
        {"patience": "2"},
        {"l1": "0"},
        {"l2": float("inf")},
        {"learning_rate": "fast"},
        {"holdout": "0.1"},
        {"loss": ["log"]},
        {"class_weight": ["a"]},
        {"class_weight": {"a": "2"}},
        {"n_features": 0},
        {"n_features": 2**30 + 1},
        {"value": "tf"},
        {"norm": "max"},
        {"loss": "huber"},
        {"l1": -1.0},
        {"l2": float("nan")},
        {"learning_rate": 0.0},
        {"passes": 0},
        {"patience": 0},
        {"holdout": 0.9},
        {"holdout_tail": 0.0},
        {"holdout_tail": 0.51},
        {"holdout_tail": "0.1"},
        {"seed": -1},
        {"window_bytes": 0},
        {"class_weight": "fair"},
        {"class_weight": {"a": -1.0}},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(PlanError, match=next(iter(wrong))):
        Settings(**wrong)


def test_numbers_of_numpy_are_settings():
    Settings(passes=np.int64(2), l1=np.float32(0), holdout=np.float64(0.1), lowercase=np.bool_(True))


def test_settings_survive_json():
    settings = Settings(ngram_range=(1, 2), class_weight={"a": 2.0}, norm=None)
    fields = json.loads(json.dumps(settings.to_json()))
    assert Settings(**{**fields, "ngram_range": tuple(fields["ngram_range"])}) == settings


@pytest.mark.parametrize(("n_rows", "share"), [(4_999, 0.0), (5_000, 0.02), (10**6, 0.02), (10**9, 0.00002)])
def test_two_percent_are_held_out_but_never_more_than_20_000_rows_nor_too_few(n_rows, share):
    assert Settings().holdout_share(n_rows, 0) == pytest.approx(share)


def test_long_rows_are_held_out_up_to_16_megabytes_together():
    assert Settings().holdout_share(10**6, 10**11) * 10**11 == pytest.approx(16 << 20)


def test_a_share_that_was_asked_for_is_held_out_whatever_the_number_of_rows():
    assert Settings(holdout=0.3).holdout_share(10, 10**12) == 0.3


def test_a_tail_that_was_asked_for_is_held_out_whatever_the_number_of_rows():
    assert Settings(holdout_tail=0.3).holdout_share(10, 10**12) == 0.3


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_rows_are_held_out_in_one_way(share):
    with pytest.raises(
        SettingsError, match=r"holdout_tail=0.2 is invalid: expected rows held out in one way"
    ):
        Settings(holdout=share, holdout_tail=0.2)


ONE_SHOT = Settings(lanes=16, passes=1, rounds_per_pass=1)


def test_lanes_that_are_merged_once_take_steps_longer_by_the_fourth_root_of_their_number():
    assert [ONE_SHOT.rate(n) for n in (2, 20)] == [2 * Settings().rate(n) for n in (2, 20)]
    assert replace(ONE_SHOT, learning_rate=0.1).rate(2) == 0.1


@pytest.mark.parametrize("change", [{"lanes": 1}, {"passes": 2}, {"rounds_per_pass": 2}])
def test_only_one_round_of_one_pass_of_several_lanes_is_one_shot(change):
    other = replace(ONE_SHOT, **change)
    assert (other.rate(2), other.merge_used) == (Settings().rate(2), "auto")


def test_auto_is_a_search_along_mass_where_lanes_are_merged_once_and_other_rules_stay():
    assert ONE_SHOT.merge_used == SEARCHED
    assert replace(ONE_SHOT, merge="damped").merge_used == "damped"


@pytest.mark.parametrize("merge", ["rows", "support", "mass+search", None])
def test_a_rule_that_is_not_offered_is_refused_with_those_that_are(merge):
    offered = "'auto', 'uniform', 'damped', 'mass' or 'magnitude'"
    expected = re.escape(f"merge={merge!r} is invalid: expected {offered}")
    with pytest.raises(SettingsError, match=f"^{expected}$"):
        Settings(merge=merge)


def test_a_pickle_keeps_every_setting():
    settings = Settings(l2=1e-3, lanes=4, seed=7, merge="mass", class_weight={"a": 2.0})
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_pickle_of_version_0_1_keeps_the_settings_that_are_left():
    # Version 0.1 pickled the values alone, in the order of its fields; two of them have been removed since.
    values = [
        (1, 2),
        False,
        2**10,
        "count",
        "l1",
        "nb",
        "hinge",
        0.1,
        0.2,
        0.3,
        False,
        None,
        5,
        4,
        0.25,
        False,
    ]
    state = [*values, "lbfgs", 9, 3, 1 << 20, 2, 6, "mass", False]
    settings = object.__new__(Settings)
    settings.__setstate__(state)
    assert settings == Settings(
        ngram_range=(1, 2), lowercase=False, n_features=2**10, value="count", norm="l1", feature_weights="nb",
        loss="hinge", l1=0.1, l2=0.2, learning_rate=0.3, fit_intercept=False, class_weight=None, passes=5, patience=4,
        holdout=0.25, calibrate=False, seed=3, window_bytes=1 << 20, lanes=2, rounds_per_pass=6, merge="mass",
        interleaved=False, recipe="fast", char_ngram_range=None, token_pattern=WORD_PATTERN, initial_g=0.0,
    )  # fmt: skip
    assert settings.resolve(2, 1000, 10**6) == settings
