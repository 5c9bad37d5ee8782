"""HashingVectorizer: supported containers of documents, and the protocol of scikit-learn."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.feature_extraction.text import HashingVectorizer as Original
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from tests.reference.outcome import bits, outcome

from manymill import HashingVectorizer
from manymill.errors import RowError

TEXTS = ["the cat sat", "Ünder the MAT", "", "the the the the"]


EXPECTED = bits(Original().transform(TEXTS))


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object),
        pd.Series(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype="string[python]"),
        pd.Series(TEXTS, dtype="string[pyarrow]"),
        pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())),
        pd.Series(TEXTS, dtype="category"),
        pd.Index(TEXTS),
        pl.Series(TEXTS),
        pl.Series(TEXTS, dtype=pl.Categorical),
        pa.array(TEXTS),
        pa.array(TEXTS).dictionary_encode(),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        [text.encode() for text in TEXTS],
        [TEXTS[0].encode(), *TEXTS[1:]],
    ],
    ids=lambda X: f"{type(X).__module__}.{type(X).__name__}",
)
def test_whatever_holds_the_documents_the_matrix_is_the_same(X):
    assert bits(HashingVectorizer().transform(X)) == EXPECTED


def test_a_generator_is_taken():
    assert bits(HashingVectorizer().transform(text for text in TEXTS)) == EXPECTED


def test_parameters_and_their_defaults_are_those_of_scikit_learn():
    assert HashingVectorizer().get_params() == {**Original().get_params(), "n_jobs": None}


@pytest.mark.parametrize("analyzer", ["word", str.split])
def test_a_null_in_an_arrow_column_is_an_error(analyzer):
    with pytest.raises(RowError, match="document 1 is null"):
        HashingVectorizer(analyzer=analyzer).transform(pa.array(["a", None]))


@pytest.mark.parametrize(
    "X", [pa.array(TEXTS), pa.chunked_array([TEXTS[:1], TEXTS[1:]]), pl.Series(TEXTS)], ids=type
)
def test_arrow_columns_are_read_by_python_as_well(X):
    vectorizer = {"analyzer": str.split}
    assert bits(HashingVectorizer(**vectorizer).transform(X)) == bits(Original(**vectorizer).transform(TEXTS))


BYTES = ["größer".encode("latin-1"), b"one  "]


@pytest.mark.parametrize("settings", [{}, {"encoding": "latin-1"}, {"decode_error": "replace"}], ids=str)
@pytest.mark.parametrize(
    "X",
    [
        pl.Series(BYTES),
        pd.Series(BYTES, dtype=pd.ArrowDtype(pa.binary())),
        np.ma.array(np.array(BYTES, object), mask=[0, 1]),
        np.char.array(BYTES),
    ],
    ids=lambda X: type(X).__module__,
)
def test_columns_of_bytes_and_arrays_of_other_classes_give_the_items_that_scikit_learn_gets(X, settings):
    kwargs = {**settings, "analyzer": "char"}
    assert outcome(HashingVectorizer(**kwargs), X) == outcome(Original(**kwargs), X)


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int8(), pa.binary())], ids=str
)
def test_bytes_in_arrow_columns_are_decoded_as_asked_for(kind):
    vectorizer = HashingVectorizer(encoding="latin-1")
    column = pa.chunked_array([pa.array(BYTES[:1]).cast(kind), pa.array(BYTES[1:]).cast(kind)])
    assert bits(vectorizer.transform(column)) == bits(vectorizer.transform(["größer", "one  "]))
    with pytest.raises(UnicodeDecodeError):
        HashingVectorizer().transform(column)


@pytest.mark.parametrize("interface", ["sparray", "spmatrix"])
def test_the_sparse_interface_is_the_one_configured(interface):
    if "sparse_interface" not in sklearn.get_config():
        pytest.skip("this scikit-learn has no such setting")
    with sklearn.config_context(sparse_interface=interface):
        X = HashingVectorizer().transform(TEXTS)
    assert sp.isspmatrix(X) == (interface == "spmatrix")


def test_a_clone_and_a_pickle_work_like_the_estimator():
    vectorizer = HashingVectorizer(n_features=32, ngram_range=(1, 2))
    copies = clone(vectorizer), pickle.loads(pickle.dumps(vectorizer))
    for copy in copies:
        assert bits(copy.transform(TEXTS)) == bits(vectorizer.transform(TEXTS))


def test_fit_changes_nothing():
    vectorizer = HashingVectorizer()
    before = dict(vars(vectorizer))
    assert vectorizer.fit(TEXTS).partial_fit(TEXTS) is vectorizer
    assert vars(vectorizer) == before


def test_a_pipeline_classifies_with_it():
    pipeline = make_pipeline(HashingVectorizer(), SGDClassifier(random_state=0))
    assert pipeline.fit(["good film", "bad film"] * 4, [1, 0] * 4).predict(["good"]).tolist() == [1]


def test_scikit_learns_checks_find_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(HashingVectorizer(), on_fail=None)
    assert [result for result in results if result["status"] == "failed"] == []
    assert HashingVectorizer().__sklearn_tags__().input_tags == Original().__sklearn_tags__().input_tags
