"""Search spaces in configuration files, and the description of settings in the journal."""

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from manymill.errors import SettingsError
from manymill.search.config import parse_spaces
from manymill.search.distributions import Integers, LogUniform, Uniform
from manymill.search.setup import describe

numbers = st.floats(1e-6, 1e6)


@given(numbers, numbers, st.integers(0, 99))
def test_draws_stay_between_the_ends(one, other, seed):
    low, high = sorted((one, other))
    generator = np.random.default_rng(seed)
    for distribution in (Uniform(low, high), LogUniform(low, high)):
        assert low <= distribution.rvs(generator) <= high


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_take_both_ends(log):
    generator = np.random.default_rng(0)
    drawn = [Integers(1, 4, log=log).rvs(generator) for _ in range(400)]
    assert set(drawn) == {1, 2, 3, 4}
    assert all(type(value) is int for value in drawn)
    assert (drawn.count(1) > 1.5 * drawn.count(2)) is log


def test_logarithms_of_draws_are_uniform():
    generator = np.random.default_rng(0)
    drawn = np.log10([LogUniform(1e-8, 1e-2).rvs(generator) for _ in range(2000)])
    assert stats.kstest(drawn, stats.uniform(-8, 6).cdf).pvalue > 0.01


def test_a_file_names_lists_and_distributions():
    text = 'l2 = {loguniform = [1e-8, 1]}\npasses = {integers = [1, 9]}\nngram_range = [[1, 1], [1, 2]]\nx = ["a"]'
    content = {
        "l2": LogUniform(1e-8, 1.0),
        "passes": Integers(1, 9),
        "ngram_range": [(1, 1), (1, 2)],
        "x": ["a"],
    }
    assert parse_spaces(tomllib.loads(text)) == [content]
    assert parse_spaces([json.loads(json.dumps(tomllib.loads(text)))]) == [content]


@pytest.mark.parametrize(
    "content",
    [
        3,
        {"x": 3},
        {"x": {"normal": [0, 1]}},
        {"x": {"uniform": [1]}},
        {"x": {"uniform": [2, 1]}},
        {"x": {"uniform": ["a", 1]}},
        {"x": {"loguniform": [0, 1]}},
        {"x": {"integers": [0.5, 2]}},
        {"x": {"uniform": [0, float("inf")]}},
    ],
)
def test_what_is_no_distribution_is_refused(content):
    with pytest.raises(SettingsError):
        parse_spaces(content)


def test_the_words_for_a_search_are_the_same_in_every_process():
    code = (
        "from scipy import stats; from manymill.search.setup import describe; "
        "print(describe([{'C': stats.loguniform(1e-3, b=1e3), 'f': [print]}]))"
    )
    here = describe([{"C": stats.loguniform(1e-3, b=1e3), "f": [print]}])
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here)


def test_other_distributions_have_other_words():
    spaces = [stats.uniform(0, 1), stats.uniform(0, 2), stats.norm(0, 1), np.arange(2000), np.arange(2001)]
    assert len({str(describe([{"x": values}])) for values in spaces}) == len(spaces)
