import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill.data.dataset import SourceFile
from manymill.predict.parts import part_names


def names(*paths, ending="jsonl"):
    files = [SourceFile(path, 1, "", "jsonl") for path in paths]
    return part_names(files, [ending] * len(files))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/x.jsonl", "x.csv"),
        ("x.JSONL.zst", "x.csv"),
        ("reviews.2024.csv.gz", "reviews.2024.csv"),
        ("https://host/a/b.parquet?token=x/y", "b.csv"),
        ("corpus/", "corpus.csv"),
        (".hidden.txt", "hidden.csv"),
        ("-", "stdin.csv"),
        ("", "part.csv"),
        ("a\nb:c.jsonl", "a_b_c.csv"),
    ],
)
def test_a_part_is_called_as_its_input(path, name):
    assert names(path, ending="csv") == [name]


def test_inputs_of_one_name_get_parts_of_different_names():
    a, b, c, d, other = names("a/x.jsonl", "b/x.jsonl", "X.csv", "a/x.jsonl", "y.jsonl")
    assert len({a.casefold(), b.casefold(), c.casefold(), d.casefold()}) == 4
    assert a.startswith("x-")
    assert other == "y.jsonl"
    assert names("a/x.jsonl", "b/x.jsonl") == [a, b]


@given(st.lists(st.text(max_size=300), max_size=8))
@settings(deadline=None)
def test_part_names_are_distinct_and_stay_in_their_folder(paths):
    result = names(*paths)
    assert len({name.casefold() for name in result}) == len(paths)
    for name in result:
        assert not set(name) & set("/\\\0\n")
        assert name not in (".", "..")
        assert len(name.encode()) < 230
