"""The analyzers of the core against scikit-learn's: n-grams of characters, stop words."""

import sys

import numpy as np
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.feature_extraction.text import HashingVectorizer as Original

from manymill._core import Hasher

OF_CHARACTERS = ["char", "char_wb"]
PROSE = "The cat and THE dog are neither here nor there; against all of which a mouse is"


def arrays(documents, **settings):
    batch = Hasher(**settings).hash_strings(documents)
    return batch.to_csr(2**20, alternate_sign=True, binary=False, norm="l2", dtype="float64")


def is_as_in_scikit_learn(documents, stop_words=(), **settings):
    X = Original(stop_words=list(stop_words) or None, **settings).transform(documents)
    ours = arrays(documents, stop_words=stop_words, **settings)
    return all(map(np.array_equal, ours, (X.data, X.indices, X.indptr)))


CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize(("analyzer", "lowercase"), [("char", True), ("char", False), ("char_wb", True)])
def test_n_grams_of_every_character_are_as_in_python(analyzer, lowercase):
    documents = ["\n".join(CHARACTERS[i : i + 1024]) for i in range(0, len(CHARACTERS), 1024)]
    assert is_as_in_scikit_learn(documents, analyzer=analyzer, ngram_range=(2, 2), lowercase=lowercase)


def test_whitespace_is_what_the_running_python_takes_for_it():
    hasher = Hasher(analyzer="char_wb", ngram_range=(9, 9))
    n_words = np.diff(hasher.hash_strings([f"a{c}é" for c in CHARACTERS]).indptr())
    assert [c for c, n in zip(CHARACTERS, n_words, strict=True) if n > 1] == [
        c for c in CHARACTERS if c.isspace()
    ]


@pytest.mark.parametrize("analyzer", OF_CHARACTERS)
@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 4), (2, 2), (3, 9), (4, 4), (60, 90)])
def test_short_documents_have_the_n_grams_of_scikit_learn(analyzer, ngram_range):
    short = [
        "",
        " ",
        "\n",
        "a",
        " a ",
        "a\nb",
        "a \n b",
        "é",
        " é",
        "é\u3000\u3000é",
        "\x1c\x1f",
        "\xa0",
        "ab\tcd",
    ]
    for document in short:
        assert is_as_in_scikit_learn([document, "more"], analyzer=analyzer, ngram_range=ngram_range), document


@pytest.mark.parametrize("analyzer", OF_CHARACTERS)
@pytest.mark.parametrize(
    "document", ["ab\ud800cd", "ab \udfff\ud800 cd", "one two\udc80\udc81\udc82 three", "\ud800\n \ud801 one"]
)
@pytest.mark.parametrize("ngram_range", [(1, 1), (2, 3), (5, 5)])
def test_a_lone_surrogate_in_an_n_gram_raises_what_scikit_learn_raises(analyzer, document, ngram_range):
    settings = {"analyzer": analyzer, "ngram_range": ngram_range}
    with pytest.raises(UnicodeEncodeError) as theirs:
        Original(**settings).transform(["fine", document])
    with pytest.raises(UnicodeEncodeError) as ours:
        Hasher(**settings).hash_strings(["fine", document])
    assert ours.value.args == theirs.value.args


def test_a_lone_surrogate_in_a_text_without_n_grams_is_no_error():
    assert is_as_in_scikit_learn(["a\ud800", "long enough"], analyzer="char", ngram_range=(3, 4))


@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2), (2, 2), (3, 4)])
@pytest.mark.parametrize("lowercase", [True, False])
def test_stop_words_are_left_out_before_n_grams_are_made(ngram_range, lowercase):
    stop_words = sorted(ENGLISH_STOP_WORDS)
    documents = [PROSE, "the", "", "The the THE", PROSE + " größe of the été"]
    assert is_as_in_scikit_learn(documents, stop_words, ngram_range=ngram_range, lowercase=lowercase)


@pytest.mark.parametrize(
    "stop_words", [["été", "x" * 16], ["x" * 17], ["The", "a", "", "of which", "x" * 15], ["\ud800", "cat"]]
)
def test_stop_words_of_any_kind_are_those_of_scikit_learn(stop_words):
    documents = [f"{PROSE} Été {'x' * 15} {'x' * 16} {'x' * 17} {'x' * 18}"]
    assert is_as_in_scikit_learn(documents, stop_words, ngram_range=(1, 2))


def test_stop_words_are_strings():
    with pytest.raises(TypeError):
        Hasher(stop_words=["the", 7])


def test_an_unknown_analyzer_is_an_error():
    with pytest.raises(ValueError, match="analyzer must be 'word', 'char' or 'char_wb'"):
        Hasher(analyzer="line")
