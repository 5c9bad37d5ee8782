"""Every parameter of scikit-learn's vectorizer: the same matrix, the same error, the same warnings."""

import io

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer as Original
from tests.reference.outcome import bits, outcome

from manymill import HashingVectorizer

DOCUMENTS = [
    "The cat sat on the mat; the mat sat still.",
    b"bytes over the mat",
    "Ünder Été Ⓐᴬ naïve ŒUVRE ǅ",
    "",
    "x",
    "tabs\t\tand\n\nlines \u2003\u2003 end",
    "the the the THE " * 40,
]


def twice(text):
    return iter([text, text])


def stop(text):
    raise StopIteration


def same(kwargs, X, method="fit_transform"):
    ours, theirs = outcome(HashingVectorizer(**kwargs), X, method), outcome(Original(**kwargs), X, method)
    assert ours == theirs
    return theirs


@pytest.mark.parametrize(
    "kwargs",
    [
        {"strip_accents": "unicode"},
        {"strip_accents": "ascii"},
        {"strip_accents": "unicode", "lowercase": False},
        {"strip_accents": str.upper, "ngram_range": (1, 2)},
        {"preprocessor": str.upper},
        {"tokenizer": str.split},
        {"tokenizer": str.split, "token_pattern": None, "ngram_range": (1, 3)},
        {"tokenizer": list, "token_pattern": None, "ngram_range": (2, 3), "stop_words": ["t", " "]},
        {"tokenizer": twice, "token_pattern": None},
        {"tokenizer": str.encode, "analyzer": "char"},
        {"stop_words": "english"},
        {"stop_words": "english", "ngram_range": (1, 2)},
        {"stop_words": ["the", "The", "on", 7]},
        {"stop_words": ["it's"]},
        {"stop_words": ["The"], "analyzer": "char_wb", "token_pattern": "x"},
        {"token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)},
        {"token_pattern": r"(\w)\w+"},
        {"token_pattern": r"\b\w\w+\b"},
        {"token_pattern": r"(?i)[A-Z]+"},
        {"token_pattern": ""},
        {"analyzer": "char"},
        {"analyzer": "char", "ngram_range": (2, 4), "strip_accents": "unicode"},
        {"analyzer": "char_wb", "ngram_range": (1, 5)},
        {"analyzer": "char_wb", "ngram_range": (3, 3), "lowercase": False},
        {"analyzer": str.split},
        {"analyzer": str.split, "preprocessor": str.lower, "tokenizer": list, "ngram_range": (1, 2)},
        {"analyzer": twice},
        {"analyzer": lambda text: {"a": 1, text: 2}},
        {"analyzer": lambda text: [text.encode(), "a"]},
        {"ngram_range": (0, 1)},
        {"ngram_range": (0, 2)},
        {"ngram_range": (1, 10**30)},
        {"ngram_range": (np.int64(1), np.int64(2))},
        {"n_features": 1},
        {"n_features": np.int32(7), "binary": True},
        {"n_features": 2**31 - 2},
        {"encoding": "latin-1"},
    ],
    ids=str,
)
def test_a_setting_gives_the_same_matrix_and_warnings(kwargs):
    result, _ = same(kwargs, DOCUMENTS)
    assert len(result) == 4  # else both raised


@pytest.mark.parametrize("norm", ["l1", "l2", None])
@pytest.mark.parametrize("alternate_sign", [True, False])
@pytest.mark.parametrize(
    "dtype",
    [
        np.float32,
        float,
        None,
        int,
        "int8",
        np.int16,
        np.longlong,
        np.uint8,
        "uint64",
        "longdouble",
        complex,
        bool,
    ],
)
def test_every_type_of_values_is_that_of_scikit_learn(dtype, alternate_sign, norm):
    kwargs = {"dtype": dtype, "norm": norm, "alternate_sign": alternate_sign, "n_features": 3}
    same(kwargs, DOCUMENTS)
    same({**kwargs, "binary": True}, DOCUMENTS)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"n_features": 0},
        {"n_features": 1.5},
        {"n_features": 2**31 - 1},
        {"norm": "max"},
        {"norm": ["l1"]},
        {"binary": "yes"},
        {"alternate_sign": None},
        {"lowercase": "no"},
        {"ngram_range": [1, 2]},
        {"ngram_range": (2, 1)},
        {"ngram_range": (1,)},
        {"ngram_range": (1, 2.0)},
        {"encoding": 1},
        {"encoding": "no such"},
        {"encoding": "ascii"},
        {"decode_error": "no such"},
        {"input": "stdin"},
        {"strip_accents": "all"},
        {"preprocessor": "lower"},
        {"preprocessor": lambda text: None},
        {"preprocessor": lambda text: b"bytes"},
        {"tokenizer": 5},
        {"tokenizer": lambda text: text},
        {"tokenizer": lambda text: [1, "a"]},
        {"tokenizer": lambda text: [1, "a"], "ngram_range": (1, 2)},
        {"tokenizer": lambda text: [b"a", b"b"], "ngram_range": (1, 2)},
        {"tokenizer": lambda text: ["a", "\ud800"], "ngram_range": (2, 2)},
        {"tokenizer": twice, "ngram_range": (1, 2)},
        {"tokenizer": stop},
        {"stop_words": "latin"},
        {"stop_words": {"the"}},
        {"stop_words": 5},
        {"token_pattern": None},
        {"token_pattern": "("},
        {"token_pattern": r"(\w)(\w)"},
        {"token_pattern": 5},
        {"analyzer": "words"},
        {"analyzer": None},
        {"analyzer": lambda text: text},
        {"analyzer": lambda text: None},
        {"analyzer": lambda text: [None]},
        {"analyzer": lambda text: (token for token in ["a", 1])},
        {"analyzer": stop},
        {"dtype": "no such"},
        {"dtype": object},
        {"dtype": "U3"},
        {"dtype": np.float16},
        {"dtype": ">f8"},
        {"dtype": np.uint8},
    ],
    ids=str,
)
def test_a_wrong_setting_is_the_same_error(kwargs):
    same(kwargs, DOCUMENTS)
    if kwargs != {"n_features": 0}:  # of which scikit-learn dies
        same(kwargs, DOCUMENTS, "transform")


