"""Dataclasses from JSON: a value of another type is refused, and the error names the field."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymill.storage.records import from_record


@dataclass(frozen=True)
class Inner:
    n: int


@dataclass(frozen=True)
class Outer:
    name: str
    number: float
    maybe: int | None = None
    kind: Literal["a", "b"] = "a"
    truth: bool = False
    pairs: tuple[tuple[str, int], ...] = ()
    inner: Inner | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


RIGHT = {"name": "x", "number": 1, "maybe": 2, "pairs": [["a", 1]], "inner": {"n": 1}, "counts": {"a": 1}}
WRONG = {
    "name": [None, 1, ["x"]],
    "number": ["1", None, True, float("nan"), float("inf"), 10**400],
    "maybe": [1.0, "1", True, 2**63],
    "kind": ["c", None, ["a"], {}],
    "truth": [0, "false", None],
    "pairs": ["ab", [["a", 1, 2]], [["a"]], [["a", "1"]], {"a": 1}],
    "inner": [{}, {"n": "1"}, {"n": 1, "m": 2}, 3, []],
    "counts": [[], {"a": "1"}, "a"],
}


def test_what_was_written_is_read_back():
    read = from_record(Outer, RIGHT)
    assert read == Outer("x", 1.0, 2, "a", False, (("a", 1),), Inner(1), {"a": 1})
    assert from_record(Outer, asdict(read)) == read


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, all_ in WRONG.items() for value in all_], ids=str
)
def test_a_value_of_another_type_is_refused(name, value):
    with pytest.raises(ValueError, match=r".+"):
        from_record(Outer, {**RIGHT, name: value})


@pytest.mark.parametrize(
    "record", [None, [], "x", {"name": "x"}, {**RIGHT, "more": 1}, {**RIGHT, 5: 1}], ids=str
)
def test_what_is_not_this_record_is_refused(record):
    with pytest.raises(ValueError, match=r".+"):
        from_record(Outer, record)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(WRONG)), JSON)
def test_whatever_stands_there_a_record_or_a_value_error_comes_out(name, value):
    try:
        read = from_record(Outer, {**RIGHT, name: value})
    except ValueError:
        return
    assert isinstance(read, Outer)
