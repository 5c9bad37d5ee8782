"""Feature weights: counted, trained with, saved, loaded, used in predictions."""

import pickle

import numpy as np
import pytest

from manymill import TextClassifier, scan
from manymill.errors import PlanError, SettingsError
from manymill.linear.memory import memory_need
from manymill.linear.settings import Settings
from manymill.model import load_model

RNG = np.random.default_rng(0)
WORDS = np.array([f"word{i}" for i in range(60)])
LABELS = ["red", "green", "blue"]


def rows(n, n_classes):
    """Texts of words of which the first few tell the class."""
    codes = RNG.integers(n_classes, size=n)
    texts = [" ".join([*RNG.choice(WORDS, 12), *RNG.choice(WORDS[c * 5 : c * 5 + 9], 4)]) for c in codes]
    return texts, [LABELS[c] for c in codes]


TEXTS, Y = rows(600, 3)
NEW, _ = rows(50, 3)
BOTH = pytest.mark.parametrize("kind", ["nb", "idf"])


def fitted(kind, **kwargs):
    return TextClassifier(feature_weights=kind, n_features=2**14, **kwargs).fit(TEXTS, Y)


@BOTH
def test_a_saved_classifier_scores_as_before(kind, tmp_path):
    classifier = fitted(kind)
    classifier.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.feature_weights == kind
    np.testing.assert_array_equal(loaded.decision_function(NEW), classifier.decision_function(NEW))
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.decision_function(NEW), classifier.decision_function(NEW))


@BOTH
def test_what_was_never_met_weighs_nothing(kind):
    classifier = fitted(kind)
    weights = classifier._state.feature_weights
    assert weights.shape == (2**14,)
    assert (
        np.count_nonzero(weights) == np.count_nonzero(np.abs(classifier.coef_).max(axis=0) > 0) == len(WORDS)
    )
    scores = classifier.decision_function(["nothing known", ""])
    np.testing.assert_array_equal(scores, [classifier.intercept_] * 2)


@BOTH
def test_threads_do_not_decide_a_bit(kind):
    one, three = fitted(kind, threads=1), fitted(kind, threads=3)
    assert one.coef_.tobytes() == three.coef_.tobytes()


@BOTH
def test_rows_read_again_learn_like_rows_kept(kind, monkeypatch):
    classifier = fitted(kind, holdout=0.2)
    monkeypatch.setattr("manymill.linear.row_stream.CACHE_BYTES", 0)
    monkeypatch.setattr("manymill.linear.row_stream.CACHE_BYTES", 0)
    again = fitted(kind, holdout=0.2)
    np.testing.assert_array_equal(again._state.feature_weights, classifier._state.feature_weights)
    assert again.holdout_score_ == pytest.approx(classifier.holdout_score_, abs=0.05)


def test_held_out_rows_are_not_counted():
    some, all_rows = fitted("idf", holdout=0.3), fitted("idf", holdout=0)
    assert not np.array_equal(some._state.feature_weights, all_rows._state.feature_weights)


def test_rows_of_weight_0_do_not_count():
    weight = np.arange(len(TEXTS)) % 2
    half = TextClassifier(feature_weights="nb", n_features=2**12)
    half.fit(TEXTS, Y, sample_weight=weight)
    alone = TextClassifier(feature_weights="nb", n_features=2**12).fit(TEXTS[1::2], Y[1::2])
    np.testing.assert_array_equal(half._state.feature_weights, alone._state.feature_weights)


def test_partial_fit_is_refused():
    with pytest.raises(PlanError, match="depend on all rows"):
        TextClassifier(feature_weights="nb").partial_fit(TEXTS, Y, classes=LABELS)


def test_another_kind_is_refused():
    with pytest.raises(SettingsError, match="feature_weights='tfidf' is invalid"):
        Settings(feature_weights="tfidf")


def test_more_memory_is_expected():
    plan = scan("examples/data/mail-train.jsonl.zst").plan()
    plain, weighed = (
        memory_need(plan, Settings(n_features=2**20, feature_weights=kind), threads=1)
        for kind in (None, "nb")
    )
    assert weighed.state == plain.state + (4 << 20)
    assert weighed.in_flight > plain.in_flight


def test_a_model_without_weights_loads_without(tmp_path):
    fitted(None).save(tmp_path / "model")
    assert load_model(tmp_path / "model").feature_weights is None
