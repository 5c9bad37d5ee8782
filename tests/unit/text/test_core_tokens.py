"""Tokens made in Python, hashed by the core."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.murmur3 import murmur3

from manymill._core import TokenHasher

tokens = st.lists(st.one_of(st.text(max_size=30), st.just("é" * 40_000)), max_size=6)


@given(st.lists(tokens, max_size=5), st.integers(1, 3), st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_ngrams_are_tokens_joined_by_a_space(documents, least, more):
    documents = [[token for token in document if token.isprintable()] for document in documents]
    hasher, expected = TokenHasher(), []
    for document in documents:
        hasher.add(document, (least, least + more))
        for n in range(least, least + more + 1):
            expected += [" ".join(document[i : i + n]) for i in range(len(document) - n + 1)]
    assert len(hasher) == len(documents)
    batch = hasher.take()
    assert batch.hashes().tolist() == [murmur3(gram.encode()) for gram in expected]
    assert (len(batch), len(hasher)) == (len(documents), 0)


@pytest.mark.parametrize("kind", [list, tuple, iter, dict.fromkeys])
def test_tokens_may_stand_in_anything_that_is_iterable(kind):
    hasher = TokenHasher()
    hasher.add(kind(["one", b"two", ""]))
    assert hasher.take().hashes().tolist() == [murmur3(b"one"), murmur3(b"two"), 0]


def broken():
    yield "one"
    raise KeyError("two")


@pytest.mark.parametrize(
    ("document", "ngram_range", "error"),
    [
        (["one", 2], (1, 1), TypeError),
        (["one", "\ud800"], (1, 1), UnicodeEncodeError),
        ([b"one", "two"], (1, 2), TypeError),
        (broken(), (1, 1), KeyError),
        (None, (1, 1), TypeError),
        (["one"], (0, 1), ValueError),
        (["one"], (2, 1), ValueError),
    ],
    ids=ascii,
)
def test_a_document_that_is_an_error_leaves_nothing_behind(document, ngram_range, error):
    hasher = TokenHasher()
    hasher.add(["before"])
    with pytest.raises(error):
        hasher.add(document, ngram_range)
    hasher.add(["after"])
    batch = hasher.take()
    assert batch.hashes().tolist() == [murmur3(b"before"), murmur3(b"after")]
    assert batch.indptr().tolist() == [0, 1, 2]


def test_memory_is_told():
    hasher = TokenHasher()
    for _ in range(1000):
        hasher.add(["token"] * 1000)
    assert 4_000_000 < hasher.nbytes < 5_000_000
