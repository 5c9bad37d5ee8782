"""Documents in any container, read on any number of threads."""

import threading
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from manymill._core import Hasher
from manymill.text import documents

TEXTS = ["one two two", "", "größer", "ab\ud800cd", "four", "日本語 one"]
PLAIN = [text for text in TEXTS if text.isprintable()]
SETTINGS = {"n_features": 2**10, "alternate_sign": True, "binary": False, "norm": "l2", "dtype": "float64"}


def decoded(document):
    if isinstance(document, str):
        return document
    if isinstance(document, bytes):
        return document.decode()
    raise AttributeError(f"no text: {document!r}")


def matrix(X, n_jobs=1, **settings):
    return [
        a.tolist()
        for a in documents.matrix_arrays(Hasher(), X, decoded, **{**SETTINGS, **settings}, n_jobs=n_jobs)
    ]


def two_steps(X):
    return [a.tolist() for a in Hasher().hash_strings(X).to_csr(**SETTINGS)]


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "given",
    [
        list,
        tuple,
        iter,
        partial(np.array, dtype=object),
        partial(pd.Series, dtype=object),
        lambda X: [Text(x) for x in X],
        lambda X: dict.fromkeys(X),
    ],
)
def test_python_strings_are_taken_from_whatever_holds_them(given):
    assert matrix(given(TEXTS)) == two_steps(TEXTS)


@pytest.mark.parametrize(
    "given",
    [
        np.array,
        pytest.param(
            lambda X: np.array(X, dtype=np.dtypes.StringDType()),
            marks=pytest.mark.skipif(
                not hasattr(np.dtypes, "StringDType"), reason="NumPy has it from 2.0 on"
            ),
        ),
        pd.Series,
        pd.Index,
        partial(pd.Series, dtype="string[python]"),
        partial(pd.Series, dtype=pd.ArrowDtype(pa.string())),
        partial(pd.Series, dtype="category"),
        pl.Series,
        partial(pl.Series, dtype=pl.Categorical),
        pa.array,
        lambda X: pd.Series(X)[::2],
        lambda X: [x.encode() for x in X],
        lambda X: np.array([x.encode() for x in X]),
    ],
)
def test_text_is_taken_from_the_columns_of_any_library(given):
    X = given(PLAIN)
    expected = PLAIN[::2] if len(X) < len(PLAIN) else PLAIN
    assert matrix(X) == two_steps(expected)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["a"]),
        pd.Series(["a"], dtype=pd.ArrowDtype(pa.string())),
        pl.Series(["a"]),
        pl.Series(["a"]).cast(pl.Categorical),
    ],
)
def test_columns_of_other_libraries_are_read_without_python_strings(column):
    [source] = documents._sources(column, decoded=None)
    assert "Text" in type(source).__name__
    assert matrix(column) == two_steps(["a"])


@pytest.mark.parametrize("column", [pd.Series(["one", None]), pl.Series(["one", None]), ["one", None]])
def test_a_null_is_what_the_caller_makes_of_it(column):
    with pytest.raises(AttributeError, match=r"no text: (None|nan)"):
        matrix(column)


@pytest.mark.parametrize(
    "frame", [pd.DataFrame({"one": [1]}), pl.DataFrame({"one": ["two"]}), np.array([["a"]])]
)
def test_what_is_no_column_is_iterated_over(frame):
    try:
        expected = two_steps([decoded(item) for item in frame])
    except AttributeError as error:
        with pytest.raises(AttributeError, match=str(error).replace("[", r"\[")[:12]):
            matrix(frame)
    else:
        assert matrix(frame) == expected


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
@pytest.mark.parametrize("given", [list, iter, pa.array])
def test_threads_change_no_bit(n_jobs, given, monkeypatch):
    monkeypatch.setattr(documents, "_PIECE_BYTES", 300_000)
    texts = [f"word{i} word{i % 7} and some more words " * (i % 50) for i in range(3000)]
    assert matrix(given(texts), n_jobs) == two_steps(texts)


def test_no_documents_are_an_empty_matrix():
    assert matrix([]) == matrix(iter([])) == matrix(pa.array([], pa.string())) == [[], [], [0]]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_the_first_document_with_an_error_wins_and_is_named(n_jobs):
    documents = ["some text " * 1000] * 500
    documents[200], documents[480] = None, 7
    with pytest.raises(AttributeError, match="no text: None") as error:
        matrix(documents, n_jobs)
    assert error.value.__notes__ == ["document 200"]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_error_of_an_iterator_comes_after_those_of_the_documents_before(n_jobs):
    def documents(first):
        yield first
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        matrix(documents("one"), n_jobs)
    with pytest.raises(AttributeError, match="no text: 1"):
        matrix(documents(1), n_jobs)


def test_an_iterator_is_asked_by_the_thread_that_called():
    def documents():
        yield threading.current_thread().name

    assert matrix(documents(), 2) == matrix([threading.current_thread().name])


def test_an_iterator_is_consumed_piece_by_piece(monkeypatch):
    monkeypatch.setattr(documents, "_PIECE_BYTES", 1000)
    sources = documents._sources(("x" * 500 for _ in iter(int, 1)), decoded)
    assert len([next(sources) for _ in range(5)]) == 5  # of an iterator without an end


def test_a_list_that_shrinks_meanwhile_does_no_harm():
    texts = [b"one"] * 100

    def shrinking(document):
        texts.clear()
        return document.decode()

    found = documents.matrix_arrays(Hasher(), texts, shrinking, **SETTINGS, n_jobs=1)
    assert 1 <= len(found[2]) - 1 <= 100


def test_nothing_is_stored_with_a_string_that_is_not_ascii():
    text = "größer " * 1000
    before = text.__sizeof__()
    matrix([text])
    assert text.__sizeof__() == before


def test_what_was_stopped_takes_nothing_more(monkeypatch):
    def interrupted():
        yield "one " * 200_000
        raise KeyboardInterrupt

    monkeypatch.setattr(documents, "_PIECE_BYTES", 1000)
    with pytest.raises(KeyboardInterrupt):
        matrix(interrupted(), 2)


def test_a_number_of_threads_beyond_sense_starts_no_more_than_some():
    assert documents._threads(10**30) == 256
    assert matrix(TEXTS, 10**6) == two_steps(TEXTS)


def test_joblib_says_how_many_threads_there_are():
    from joblib import effective_n_jobs, parallel_config

    assert documents._threads(None) == documents._threads(1) == 1
    assert documents._threads(-1) == effective_n_jobs(-1)
    with parallel_config(n_jobs=3):
        assert documents._threads(None) == 3
