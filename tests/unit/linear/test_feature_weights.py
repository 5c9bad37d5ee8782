"""Feature weights: counted, trained with, saved, loaded, used in predictions."""

import pickle

import numpy as np
import pytest

from manymill import TextClassifier, scan
from manymill._core import FeatureTable, Rows
from manymill.errors import PlanError, SettingsError
from manymill.events import FeaturesCounted
from manymill.linear.feature_weights import empty_counts, every_bucket, feature_table
from manymill.linear.memory import memory_need
from manymill.linear.recipe import max_table_features
from manymill.linear.row_stream import state_bytes
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
EACH = pytest.mark.parametrize("kind", ["nb", "idf", "nb-idf"])


def fitted(kind, **kwargs):
    parameters = {"recipe": "fast", "n_features": 2**14, "passes": 3, **kwargs}
    return TextClassifier(feature_weights=kind, **parameters).fit(TEXTS, Y)


def assert_equal_weights(some, others):
    for array in ("features", "weights"):
        np.testing.assert_array_equal(getattr(some._state.table, array), getattr(others._state.table, array))


@EACH
def test_a_saved_classifier_scores_as_before(kind, tmp_path):
    classifier = fitted(kind)
    classifier.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.feature_weights == kind
    np.testing.assert_array_equal(loaded.decision_function(NEW), classifier.decision_function(NEW))
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.decision_function(NEW), classifier.decision_function(NEW))


@EACH
def test_what_was_never_met_weighs_nothing(kind):
    classifier = fitted(kind)
    assert classifier.coef_.shape == (3, len(WORDS))
    assert np.count_nonzero(classifier._state.table.weights) == len(WORDS)
    assert np.count_nonzero(np.abs(classifier.coef_).max(axis=0)) == len(WORDS)
    scores = classifier.decision_function(["nothing known", ""])
    np.testing.assert_array_equal(scores, [classifier.intercept_] * 2)


@EACH
def test_threads_do_not_decide_a_bit(kind):
    one, three = fitted(kind, threads=1), fitted(kind, threads=3)
    assert one.coef_.tobytes() == three.coef_.tobytes()


@EACH
def test_rows_read_again_learn_like_rows_kept(kind, monkeypatch):
    classifier = fitted(kind, holdout=0.2)
    monkeypatch.setattr("manymill.linear.row_stream.CACHE_BYTES", 0)
    again = fitted(kind, holdout=0.2)
    assert_equal_weights(again, classifier)
    assert again.holdout_score_ == pytest.approx(classifier.holdout_score_, abs=0.05)


def test_held_out_rows_are_not_counted():
    some, all_rows = fitted("idf", holdout=0.3), fitted("idf", holdout=0)
    assert not np.array_equal(some._state.table.weights, all_rows._state.table.weights)


def test_rows_of_weight_0_do_not_count():
    weight = np.arange(len(TEXTS)) % 2
    half = TextClassifier(feature_weights="nb", n_features=2**12)
    half.fit(TEXTS, Y, sample_weight=weight)
    alone = TextClassifier(feature_weights="nb", n_features=2**12).fit(TEXTS[1::2], Y[1::2])
    assert_equal_weights(half, alone)


def test_partial_fit_is_refused():
    with pytest.raises(PlanError, match="depend on all rows"):
        TextClassifier(feature_weights="nb").partial_fit(TEXTS, Y, classes=LABELS)


def test_another_kind_is_refused():
    with pytest.raises(SettingsError, match="feature_weights='tfidf' is invalid"):
        Settings(feature_weights="tfidf")


def test_more_memory_is_expected():
    plan = scan("examples/data/mail-train.jsonl.zst").plan()
    plain, weighed = (
        memory_need(plan, Settings(recipe="fast", n_features=2**24, feature_weights=kind), threads=1)
        for kind in (None, "nb")
    )
    # Counts of two classes for each bucket are more than the state of the features of so little text.
    assert weighed.state > 2 * 4 << 24
    assert plain.state == state_bytes(1 << 24, 1)
    assert weighed.in_flight > plain.in_flight


def test_a_model_without_weights_loads_without(tmp_path):
    fitted(None).save(tmp_path / "model")
    assert load_model(tmp_path / "model").feature_weights is None


