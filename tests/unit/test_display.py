"""Text from data is printed on one line, escaped and truncated."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymill.display import escaped, listed, quoted, shortened
from manymill.errors import SchemaError

ANY = st.text(st.characters())  # surrogates and control characters among them


@given(ANY)
def test_escaped_text_is_printable_and_can_be_encoded(text: str) -> None:
    assert escaped(text).isprintable()
    escaped(text).encode()


@given(ANY)
def test_escaping_twice_changes_nothing(text: str) -> None:
    assert escaped(escaped(text)) == escaped(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert escaped(text) == text


def test_an_escape_sequence_of_a_terminal_is_shown_as_text() -> None:
    assert escaped("\x1b]0;pwn\x07") == r"\x1b]0;pwn\x07"
    assert quoted("\x1b]0;pwn\x07") == r"'\x1b]0;pwn\x07'"


@given(ANY, st.integers(1, 50))
def test_cut_text_has_no_more_than_the_limit_and_its_length(text: str, limit: int) -> None:
    for shown in (shortened(text, limit), quoted(text, limit)):
        assert shown.isprintable()
        if "… (" not in shown:
            continue
        assert len(shown) <= 2 * limit + len(f"''… ({len(text):,} characters)")
        assert shown.endswith(f"({len(text):,} characters)")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_short_text_is_quoted_like_its_repr(text: str) -> None:
    assert quoted(text, 500) == repr(text)


def test_a_long_value_is_cut_with_its_length() -> None:
    assert quoted("a" * 1000, 10) == "'aaaaaaaaaa…' (1,000 characters)"


@pytest.mark.parametrize("name", ["x" * 10**6, "\x00" * 10**6, "x"])
def test_a_list_of_any_names_is_a_few_lines_long(name: str) -> None:
    shown = listed([name] * 1_000_000)
    assert len(shown) < 600
    assert shown.endswith(", … (1,000,000 in all)")


def test_a_short_list_is_whole() -> None:
    assert listed(["a", "b\n"]) == r"a, b\n"


def test_no_error_prints_a_control_character() -> None:
    error = SchemaError("no column 'a\x1b[2J' in b\udcff.csv", "did you mean \x07?")
    assert str(error).isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
