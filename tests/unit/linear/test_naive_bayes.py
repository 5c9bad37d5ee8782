"""Complement naive Bayes equals scikit-learn's, and the merged models of parts equal the model of all rows."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.naive_bayes import ComplementNB
from tests.reference.features import feature_hashes
from tests.reference.tokens import learner_row

from manymill import ComplementNaiveBayes, TextClassifier, scan
from manymill.errors import PlanError, SchemaError, SettingsError
from manymill.linear.row_stream import rows_of
from manymill.linear.settings import Settings

RNG = np.random.default_rng(3)
WORDS = np.array([f"word{i}" for i in range(80)])
N_FEATURES = 2**9
FOLDER = "examples/data/mail-train.jsonl.zst"


def rows(n, n_classes):
    """Texts of words of which the first few tell the class."""
    codes = RNG.integers(n_classes, size=n)
    texts = [" ".join([*RNG.choice(WORDS, 12), *RNG.choice(WORDS[c * 5 : c * 5 + 9], 3)]) for c in codes]
    return texts, [f"class {c}" for c in codes]


NEW = rows(40, 4)[0] + ["", "never met"]


def hashed(texts, **kwargs):
    """The matrix of the rows that a model learns."""
    analyzer = Settings(recipe="fast", n_features=N_FEATURES, **kwargs).analyzer
    indptr, indices, values = next(rows_of(texts, analyzer, None, threads=1)).arrays()
    return sp.csr_matrix((values.astype(np.float64), indices, indptr), (len(texts), N_FEATURES))


def both(n_classes, alpha=1.0, norm=False, **kwargs):
    texts, y = rows(200, n_classes)
    ours = ComplementNaiveBayes(n_features=N_FEATURES, alpha=alpha, weight_norm=norm, **kwargs).fit(texts, y)
    return ours, ComplementNB(alpha=alpha, norm=norm).fit(hashed(texts, **kwargs), y)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("how", [{}, {"alpha": 0.1, "norm": True}, {"value": "count", "ngram_range": (1, 2)}])
def test_the_weights_are_scikit_learns(n_classes, how):
    ours, theirs = both(n_classes, **how)
    np.testing.assert_allclose(ours.feature_log_prob_, theirs.feature_log_prob_, rtol=1e-9)
    np.testing.assert_array_equal(ours.class_count_, theirs.class_count_)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_what_is_predicted_is_scikit_learns(n_classes):
    ours, theirs = both(n_classes)
    X = hashed(NEW)
    np.testing.assert_allclose(ours.predict_proba(NEW), theirs.predict_proba(X), atol=1e-6)
    # An empty text is a tie, which either may break.
    np.testing.assert_array_equal(ours.predict(NEW[:-2]), theirs.predict(X[:-2]))


UNICODE = {
    "class 0": "schön Kino! 🎬 d\u00e9cor I ข้าว",
    "class 1": "n\u0303i goal 美味しい tasty!! I 1 0",
    "class 2": "goal ข้าว schön 🎬🎬 0 won",
}


def slow_matrix(texts, **parameters):
    """1 + ln(count) of each hash bucket, each row divided by its length, by the slow tokeniser."""
    rows = [learner_row(feature_hashes(text, **parameters), N_FEATURES, "log", "l2") for text in texts]
    entries = [(i, j, value) for i, row in enumerate(rows) for j, value in row.items()]
    i, j, values = zip(*entries, strict=True)
    return sp.csr_matrix((values, (i, j)), (len(texts), N_FEATURES))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "features",
    [
        {"ngram_range": (1, 2), "char_ngram_range": (2, 3)},
        {"ngram_range": None, "char_ngram_range": (1, 3), "char_analyzer": "char"},
        {"ngram_range": (1, 1), "char_ngram_range": None},
    ],
    ids=["words and characters", "characters", "words"],
)
def test_words_of_unicode_and_characters_weigh_as_in_scikit_learns_model_of_the_slow_tokens(
    n_classes, features
):
    y = [f"class {i % n_classes}" for i in range(90)]
    texts = [" ".join(RNG.choice(UNICODE[name].split(" "), 4)) for name in y]
    ours = ComplementNaiveBayes(n_features=N_FEATURES, **features).fit(texts, y)
    theirs = ComplementNB().fit(slow_matrix(texts, **features), y)
    # The values of a row are float32.
    np.testing.assert_allclose(ours.feature_log_prob_, theirs.feature_log_prob_, rtol=1e-6)
    new = ["schön ข้าวสวย 🎬", "goal goal won!!", "tasty 美味"]
    expected = theirs.predict_proba(slow_matrix(new, **features))
    np.testing.assert_allclose(ours.predict_proba(new), expected, atol=1e-5)


def test_whole_numbers_are_summed_up_without_any_loss():
    texts, y = rows(100, 3)
    ours = ComplementNaiveBayes(n_features=N_FEATURES, value="count", norm=None).fit(texts, y)
    counted = ComplementNB().fit(hashed(texts, value="count", norm=None), y).feature_count_.T
    features, sums, _, _ = ours._sums.to_arrays()
    np.testing.assert_array_equal(sums / 2.0**36, counted[features])


@given(st.permutations(range(60)), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_models_of_parts_merge_to_the_model_of_the_whole(order, n_parts):
    texts, y = (np.array(column) for column in FIXED)
    model = ComplementNaiveBayes(n_features=N_FEATURES, threads=1)
    whole = clone(model).fit(texts, y)
    first, *others = (
        clone(model).partial_fit(texts[part], y[part], classes=np.unique(y))
        for part in np.array_split(np.array(order), n_parts)
    )
    merged = first.merge(*others)
    assert merged.feature_log_prob_.tobytes() == whole.feature_log_prob_.tobytes()


FIXED = rows(60, 3)


def test_models_of_other_classes_merge_to_a_model_of_all():
    texts, y = (np.array(column) for column in FIXED)
    model = ComplementNaiveBayes(n_features=N_FEATURES)
    one, other = (clone(model).fit(texts[y != name], y[y != name]) for name in ("class 0", "class 1"))
    twice = np.concatenate([texts[y != "class 0"], texts[y != "class 1"]])
    whole = clone(model).fit(twice, np.concatenate([y[y != "class 0"], y[y != "class 1"]]))
    assert one.merge(other).feature_log_prob_.tobytes() == whole.feature_log_prob_.tobytes()
    assert other.merge(one).classes_.tolist() == ["class 0", "class 1", "class 2"]


def test_files_and_texts_give_the_same_model():
    plan = scan(FOLDER).plan()
    assert plan.labels_are_integers is False
    model = ComplementNaiveBayes(n_features=2**14, ngram_range=(1, 2)).fit(scan(FOLDER))
    assert model.classes_.tolist() == ["ham", "spam"]
    assert model.score(scan("examples/data/mail-test.jsonl.zst")) > 0.9


@pytest.mark.parametrize("kind", [None, "idf", "nb"])
def test_a_saved_model_is_a_text_classifier(kind, tmp_path):
    model = ComplementNaiveBayes(n_features=N_FEATURES, feature_weights=kind).fit(*FIXED)
    model.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(NEW), model.predict_proba(NEW))
    assert loaded.feature_weights == kind


def test_a_pickle_learns_on():
    texts, y = FIXED
    model = ComplementNaiveBayes(n_features=N_FEATURES).fit(texts, y)
    model.predict(NEW)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(NEW), model.predict_proba(NEW))
    again.partial_fit(texts, y)
    np.testing.assert_array_equal(again.class_count_, 2 * model.class_count_)
    assert (
        pickle.loads(pickle.dumps(ComplementNaiveBayes())).get_params() == ComplementNaiveBayes().get_params()
    )


def test_other_labels_than_strings_come_back():
    texts, y = FIXED
    numbers = np.array([5 * int(name[-1]) for name in y])
    model = ComplementNaiveBayes(n_features=N_FEATURES).fit(texts, numbers)
    assert set(model.predict(texts)) <= {0, 5, 10}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.set_params(alpha=0).fit(*FIXED), SettingsError, "alpha=0"),
        (lambda m: m.set_params(value="tf").fit(*FIXED), SettingsError, "value='tf'"),
        (lambda m: m.partial_fit(*FIXED), PlanError, "partial_fit needs classes"),
        (lambda m: m.fit(*FIXED).partial_fit(["a"], ["class 9"]), PlanError, "not one of the classes"),
        (lambda m: m.fit(*FIXED).partial_fit(["a"], ["class 1"], classes=["b", "class 1"]), PlanError, "differ"),
        (lambda m: m.set_params(feature_weights="idf").partial_fit(*FIXED, classes=["a", "b"]), PlanError, "all rows"),
        (lambda m: m.set_params(feature_weights="idf").fit(*FIXED).merge(m), PlanError, "all rows"),
        (lambda m: m.fit(*FIXED).merge(clone(m).set_params(value="count").fit(*FIXED)), PlanError, "cannot be merged"),
        (lambda m: m.fit(["a", "b"], ["x", "x"]), PlanError, "same label"),
        (lambda m: m.fit(scan(FOLDER), ["x"]), SchemaError, "contains its labels"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(ComplementNaiveBayes(n_features=N_FEATURES))
