"""The model has a column for each feature in use; its columns and their hash buckets give the scores."""

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize
from tests.reference.feature_weights import table_of
from tests.reference.features import feature_hashes, word_features
from tests.reference.tokens import learner_row

from manymill import TextClassifier
from manymill.model import load_model

N_FEATURES = 2**10
WORDS = {
    "film": "Kino schön! 🎬 acted d\u00e9cor I",
    "food": "ข้าว 美味しい lunch? tasty I",
    "sport": "goal n\u0303i 1 0 win!!",
}
LABELS = [list(WORDS)[i % 3] for i in range(150)]
TEXTS = [
    " ".join(np.random.default_rng(i).choice(WORDS[label].split(" "), 5)) + f" the number{i % 9}"
    for i, label in enumerate(LABELS)
]
TWO = ["film" if label == "film" else "other" for label in LABELS]
NEW = [*TEXTS[:40], "", "nothing of it was met", "IIII 🎬🎬 ข้าวข้าว", "Kino the goal"]


def logarithms(X):
    X.data = 1 + np.log(X.data)
    return X


def assert_scores(classifier, rows):
    scores = normalize(rows) @ classifier.coef_.T + classifier.intercept_
    found = classifier.decision_function(NEW)
    np.testing.assert_allclose(found, np.asarray(scores).reshape(found.shape), atol=1e-4)


@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
def test_weights_of_words_give_the_scores_by_scikit_learns_vectorizer_with_the_slow_tokeniser(labels):
    parameters = {"ngram_range": (1, 2), "feature_weights": "idf", "n_features": N_FEATURES}
    classifier = TextClassifier(recipe="fast", **parameters).fit(TEXTS, labels)
    vectorizer = HashingVectorizer(
        analyzer=lambda text: word_features(text.lower(), (1, 2)),
        n_features=N_FEATURES,
        alternate_sign=False,
        norm=None,
    )
    learnt = vectorizer.transform(TEXTS)
    used = np.unique(learnt.indices)
    assert classifier.features_.tolist() == used.tolist()
    assert len(used) < N_FEATURES / 2
    # Both smooth in the same way.
    idf = TfidfTransformer(norm=None).fit(learnt)
    assert_scores(classifier, idf.transform(logarithms(vectorizer.transform(NEW)))[:, classifier.features_])


def slow_rows(texts, n_features):
    """Rows of the features of the standard recipe, 1 + ln(count) for each bucket."""
    rows = [
        learner_row(
            feature_hashes(text, ngram_range=(1, 2), char_ngram_range=(3, 3)), n_features, "log", None
        )
        for text in texts
    ]
    entries = [(i, j, value) for i, row in enumerate(rows) for j, value in row.items()]
    i, j, values = zip(*entries, strict=True)
    return sp.csr_array((values, (i, j)), (len(texts), n_features))


@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
def test_weights_of_the_standard_recipe_give_the_scores_by_the_slow_tokeniser(labels):
    classifier = TextClassifier(n_features=N_FEATURES).fit(TEXTS, labels)
    learnt = slow_rows(TEXTS, N_FEATURES)
    names = sorted(set(labels))
    counts = np.stack(
        [np.bincount(learnt[np.array(labels) == name].indices, minlength=N_FEATURES) for name in names],
        axis=1,
    )
    rows = np.array([Counter(labels)[name] for name in names])
    features, weights = table_of(counts, rows, counts.sum(axis=0), "nb-idf")
    assert classifier.features_.tolist() == features.tolist()
    np.testing.assert_allclose(classifier._state.table.weights, weights, rtol=1e-5, atol=1e-5)
    assert_scores(classifier, slow_rows(NEW, N_FEATURES)[:, features].multiply(weights).tocsr())


@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_of_a_model_without_counts_only_the_features_met_are_saved(tmp_path, labels, method):
    classifier = TextClassifier(recipe="fast", n_features=2**16)
    getattr(classifier, method)(TEXTS, labels, **({} if method == "fit" else {"classes": np.unique(labels)}))
    classifier.save(tmp_path / "model")
    vectorizer = HashingVectorizer(
        analyzer=lambda text: word_features(text.lower(), (1, 1)), n_features=2**16
    )
    met = np.unique(vectorizer.transform(TEXTS).indices)
    saved = load_model(tmp_path / "model")
    assert saved.features.tolist() == met.tolist()
    assert saved.weights.tobytes() == classifier.coef_.T[met].tobytes()
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.features_.tolist() == met.tolist()
    assert loaded.decision_function(TEXTS).tobytes() == classifier.decision_function(TEXTS).tobytes()
    # The norm is that of all features of a row, those that were never met included; sums may round otherwise.
    np.testing.assert_allclose(
        loaded.decision_function(NEW), classifier.decision_function(NEW), rtol=1e-5, atol=1e-6
    )


def test_buckets_are_not_named_where_nearly_all_are_in_use(tmp_path):
    classifier = TextClassifier(recipe="fast", n_features=16).fit(TEXTS, LABELS)
    classifier.save(tmp_path / "model")
    assert load_model(tmp_path / "model").features is None
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.decision_function(NEW).tobytes() == classifier.decision_function(NEW).tobytes()
