"""A slice of every fuzzer; what a fuzzer finds is found and made small; differences from Python are documented."""

import os
import time
from pathlib import Path

import pytest

from fuzz import arrays, readers, runner, twins

_DOCS = Path(__file__).parents[2] / "docs" / "formats.md"


@pytest.mark.parametrize("fuzzer", [readers.FUZZER, arrays.FUZZER], ids=lambda fuzzer: fuzzer.name)
def test_a_slice_of_random_cases_passes(fuzzer):
    seed = int(os.environ.get("FUZZ_SEED", time.time_ns()))
    report = runner.run(fuzzer, seed=seed, most_cases=1000)
    assert not report.failures, "\n".join(report.failures)
    assert report.counts.total() >= 1000


@pytest.mark.parametrize("difference", twins.DIFFERENCES.values())
def test_a_difference_from_pythons_parsers_is_documented(difference):
    assert difference in " ".join(_DOCS.read_text().split())


def test_a_failing_case_is_told_with_its_seed_and_made_small():
    def check(seed, data):
        assert seed < 7 or b"Q" not in data or b"R" not in data, "both letters"
        return ["checked"]

    fuzzer = runner.Fuzzer("letters", lambda seed: b"abc" * 50 + b"Q" + b"def" * 50 + b"R", check)
    report = runner.run(fuzzer, seed=0, most_cases=100)
    (failure,) = report.failures
    assert "letters --seed 7: AssertionError: both letters" in failure
    assert "smallest input b'QR'" in failure
    assert report.counts == {"checked": 7}


def test_a_panic_of_the_core_is_a_failure():
    class PanicException(BaseException):
        pass

    def check(seed, data):
        raise PanicException("index out of bounds")

    report = runner.run(runner.Fuzzer("panics", lambda seed: b"", check), seed=3, most_cases=10)
    assert "PanicException: index out of bounds" in report.failures[0]
