"""Printed output cannot control a terminal or show a password."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymill.cli.output import as_json, printable, say, show, show_json
from manymill.display import lines


@given(st.text())
def test_only_line_ends_and_printable_characters_are_printed(text: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in printable(text))


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_printable_text_stays(text: str) -> None:
    assert printable(text) == text


@given(st.recursive(st.text() | st.none() | st.integers(), lambda inner: st.lists(inner)))
def test_json_reads_back_the_same(value: object) -> None:
    assert json.loads(as_json(value)) == value


@given(st.text())
def test_json_has_no_control_characters(text: str) -> None:
    assert all(character.isprintable() for character in as_json([text]))


@given(st.lists(st.text(), min_size=1))
def test_each_of_several_texts_is_one_line(texts: list[str]) -> None:
    assert printable(lines(texts)).count("\n") == len(texts) - 1


def test_a_message_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    say("warning bad row in a\nsaved   /model")
    assert capsys.readouterr().err == "warning bad row in a\\nsaved   /model\n"


@pytest.mark.parametrize("write", [say, show])
def test_a_title_and_a_password_are_not_printed(
    write: Callable[[object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write("label \x1b]0;title\x07 of https://me:password@host/a?token=1")
    captured = capsys.readouterr()
    assert captured.out + captured.err == "label \\x1b]0;title\\x07 of https://host/a\n"


def test_json_escapes_eight_bit_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"label": "\x9b31m\u202e"})
    assert capsys.readouterr().out == '{"label": "\\u009b31m\\u202e"}\n'
