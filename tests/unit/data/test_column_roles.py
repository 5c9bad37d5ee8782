"""A first row that is data, and delimiters other than commas, are recognised."""

import pytest

from manymill.data.dataset import scan
from manymill.errors import SchemaError


def _plan(tmp_path, lines, **options):
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    return scan(tmp_path / "a.csv", **options).plan()


def _doubts(plan):
    return [note for note in plan.notes if "used as the header" in note]


@pytest.mark.parametrize("labels", ["1020", "abab"])
def test_a_first_row_like_the_others_is_told(tmp_path, labels):
    texts = ["a fine film", "a long dull film", "nobody laughs", "good fun"]
    plan = _plan(tmp_path, [f"{text},{label}" for text, label in zip(texts, labels, strict=True)])
    assert len(_doubts(plan)) == 1


@pytest.mark.parametrize("header", ["text,label", "text,2024"])
def test_a_header_is_not_doubted(tmp_path, header):
    assert not _doubts(
        _plan(tmp_path, [header, "a film,x", "a book,y", header, *["a song,x", "a play,y"] * 3])
    )


def test_a_header_that_a_column_is_named_after_is_not_doubted(tmp_path):
    rows = ["a,1", "one,1", "two,2", "three,1", "four,2"]
    assert _doubts(_plan(tmp_path, rows))
    assert not _doubts(_plan(tmp_path, rows, text="a"))


def test_where_no_label_is_found_the_header_is_doubted_too(tmp_path):
    rows = ["one,1", "two,2", "three,3", "four,4", "five,5", "six,6"]
    with pytest.raises(SchemaError, match=r"looks like a label.*used as the header"):
        _plan(tmp_path, rows)


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolons"), ("|", "bars"), ("\t", "tabs")])
def test_another_delimiter_is_named(tmp_path, delimiter, name):
    with pytest.raises(SchemaError, match=f"separated by {name}, not by commas"):
        _plan(tmp_path, [f"text{delimiter}label", f"good{delimiter}a"])
