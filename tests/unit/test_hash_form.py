"""The form of hashes: the same hashes as scikit-learn's vectorizers, whatever the parameters."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from manymill import _core
from manymill.hash_form import DocumentHasher, hasher, word_form

TEXTS = ["Élan vital", "plain ASCII Text", "", "naïve ™ café", "ÉLAN \u0130stanbul ½", "Ａｂ the Zürich"]


def arrow(texts):
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)])


def picked(n):
    return np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32)


@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("lowercase", [True, False])
def test_the_form_of_words_gives_the_hashes_of_version_0_1(ngram_range, lowercase):
    texts = [*TEXTS, "one 中文 two!! \N{GRINNING FACE} हिन्दी", "x" * 5000]
    found = hasher(word_form(ngram_range, lowercase=lowercase)).hash_strings(texts)
    expected = _core.Hasher(ngram_range=ngram_range, lowercase=lowercase).hash_strings(texts)
    np.testing.assert_array_equal(found.hashes(), expected.hashes())
    np.testing.assert_array_equal(found.indptr(), expected.indptr())


@pytest.mark.parametrize("strip_accents", ["ascii", "unicode"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_accents_are_stripped_as_by_scikit_learn(strip_accents, lowercase):
    form = replace(word_form(lowercase=lowercase), strip_accents=strip_accents, stop_words=("the",))
    # Documents in any order, from two chunks, the second of which does not start at offset 0.
    data, offsets = arrow(TEXTS)
    documents = [(data, offsets[:3]), (data, offsets[2:])]
    chunk_of, row_of = np.array([1, 0, 1, 1, 1, 0], np.uint32), np.array([3, 1, 2, 1, 0, 0], np.uint32)
    order = [2 * chunk + row for chunk, row in zip(chunk_of.tolist(), row_of.tolist(), strict=True)]
    analyze = CountVectorizer(
        strip_accents=strip_accents, lowercase=lowercase, stop_words=["the"]
    ).build_analyzer()
    expected = _core.Hasher(lowercase=False).hash_strings([" ".join(analyze(TEXTS[i])) for i in order])
    found = DocumentHasher(form).hashes(documents, chunk_of, row_of)
    np.testing.assert_array_equal(found.hashes(), expected.hashes())
    np.testing.assert_array_equal(found.indptr(), expected.indptr())


def test_rows_are_those_of_the_hashes():
    form = replace(word_form((1, 2)), strip_accents="unicode", char_ngram_range=(3, 3))
    documents, order = [arrow(TEXTS)], picked(len(TEXTS))
    expected = DocumentHasher(form).hashes(documents, *order).to_rows(1000, value="log", norm="l2")
    rows = DocumentHasher(form).rows(documents, *order, 1000, value="log", norm="l2")
    assert all(map(np.array_equal, rows.arrays(), expected.arrays()))


@pytest.mark.parametrize(
    "change",
    [
        {"ngram_range": None, "char_ngram_range": (3, 3)},
        {"char_ngram_range": (3, 3)},
        {"char_ngram_range": (3, 3), "char_analyzer": "char"},
        {"token_pattern": None},
        {"stop_words": ("plain",)},
        {"lowercase": False},
        {"strip_accents": "ascii"},
    ],
    ids=str,
)
def test_every_parameter_changes_the_hashes(change):
    documents, order = [arrow([*TEXTS, "a b"])], picked(len(TEXTS) + 1)
    before = DocumentHasher(word_form()).hashes(documents, *order).hashes()
    plain = {"char_ngram_range": (3, 3)} if "char_analyzer" in change else {}
    if plain:
        before = DocumentHasher(replace(word_form(), **plain)).hashes(documents, *order).hashes()
    assert not np.array_equal(
        before, DocumentHasher(replace(word_form(), **change)).hashes(documents, *order).hashes()
    )


@pytest.mark.parametrize("text", [b"\xff", b"caf\xc3"])
def test_a_document_that_is_not_utf8_is_an_error(text):
    form = replace(word_form(), strip_accents="unicode")
    with pytest.raises(ValueError, match=r"utf-8|UTF-8"):
        DocumentHasher(form).hashes([(np.frombuffer(text, np.uint8), np.array([0, len(text)]))], *picked(1))
