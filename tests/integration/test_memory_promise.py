"""Peak memory of the process tree stays below what ``plan`` promised, on hostile shapes."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture(scope="module")
def shapes():
    sys.path.insert(0, str(BENCHES))
    try:
        spec = importlib.util.spec_from_file_location("memory_shapes", BENCHES / "memory_shapes.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHES))


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("dictionary", 0.2),
        ("delta", 0.05),
        ("open_reviews", 1),
        ("long_key", 1),
        ("long_records", 0.4),
        ("wide_csv", 0.4),
    ],
)
def test_the_promise_of_the_plan_is_kept(shapes, name, scale):
    row = shapes.measured(name, scale)
    assert row["exit"] == 0, row
    assert row["share"] <= 1, row