@pytest.mark.parametrize(("recipe", "recorded"), [("standard", "auto"), ("fast", None)])
def test_a_loaded_classifier_weighs_features_as_the_recipe_did(tmp_path, recipe, recorded):
    classifier = TextClassifier(recipe=recipe, n_features=2**14).fit(TEXTS, Y)
    classifier.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.feature_weights == recorded
    assert (loaded._state.table.weights is None) == (recorded is None)


def imbalanced(share, n_rows=400):
    """Rows of two classes, of which one has a share of the rows."""
    texts, _ = rows(n_rows, 2)
    return texts, ["rare" if i < share * n_rows else "usual" for i in range(n_rows)]


@pytest.mark.parametrize(
    ("share", "kind"), [(0.02, "idf"), (0.055, "idf"), (0.06, "nb-idf"), (0.5, "nb-idf")]
)
def test_auto_is_idf_where_one_of_two_classes_is_rare(share, kind):
    texts, labels = imbalanced(share)
    by_itself, chosen = (
        TextClassifier(feature_weights=weights, n_features=2**14).fit(texts, labels)
        for weights in ("auto", kind)
    )
    assert_equal_weights(by_itself, chosen)
    other = {"idf": "nb-idf", "nb-idf": "idf"}[kind]
    unchosen = TextClassifier(feature_weights=other, n_features=2**14).fit(texts, labels)
    assert not np.array_equal(by_itself._state.table.weights, unchosen._state.table.weights)


def test_auto_is_nb_idf_where_one_of_three_classes_is_rare():
    labels = ["rare" if i < 6 else y for i, y in enumerate(Y)]
    by_itself, chosen = (
        TextClassifier(feature_weights=weights, n_features=2**14).fit(TEXTS, labels)
        for weights in ("auto", "nb-idf")
    )
    assert_equal_weights(by_itself, chosen)


def test_lanes_have_the_weights_of_one_lane():
    one, three = (
        fitted("nb-idf", holdout=0.0, lanes=lanes, merge=merge)
        for lanes, merge in ((1, "auto"), (3, "damped"))
    )
    assert_equal_weights(one, three)


# So many classes leave room for 127 features.
N_CLASSES = 2**20


def counted(kind, row_counts):
    """Counts of rows in which feature ``i`` occurs ``row_counts[i]`` times."""
    settings = Settings(recipe="fast", feature_weights=kind, n_features=2**12).resolve(N_CLASSES)
    counts = empty_counts(settings, N_CLASSES)
    for start in range(max(row_counts)):
        features = np.flatnonzero(np.asarray(row_counts) > start).astype(np.uint32)
        row = Rows.from_arrays(np.array([0, len(features)]), features, np.ones(len(features), np.float32))
        counts.add(row, np.array([start], np.int32))
    return settings, counts


@pytest.mark.parametrize("kind", ["idf", "nb-idf"])
def test_features_of_the_fewest_rows_are_left_out_if_the_weights_of_all_do_not_fit(kind):
    assert max_table_features(N_CLASSES) == 127
    row_counts = [1] * 300 + [2] * 60 + [3] * 50 + [5] * 70
    events = []
    table = feature_table(*counted(kind, row_counts), events.append, 0.0)
    assert table.features.tolist() == list(range(360, 480))
    warned, counted_event = events
    assert (counted_event.n_features, counted_event.weights) == (120, kind)
    # 420 of the 920 features of the rows are in one row or two.
    assert warned.message.startswith("the model holds 120 of 480 features, those in 3 rows or more")
    assert "for 1,048,576 classes" in warned.message
    assert f"The rows lose {420 / 920:.1%} of their features" in warned.message


@pytest.mark.parametrize("kind", ["idf", "nb-idf"])
def test_as_many_features_as_fit_are_all_in_the_model(kind):
    events = []
    assert len(feature_table(*counted(kind, [1] * 127), events.append, 0.0)) == 127
    assert [type(event) for event in events] == [FeaturesCounted]


def test_every_bucket_of_a_table_has_the_weight_of_its_feature_or_0():
    table = FeatureTable.from_arrays(8, np.array([1, 5], np.uint32), np.array([2, 0.5], np.float32))
    whole = every_bucket(table)
    assert whole.features.tolist() == list(range(8))
    assert whole.weights.tolist() == [0, 2, 0, 0, 0, 0.5, 0, 0]
