"""Streams of documents: what is in memory at once, and what is read when."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from manymill.errors import RowError
from manymill.text.blocks import blocks, held, stream


def endless(read, text):
    while True:
        read.append(text)
        yield text


def test_nothing_is_lost_or_reordered():
    texts = [f"text {i}" for i in range(40_000)]
    cut = list(blocks(texts))
    assert [text for block in cut for text in block] == texts
    assert 2 <= len(cut) <= 4


@pytest.mark.parametrize(("text", "most"), [("", 20_000), ("x" * 100_000, 50)])
def test_no_more_is_read_than_a_block_needs(text, most):
    read = []
    assert len(next(blocks(endless(read, text)))) == len(read) <= most


def test_what_comes_before_an_error_comes_first():
    def broken():
        yield "one"
        raise KeyError("two")

    cut = blocks(broken())
    assert next(cut) == ["one"]
    with pytest.raises(KeyError):
        next(cut)


def test_of_nothing_there_is_no_block():
    assert list(blocks([])) == []


@pytest.mark.parametrize(
    "X",
    [["a"], ("a",), np.array(["a"]), pd.Series(["a"]), pd.Index(["a"]), pl.Series(["a"]), pa.array(["a"])],
    ids=type,
)
def test_a_column_lies_in_memory(X):
    assert held(X)


@pytest.mark.parametrize(
    "X",
    [iter("a"), {"a": 1}, np.array("a"), np.array([["a"]]), pd.DataFrame({"a": [1]}), map(str, "a")],
    ids=type,
)
def test_what_has_to_be_walked_through_is_a_stream(X):
    assert not held(X)


def test_arrow_columns_become_python_strings():
    assert list(stream(pa.chunked_array([["a"], ["b"]]))) == ["a", "b"]
    with pytest.raises(RowError, match="document 1 is null"):
        list(stream(pa.array(["a", None])))
