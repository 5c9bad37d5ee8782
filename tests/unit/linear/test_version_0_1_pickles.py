"""Pickles of version 0.1 load, predict, and learn on as they did."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from manymill import ComplementNaiveBayes, TextClassifier
from manymill.constants import WORD_PATTERN
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState
from manymill.model import probabilities

LABELS = [("good", "bad", "mixed")[i % 3] for i in range(90)]
TEXTS = [f"{label} film {label[:2]} I number{i % 11}" for i, label in enumerate(LABELS)]
TWO = ["good" if label == "good" else "bad" for label in LABELS]
NEW = [*TEXTS[:20], "", "I never", "good bad film"]

# The defaults of version 0.1, and what it did without parameters for it.
DEFAULTS = {
    "ngram_range": (1, 1), "n_features": 2**10, "lowercase": True, "value": "log", "norm": "l2",
    "feature_weights": None, "loss": "log", "l1": 0.0, "l2": 0.0, "learning_rate": None, "fit_intercept": True,
    "class_weight": None, "passes": 3, "patience": 2, "holdout": None, "lanes": 1, "rounds_per_pass": 8,
    "merge": "auto", "interleaved": True, "calibrate": True, "random_state": 0, "threads": 1,
}  # fmt: skip
LATER = {"recipe": "fast", "char_ngram_range": None, "token_pattern": WORD_PATTERN, "initial_g": 0.0}
BAYES = {
    "ngram_range": (1, 2), "n_features": 2**10, "lowercase": True, "value": "log", "norm": "l2",
    "alpha": 0.5, "weight_norm": False, "threads": 1,
}  # fmt: skip

# Version 0.1 pickled the values of its settings in this order, two of which are gone.
ORDER = (
    "ngram_range", "lowercase", "n_features", "value", "norm", "feature_weights", "loss", "l1", "l2", "learning_rate",
    "fit_intercept", "class_weight", "passes", "patience", "holdout", "calibrate", "finish", "finish_iterations",
    "seed", "window_bytes", "lanes", "rounds_per_pass", "merge", "interleaved",
)  # fmt: skip


class Old:
    """Pickles as an object of a class with a state that is given."""

    def __init__(self, kind, state):
        self._kind, self._state = kind, state

    def __reduce__(self):
        return object.__new__, (self._kind,), self._state


def settings_0_1(settings):
    gone = {"finish": None, "finish_iterations": 20}
    return Old(Settings, [gone[name] if name in gone else getattr(settings, name) for name in ORDER])


def state_0_1(state):
    """The state of every hash bucket, as version 0.1 had it."""
    learner, n_features = state.learner, state.analyzer.n_features
    buckets = np.arange(n_features) if state.table is None else state.table.features
    n_columns = learner.n_features
    weights, sums = learner.gather(np.arange(n_columns, dtype=np.uint32))
    every = np.zeros((n_features, learner.n_outputs), np.float32)
    accumulators, feature_weights = np.zeros(n_features, np.float32), np.zeros(n_features, np.float32)
    every[buckets], accumulators[buckets] = weights, sums
    if state.table is not None:
        feature_weights[buckets] = state.table.weights
    return Old(
        LinearState,
        {
            "settings": settings_0_1(state.__getstate__()["settings"]),
            "names": state.index.names,
            "as_integers": False,
            "feature_weights": None if state.table is None else feature_weights,
            "weights": every,
            "accumulators": accumulators,
            "intercept": learner.intercept_state(),
            "n_rows_seen": learner.n_rows_seen,
        },
    )


def restored(classifier):
    """The classifier from a pickle of version 0.1."""
    state = {name: value for name, value in vars(classifier).items() if name in DEFAULTS or name[-1] == "_"}
    if hasattr(classifier, "_state"):
        state["_state"] = state_0_1(classifier._state)
    return pickle.loads(pickle.dumps(Old(TextClassifier, state)))


def fitted(labels=LABELS, **parameters):
    return TextClassifier(**{**DEFAULTS, **LATER, **parameters}).fit(TEXTS, labels)


EACH = pytest.mark.parametrize(
    "parameters",
    [{}, {"loss": "hinge", "ngram_range": (1, 2)}, {"feature_weights": "nb"}, {"feature_weights": "idf"}],
    ids=str,
)


@EACH
@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
def test_a_fitted_classifier_scores_the_same(parameters, labels):
    original = fitted(labels, **parameters)
    copy = restored(original)
    np.testing.assert_allclose(
        copy.decision_function(NEW), original.decision_function(NEW), rtol=1e-5, atol=1e-6
    )
    assert copy.predict(NEW[:20]).tolist() == original.predict(NEW[:20]).tolist()
    assert (copy.n_iter_, copy.temperature_) == (3, original.temperature_)


@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
def test_a_classifier_of_a_clipped_loss_gives_clipped_probabilities(labels):
    copy = restored(fitted(labels, loss="modified_huber"))
    scores = copy.decision_function(NEW).reshape(len(NEW), -1)
    assert copy.predict_proba(NEW).tolist() == probabilities(scores, "clipped", copy.temperature_).tolist()


def test_a_classifier_learns_on_as_the_original_does():
    original = fitted()
    copy = restored(original)
    for classifier in (original, copy):
        classifier.partial_fit(TEXTS[::-1], LABELS[::-1])
    assert copy.decision_function(TEXTS).tobytes() == original.decision_function(TEXTS).tobytes()


@EACH
def test_an_estimator_has_all_parameters_and_fits_as_version_0_1_did(parameters):
    original = fitted(**parameters)
    for copy in (restored(original), restored(TextClassifier(**{**DEFAULTS, **LATER, **parameters}))):
        assert copy.get_params() == original.get_params()
        again = clone(copy).fit(TEXTS, LABELS)
        assert again.decision_function(NEW).tobytes() == original.decision_function(NEW).tobytes()


def test_a_classifier_is_saved_and_loaded(tmp_path):
    copy = restored(fitted())
    copy.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.predict_proba(NEW).tolist() == copy.predict_proba(NEW).tolist()
    assert loaded.get_params()["token_pattern"] == WORD_PATTERN


@pytest.mark.parametrize("kind", [None, "idf"])
def test_naive_bayes_predicts_and_fits_as_version_0_1_did(kind):
    parameters = {**BAYES, "feature_weights": kind}
    original = ComplementNaiveBayes(**parameters, token_pattern=WORD_PATTERN).fit(TEXTS, LABELS)
    state = original.__getstate__()
    old = {name: value for name, value in state.items() if name in parameters or name == "classes_"}
    table = original._table
    old |= {
        "_sums": state["_sums"],
        "_rows_as": settings_0_1(state["_row_settings"]),
        "_feature_weights": None if table is None else table.weights,
        "_linear_model": None,
    }
    copy = pickle.loads(pickle.dumps(Old(ComplementNaiveBayes, old)))
    assert copy.get_params() == original.get_params()
    assert copy.predict_proba(NEW).tolist() == original.predict_proba(NEW).tolist()
    assert clone(copy).fit(TEXTS, LABELS).predict_proba(NEW).tolist() == original.predict_proba(NEW).tolist()
    if kind is None:
        copy.partial_fit(TEXTS, LABELS)
        np.testing.assert_array_equal(copy.class_count_, 2 * original.class_count_)
