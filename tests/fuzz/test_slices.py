"""A slice of every fuzzer; what a fuzzer finds is found and made small; differences from Python are documented."""

import os
import time
from pathlib import Path

import pytest

from fuzz import arrays, loaders, readers, reference_readers, runner

_DOCS = Path(__file__).parents[2] / "docs" / "formats.md"


@pytest.mark.parametrize(
    ("fuzzer", "n_cases"),
    [(readers.FUZZER, 1000), (arrays.FUZZER, 1000), (loaders.FUZZER, 200)],
    ids=["readers", "arrays", "loaders"],
)
def test_a_slice_of_random_cases_passes(fuzzer, n_cases):
    seed = int(os.environ.get("FUZZ_SEED", time.time_ns()))
    report = runner.run(fuzzer, seed=seed, most_cases=n_cases)
    assert not report.failures, "\n".join(report.failures)
    assert report.counts.total() >= n_cases


@pytest.mark.parametrize("name", loaders.KINDS)
def test_an_undamaged_folder_of_each_kind_is_read_as_it_was_written(name, tmp_path):
    loaders.KINDS[name].make(tmp_path / "one")
    loaded = loaders.KINDS[name].load(tmp_path / "one")
    assert loaded
    assert loaders.KINDS[name].load(tmp_path / "one") == loaded


@pytest.mark.parametrize("difference", reference_readers.DIFFERENCES.values())
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