def test_a_matrix_of_no_column_is_an_error_without_fit_too():
    with pytest.raises(ValueError, match="The 'n_features' parameter of HashingVectorizer must be an int"):
        HashingVectorizer(n_features=0).transform(["text"])


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"lowercase": False},
        {"strip_accents": "ascii"},
        {"preprocessor": str.lower},
        {"analyzer": "char", "ngram_range": (1, 2)},
        {"analyzer": "char_wb", "ngram_range": (2, 2)},
        {"analyzer": str.split},
        {"token_pattern": r"\S+", "ngram_range": (2, 2)},
        {"stop_words": ["one"], "ngram_range": (1, 2)},
        {"tokenizer": str.split, "token_pattern": None, "ngram_range": (1, 2)},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "X",
    [
        "text",
        None,
        5,
        [],
        (),
        {},
        np.array([]),
        np.array("text"),
        [None],
        [float("nan")],
        [np.nan],
        [1],
        [["a"]],
        np.array([["a", "b"]]),
        ["one two", None],
        [b"\xff"],
        ["one two three", "a\ud800b c"],
        {"one two": 1},
        DOCUMENTS,
        lambda: iter(DOCUMENTS),
    ],
    ids=lambda X: ascii(X)[:30],
)
def test_whatever_the_documents_are_the_outcome_is_the_same(X, kwargs):
    same(kwargs, X)
    same(kwargs, X, "transform")


def error_behind(documents):
    yield from documents
    raise KeyError("behind")


@pytest.mark.parametrize("kwargs", [{}, {"analyzer": str.split}, {"analyzer": "char"}], ids=str)
@pytest.mark.parametrize("documents", [[], ["one two"], ["one two", None], ["one \ud800"]], ids=ascii)
def test_of_two_errors_the_first_is_raised(documents, kwargs):
    same(kwargs, lambda: error_behind(documents))


@pytest.mark.parametrize("kwargs", [{}, {"analyzer": "char"}, {"preprocessor": str.upper}], ids=str)
def test_files_and_names_of_files_are_read(tmp_path, kwargs):
    path = tmp_path / "one.txt"
    path.write_bytes("Größe und MASS".encode("latin-1"))
    kwargs = {**kwargs, "encoding": "latin-1"}
    same({**kwargs, "input": "filename"}, [path, str(path)])
    same({**kwargs, "input": "filename"}, [tmp_path / "none.txt"])
    same({**kwargs, "input": "file"}, lambda: [path.open("rb"), io.BytesIO(b"two"), io.StringIO("three")])
    same({**kwargs, "input": "file"}, ["no file"])


@pytest.mark.parametrize(
    "method",
    ["build_analyzer", "build_tokenizer", "build_preprocessor", "decode", "get_stop_words", "_word_ngrams"],
)
def test_a_method_that_was_overridden_is_called(method):
    class Ours(HashingVectorizer):
        pass

    class Theirs(Original):
        pass

    replaced = {
        "build_analyzer": lambda self: lambda document: [document[:3]],
        "build_tokenizer": lambda self: str.split,
        "build_preprocessor": lambda self: str.upper,
        "decode": lambda self, document: document[:9],
        "get_stop_words": lambda self: frozenset(["the"]),
        "_word_ngrams": lambda self, tokens, stop_words=None: tokens[:2],
    }[method]
    setattr(Ours, method, replaced)
    setattr(Theirs, method, replaced)
    texts = ["the cat-sat", "on the mat"]
    assert bits(Ours().transform(texts)) == bits(Theirs().transform(texts))
    assert bits(Ours().transform(texts)) != bits(Original().transform(texts))


def test_tokens_of_one_document_may_be_gone_when_the_next_is_analysed():
    tokens = []

    def reused(text):
        tokens[:] = text.split()
        return tokens

    assert bits(HashingVectorizer(analyzer=reused).transform(["a b", "c d"])) == bits(
        Original(analyzer=str.split).transform(["a b", "c d"])
    )


@pytest.mark.parametrize("n_jobs", [0, "two", 1.5])
def test_a_wrong_number_of_threads_is_an_error(n_jobs):
    with pytest.raises(ValueError, match="n_jobs"):
        HashingVectorizer(n_jobs=n_jobs).fit_transform(["text"])


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_the_number_of_threads_is_not_seen_in_the_matrix(n_jobs):
    assert bits(HashingVectorizer(n_jobs=n_jobs).transform(DOCUMENTS)) == bits(
        Original().transform(DOCUMENTS)
    )
