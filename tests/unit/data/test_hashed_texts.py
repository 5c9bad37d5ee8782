"""Rows of hashed texts are cached for later requests."""

import pickle
from dataclasses import replace

import numpy as np

from manymill import SearchCV, TextClassifier, _core
from manymill.constants import WORD_PATTERN
from manymill.data.hashed_texts import RowCache
from manymill.search.hashed_corpus import HashedCorpus

RNG = np.random.default_rng(3)
WORDS = np.array([f"word{i}" for i in range(50)])
CODES = RNG.integers(2, size=120)
TEXTS = [" ".join([*RNG.choice(WORDS, 12), f"mark{code}"]) for code in CODES]
ROWS = _core.Rows.from_arrays(np.array([0, 2, 3]), np.array([1, 5, 2], np.uint32), np.ones(3, np.float32))


def words(**parameters):
    """A classifier of the words that a corpus hashes by default."""
    return TextClassifier(recipe="fast", token_pattern=WORD_PATTERN, n_features=2**8, **parameters)


def asked(cache, form, n_requested, *, n_hashes=3):
    return cache.get(form, n_requested, 2, n_hashes, lambda: ROWS)


def test_all_rows_are_made_when_as_many_were_asked_for():
    cache = RowCache(1 << 20)
    assert asked(cache, "words", 1) is None
    assert asked(cache, "pairs", 1) is None
    assert asked(cache, "words", 1) is ROWS
    assert asked(cache, "words", 1) is ROWS


def test_what_was_used_longest_ago_goes_first():
    cache = RowCache(2 * ROWS.nbytes)
    for form in ("first", "second", "first", "third"):
        asked(cache, form, 2)
    assert [asked(cache, form, 1) is ROWS for form in ("first", "third", "second")] == [True, True, False]


def test_rows_that_would_not_fit_are_not_made():
    cache = RowCache(ROWS.nbytes)
    assert asked(cache, "words", 2, n_hashes=1000) is None


def test_rows_that_were_let_go_are_made_again():
    cache = RowCache(1 << 20)
    asked(cache, "words", 2)
    cache.clear()
    assert asked(cache, "words", 1) is None
    assert asked(cache, "words", 1) is ROWS


def test_a_search_that_is_over_keeps_no_rows(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    search = SearchCV(words(), {"passes": [1, 2, 3]}, cv=2, engine=1, refit=False)
    texts = search.fit(TEXTS, CODES).handle_.job.text.texts
    form = words().fit(TEXTS, CODES)._state.analyzer
    assert texts.cache.get(form, 0, 120, 9, None) is None


def test_another_process_keeps_no_rows():
    cache = pickle.loads(pickle.dumps(RowCache(1 << 20)))
    assert asked(cache, "words", 5) is None


def test_a_model_is_the_same_whether_rows_are_known_or_not(tmp_path):
    with HashedCorpus.build(TEXTS, CODES, folder=tmp_path) as corpus:
        picked = RNG.permutation(len(TEXTS))[:80]
        own = pickle.loads(pickle.dumps(corpus.texts))[picked]
        for weights in (None, "nb"):
            model = words(feature_weights=weights)
            expected = model.fit(own, CODES[picked]).decision_function(own)
            for _ in range(4):
                known = corpus.texts[picked]
                assert (model.fit(known, CODES[picked]).decision_function(known) == expected).all()
            # Values are weighted before the row is normalised.
            form = replace(model._state.analyzer, norm="l2" if weights is None else None)
            assert known.cache.get(form, 0, 120, 9, None) is not None


def test_rows_are_found_in_parts_of_parts(tmp_path):
    with HashedCorpus.build(TEXTS, CODES, folder=tmp_path) as corpus:
        model = words().fit(corpus.texts, CODES)
        part = corpus.texts[::-1][10:90][[7, 3, 7]]
        numbers = np.arange(120)[::-1][10:90][[7, 3, 7]]
        expected = model.decision_function([TEXTS[number] for number in numbers])
        for _ in range(3):
            model.decision_function(corpus.texts)
            assert (model.decision_function(part) == expected).all()
