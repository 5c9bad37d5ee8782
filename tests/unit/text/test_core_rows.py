"""Rows from stored hashes equal the rows of the documents."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymill import _core

WORDS = st.lists(st.sampled_from(["to", "be", "or", "not", "Été", "ein"]), max_size=30).map(" ".join)


def as_chunk(texts, ngram_range):
    """Texts in Arrow layout, and as hashes with starts and ends."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)])
    data = np.frombuffer(b"".join(encoded), np.uint8)
    batch = _core.Hasher(ngram_range=ngram_range).hash_strings(texts)
    return (data, offsets), (batch.hashes(), batch.indptr()[:-1], batch.indptr()[1:])


def arrays(rows):
    return [array.tobytes() for array in rows.arrays()]


@given(
    st.lists(st.lists(WORDS, min_size=1, max_size=5), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=12),
    st.sampled_from([1, 3**5, 2**10, 2**31]),
    st.sampled_from(["count", "log", "binary"]),
    st.sampled_from(["l1", "l2", None]),
)
def test_they_are_the_rows_of_the_texts_bit_for_bit(columns, picks, n_features, value, norm):
    texts, hashed = zip(*(as_chunk(column, (1, 2)) for column in columns), strict=True)
    chunk_of = np.array([c % len(columns) for c, _ in picks], np.uint32)
    row_of = np.array([r % len(columns[c % len(columns)]) for c, r in picks], np.uint32)
    how = {"value": value, "norm": norm}
    expected = _core.Hasher(ngram_range=(1, 2)).rows_utf8(list(texts), chunk_of, row_of, n_features, **how)
    rows = _core.Rows.of_hashes(list(hashed), chunk_of, row_of, n_features, **how)
    assert arrays(rows) == arrays(expected)


def rows_of(chunk, row, chunk_number=0, **how):
    picked = np.array([chunk_number], np.uint32), np.array([row], np.uint32)
    return _core.Rows.of_hashes([chunk], *picked, **{"n_features": 8, "value": "log", "norm": None, **how})


HASHES = np.arange(3, dtype=np.uint32)


@pytest.mark.parametrize(("start", "end"), [(0, 4), (2, 1), (-1, 2), (0, 2**62), (3, 2**63 - 1)])
def test_hashes_that_lie_outside_are_refused(start, end):
    with pytest.raises(ValueError, match="document 0 lie outside"):
        rows_of((HASHES, np.array([start]), np.array([end])), 0)


@pytest.mark.parametrize(("row", "chunk_number"), [(2, 0), (0, 1), (2**32 - 1, 0)])
def test_documents_that_are_not_there_are_refused(row, chunk_number):
    with pytest.raises(ValueError, match="does not exist"):
        rows_of((HASHES, np.array([0, 1]), np.array([1, 3])), row, chunk_number)


def test_more_ends_than_starts_are_of_no_document():
    with pytest.raises(ValueError, match="does not exist"):
        rows_of((HASHES, np.array([0]), np.array([1, 3])), 1)


def test_impossible_settings_and_scattered_arrays_are_refused():
    chunk = (HASHES, np.array([0]), np.array([3]))
    for how in ({"n_features": 0}, {"value": "sum"}, {"norm": "max"}):
        with pytest.raises(ValueError, match=r"must be"):
            rows_of(chunk, 0, **how)
    with pytest.raises(ValueError, match="contiguous"):
        rows_of((np.arange(6, dtype=np.uint32)[::2], *chunk[1:]), 0)
