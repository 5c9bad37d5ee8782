"""Laws of the learner's features: the bits of the reference implementation for any text, on every tier of kernels."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.features import CHARACTERS, feature_hashes
from tests.reference.murmur3 import murmur3
from tests.reference.tokens import learner_row

from manymill._core import HashedBatch, Hasher, kernel_tiers

ROOT = Path(__file__).parents[2]

# Letters that are hard for somebody: case that changes length, marks, scripts without spaces, emoji in pieces.
AWKWARD = (
    "aZ09_ .!?\n\0\u00ad\u0301ßẞİıΣσς\u212aȺ안२हि\u093f\u094d\u0bc0தமি\u200c\u200dกิ\u0e48เ๑ລ"
    "\u0eb4ខ\u17d2ម\u17c4မ\u103cာ၁"
    "漢字々かゞ\u3099カーｶﾞ。！？\u3000\U00020000©\ufe0f\u20e3#1❤★→🙂👍\U0001f3fd\U0001f1e9\U0001f1ea🏴\U000e0067\U000e007f𐐀"
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text(st.sampled_from(AWKWARD), max_size=200),
    st.text(st.sampled_from("abAB_9 .!é"), max_size=300),
    st.text(st.sampled_from("漢字かな 。x!"), max_size=200),
)
ngram_ranges = st.tuples(st.integers(1, 3), st.integers(0, 2)).map(lambda pair: (pair[0], sum(pair)))
parameters = st.fixed_dictionaries(
    {
        "ngram_range": ngram_ranges | st.none(),
        "char_ngram_range": ngram_ranges | st.none(),
        "char_analyzer": st.sampled_from(["char_wb", "char"]),
        "token_rule": st.sampled_from(["unicode", "unicode", "scikit-learn"]),
        "lowercase": st.booleans(),
        "stop_words": st.frozensets(
            st.sampled_from(["ab", "a", "!", "字", "か", "漢字", "🙂", "x"]), max_size=3
        ),
    }
).filter(lambda chosen: chosen["ngram_range"] or chosen["char_ngram_range"])


def column(documents):
    """The documents in Arrow layout, and the numbers of all of them."""
    encoded = [document.encode() for document in documents]
    data = np.frombuffer(b"".join(encoded), np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in encoded])]).astype(np.int64)
    rows = np.arange(len(documents), dtype=np.uint32)
    return [(data, offsets)], np.zeros_like(rows), rows


def hasher(parameters):
    return Hasher.of_features(**{**parameters, "stop_words": sorted(parameters["stop_words"])})


def hashes(parameters, documents):
    batch = hasher(parameters).hash_utf8(*column(documents))
    return [sorted(batch.hashes()[a:b].tolist()) for a, b in pairwise(batch.indptr())]


@given(st.lists(texts, min_size=1, max_size=4), parameters)
@settings(max_examples=400, deadline=None)
def test_any_text_has_the_hashes_of_the_reference(documents, chosen):
    assert hashes(chosen, documents) == [feature_hashes(document, **chosen) for document in documents]


@given(texts, parameters, st.integers(1, 2**31 - 1), st.sampled_from(["l1", "l2", None]))
@settings(max_examples=200, deadline=None)
def test_both_kinds_are_one_row_under_one_norm(document, chosen, n_features, norm):
    rows = hasher(chosen).rows_utf8(*column([document]), n_features, value="log", norm=norm)
    _, indices, values = rows.arrays()
    expected = learner_row(feature_hashes(document, **chosen), n_features, "log", norm)
    assert indices.tolist() == list(expected)
    assert np.allclose(values, list(expected.values()), rtol=1e-6)


@given(st.lists(texts, min_size=1, max_size=4), parameters)
@settings(max_examples=100, deadline=None)
def test_rows_are_those_of_the_hashed_batch(documents, chosen):
    batch = hasher(chosen).hash_utf8(*column(documents))
    again = HashedBatch.from_arrays(batch.hashes(), batch.indptr())
    rows = hasher(chosen).rows_utf8(*column(documents), 1000, value="log", norm="l2")
    for ours, theirs in zip(rows.arrays(), again.to_rows(1000, value="log", norm="l2").arrays(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


@given(texts, ngram_ranges)
@settings(max_examples=100, deadline=None)
def test_a_word_and_the_same_characters_are_two_features(document, ngram_range):
    both = {"ngram_range": ngram_range, "char_ngram_range": ngram_range, "char_analyzer": "char"}
    words = {**both, "char_ngram_range": None}
    characters = {**both, "ngram_range": None}
    [found], [of_words], [of_characters] = (
        hashes({**kind, "stop_words": ()}, [document]) for kind in (both, words, characters)
    )
    assert found == sorted(of_words + of_characters)
    assert murmur3(b"the") != murmur3(b"the", CHARACTERS)


@pytest.mark.parametrize("tier", kernel_tiers())
def test_every_tier_gives_the_hashes_of_the_reference(tier):
    generator = np.random.default_rng(7)
    letters = np.array(list(AWKWARD))
    lengths = [1, 5, 63, 64, 65, 200]
    documents = ["".join(generator.choice(letters, length)) for length in lengths * 10]
    documents += ["".join(generator.choice(list("abc !é漢"), length)) for length in lengths * 10]
    chosen = {"ngram_range": (1, 2), "char_ngram_range": (2, 3)}
    program = (
        "import json, sys; from tests.property.test_feature_laws import hashes; "
        "from manymill._core import kernel_tier; "
        f"found = hashes({ {**chosen, 'stop_words': ()} }, json.load(sys.stdin)); "
        "print(json.dumps([kernel_tier(), found]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MANYMILL_KERNELS": tier},
    )
    assert done.returncode == 0, done.stderr
    used, found = json.loads(done.stdout)
    assert used == tier
    assert found == [feature_hashes(document, **chosen) for document in documents]
