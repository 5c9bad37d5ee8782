"""Laws of hashing: the bits of scikit-learn for any text, and no trace of where the data were cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer as Original
from tests.reference.outcome import bits, outcome
from tests.reference.tokens import token_hashes

from manymill._core import HashedBatch, Hasher
from manymill.text.hashing import HashingVectorizer

# Letters that are hard for somebody: case that changes length, sigma, marks, digits, other planes.
AWKWARD = "aZ09_ .-'\n\0\u00ad\u0301ßẞİıŁéÉΣσςΑ\u212aȺк安녕२ⅧͅA𐐀🙂"
texts = st.one_of(
    st.text(st.characters(), max_size=60),
    st.text(st.sampled_from(AWKWARD), max_size=200),
    st.text(st.sampled_from("abAB_9 .é"), max_size=300),
)
documents = st.lists(texts, min_size=1, max_size=6)
ngram_ranges = st.tuples(st.integers(1, 4), st.integers(0, 2)).map(lambda pair: (pair[0], sum(pair)))
parameters = st.fixed_dictionaries(
    {
        "ngram_range": ngram_ranges,
        "lowercase": st.booleans(),
        "n_features": st.one_of(st.integers(1, 40), st.integers(1, 2**31 - 2)),
        "binary": st.booleans(),
        "norm": st.sampled_from(["l1", "l2", None]),
        "alternate_sign": st.booleans(),
        "dtype": st.sampled_from([np.float64, np.float32]),
    }
)


@given(documents, parameters)
@settings(max_examples=300, deadline=None)
def test_any_text_under_any_setting_gives_the_bits_of_scikit_learn(X, kwargs):
    assert bits(HashingVectorizer(**kwargs).transform(X)) == bits(Original(**kwargs).transform(X))


def pairs(text):
    return pairwise(text)


# Whatever a user may ask for, sense or no sense; lone surrogates and documents that are none among the texts.
anything = st.fixed_dictionaries(
    {},
    optional={
        "encoding": st.sampled_from(["utf-8", "ascii", "latin-1", "utf-16"]),
        "decode_error": st.sampled_from(["strict", "ignore", "replace"]),
        "strip_accents": st.sampled_from(["ascii", "unicode", str.upper, None]),
        "lowercase": st.booleans(),
        "preprocessor": st.sampled_from([None, str.title, str.encode]),
        "tokenizer": st.sampled_from([None, str.split, list, str.splitlines, len, pairs, str.strip]),
        "stop_words": st.sampled_from([None, "english", ["the", "ab"], ["a b", "A"]]),
        "token_pattern": st.sampled_from(
            [r"\w+", r"(?u)\b\w\w+\b", r"\w\w+", r"(.)b", r"\S+|\s", "", "(a)(b)", None]
        ),
        "ngram_range": st.tuples(st.integers(0, 3), st.integers(0, 4)),
        "analyzer": st.sampled_from(["word", "char", "char_wb", str.split, str.encode, pairs, len]),
        "n_features": st.one_of(st.integers(1, 40), st.integers(1, 2**31 + 5)),
        "binary": st.booleans(),
        "norm": st.sampled_from(["l1", "l2", None, "max"]),
        "alternate_sign": st.booleans(),
        "dtype": st.sampled_from(
            [np.float64, np.float32, np.int64, np.int8, np.uint16, np.complex64, bool, "U2"]
        ),
    },
)
odd = st.one_of(
    texts, texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.sampled_from([None, np.nan, 1])
)
odd_documents = st.one_of(documents, st.lists(odd, max_size=4))


@given(odd_documents, anything, st.sampled_from(["transform", "fit_transform"]))
@settings(max_examples=1000, deadline=None)
def test_whatever_is_asked_for_the_outcome_is_that_of_scikit_learn(X, kwargs, method):
    ours, theirs = HashingVectorizer(**kwargs), Original(**kwargs)
    assert outcome(ours, X, method) == outcome(theirs, X, method)
    assert outcome(ours, lambda: iter(X), method) == outcome(theirs, lambda: iter(X), method)


@given(documents, ngram_ranges, st.booleans())
@settings(max_examples=100, deadline=None)
def test_hashes_are_those_of_the_slow_twin(X, ngram_range, lowercase):
    batch = Hasher(ngram_range=ngram_range, lowercase=lowercase).hash_strings(X)
    expected = [hash for text in X for hash in token_hashes(text, ngram_range, lowercase)]
    assert batch.hashes().tolist() == expected


@given(documents, st.data())
@settings(max_examples=100, deadline=None)
def test_where_the_data_are_cut_never_changes_a_row(X, data):
    cut = data.draw(st.integers(0, len(X)))
    whole, parts = Hasher().hash_strings(X), [Hasher().hash_strings(part) for part in (X[:cut], X[cut:])]
    assert whole.hashes().tolist() == [hash for part in parts for hash in part.hashes().tolist()]
    stacked = [np.diff(part.indptr()) for part in parts]
    assert np.diff(whole.indptr()).tolist() == np.concatenate(stacked).tolist()


@given(st.lists(st.integers(0, 2**32 - 1), max_size=400), st.integers(1, 2**31), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_a_matrix_sums_what_meets_in_a_column(hashes, n_features, repeats):
    hashes = np.array(hashes * repeats, np.uint32)
    batch = HashedBatch.from_arrays(hashes, np.array([0, len(hashes)]))
    data, indices, _ = batch.to_csr(n_features, alternate_sign=True, binary=False, norm=None, dtype="float64")
    signed = hashes.view(np.int32).astype(np.int64)
    columns, where = np.unique(np.abs(signed) % n_features, return_inverse=True)
    assert indices.tolist() == columns.tolist()
    assert data.tolist() == np.bincount(where, np.where(signed < 0, -1, 1), len(columns)).tolist()


@given(st.binary(max_size=80), st.lists(st.integers(-4, 90), min_size=2, max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_bytes_and_offsets_give_a_batch_or_a_value_error(data, offsets):
    chunk = np.frombuffer(data, np.uint8), np.array(offsets, np.int64)
    rows = np.arange(len(offsets) - 1, dtype=np.uint32)
    try:
        texts = [_sliced(data, a, b).decode() for a, b in pairwise(offsets)]
    except ValueError:
        with pytest.raises(ValueError, match="document"):
            Hasher().hash_utf8([chunk], np.zeros_like(rows), rows)
    else:
        batch = Hasher().hash_utf8([chunk], np.zeros_like(rows), rows)
        assert batch.hashes().tolist() == [hash for text in texts for hash in token_hashes(text)]


def _sliced(data, start, end):
    if not 0 <= start <= end <= len(data):
        raise ValueError("outside of the data")
    return data[start:end]
