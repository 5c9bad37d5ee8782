"""Partial results are combined in a fixed tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymill.engine.base import FixedTree


def brackets(parts: list[str]) -> str:
    return f"({' '.join(parts)})"


def tree_of(parts: list[str | None], order: list[int], fan_in: int) -> FixedTree[str]:
    tree = FixedTree(len(parts), fan_in, brackets)
    for index in order:
        tree.add(index, parts[index])
    return tree


def slow_tree(parts: list[str | None], fan_in: int) -> str | None:
    """The same by levels, all at once."""
    while len(parts) > 1:
        groups = [parts[start : start + fan_in] for start in range(0, len(parts), fan_in)]
        there = [[part for part in group if part is not None] for group in groups]
        parts = [brackets(group) if len(group) > 1 else next(iter(group), None) for group in there]
    return parts[0] if parts else None


@given(st.data(), st.integers(0, 30), st.integers(2, 6))
def test_the_tree_is_the_same_in_whatever_order_parts_arrive(
    data: st.DataObject, n: int, fan_in: int
) -> None:
    parts = data.draw(st.lists(st.sampled_from(["x", "y", None]), min_size=n, max_size=n))
    parts = [part and f"{part}{index}" for index, part in enumerate(parts)]
    order = data.draw(st.permutations(range(n)))
    assert tree_of(parts, order, fan_in).root() == slow_tree(parts, fan_in)


def test_ten_parts_by_four_are_two_fours_and_a_two() -> None:
    tree = tree_of(list("0123456789"), list(range(10)), 4)
    assert tree.root() == "((0 1 2 3) (4 5 6 7) (8 9))"


def test_in_order_no_more_than_three_parts_a_level_are_held() -> None:
    held = most = 0

    def combined(parts: list[str]) -> str:
        nonlocal held
        held -= len(parts) - 1
        return "x"

    tree = FixedTree(4**4, 4, combined)
    for index in range(4**4):
        held += 1
        tree.add(index, "x")
        most = max(most, held)
    assert most == 3 * 4


def test_groups_of_one_are_refused() -> None:
    with pytest.raises(ValueError, match="2 or more"):
        FixedTree(3, 1, brackets)
