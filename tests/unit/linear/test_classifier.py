"""TextClassifier fits, predicts, and refuses invalid input."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer as Original
from sklearn.preprocessing import normalize

from manymill import Dataset, TextClassifier
from manymill.constants import WORD_PATTERN
from manymill.errors import ModelError, PlanError, SchemaError, SettingsError

# Every class has words of its own, and every row some of another's.
WORDS = {"bird": "wing feather nest egg sky", "fish": "fin gill river scale water", "frog": "pond leap croak"}
LABELS = [list(WORDS)[i % 3] for i in range(120)]
TEXTS = [
    " ".join(np.random.default_rng(i).choice(WORDS[label].split(), 4))
    + f" animal number{i % 7} {WORDS['frog'][:4]}"
    for i, label in enumerate(LABELS)
]
TWO = [label if label != "frog" else "fish" for label in LABELS]
PROBABILISTIC = ["log", "modified_huber"]
OTHERS = ["hinge", "squared_hinge", "squared_error"]


def small(**parameters):
    return TextClassifier(**{"n_features": 2**10, "threads": 1, **parameters})


def scores(classifier):
    return classifier.decision_function(TEXTS).tobytes()


EXPECTED = small().fit(TEXTS, LABELS)

# Features of scikit-learn's vectorizers.
WORDS_ONLY = {"recipe": "fast", "token_pattern": WORD_PATTERN}


@pytest.mark.parametrize("loss", [*PROBABILISTIC, *OTHERS])
@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
def test_every_loss_tells_classes_apart(loss, labels):
    assert small(loss=loss).fit(TEXTS, labels).score(TEXTS, labels) > 0.95


@pytest.mark.parametrize(
    "X",
    [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object),
        pd.Series(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype="string[python]", index=range(1000, 1120)),
        pd.Series(TEXTS, dtype="string[pyarrow]"),
        pd.Series(TEXTS, dtype="category"),
        pl.Series(TEXTS),
        pl.Series(TEXTS, dtype=pl.Categorical),
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS).dictionary_encode(),
        pa.chunked_array([TEXTS[:50], TEXTS[50:]]),
        pa.chunked_array([pa.array([], pa.string()), pa.array(["no", *TEXTS])[1:]]),
    ],
    ids=lambda X: f"{type(X).__module__}.{type(X).__name__}",
)
def test_whatever_holds_the_texts_the_model_and_its_predictions_are_the_same(X):
    classifier = small().fit(X, LABELS)
    assert scores(classifier) == scores(EXPECTED)
    assert classifier.predict(X).tolist() == EXPECTED.predict(TEXTS).tolist()


@pytest.mark.parametrize(
    "holder", [tuple, np.array, pd.Series, pl.Series], ids=lambda holder: holder.__name__
)
def test_whatever_holds_the_labels_the_model_is_the_same(holder):
    assert scores(small().fit(TEXTS, holder(LABELS))) == scores(EXPECTED)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("one text", "one string"),
        ([b"\xff"] * 2, "bytes, not a string"),
        ([1, 2], r"texts\[0\] has type int"),
        (["text", 2.5], r"texts\[1\] has type float"),
        ([["nested"], ["lists"]], "list, not a string"),
        (["text", None], r"texts\[1\] is missing"),
        (["text", float("nan")], r"texts\[1\] is missing"),
        (pa.array([None, "text"]), r"texts\[0\] is missing"),
        (np.zeros((2, 3)), "shape"),
        (np.array([["a"], ["b"]]), "shape"),
        (pd.DataFrame({"text": ["a", "b"]}), "shape"),
        (pl.DataFrame({"text": ["a", "b"]}), "shape"),
        (None, "NoneType"),
        (5, "int"),
        ([], "no texts"),
        (np.array([]), "no texts"),
        (pa.array([], pa.string()), "no texts"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict"])
def test_texts_that_are_none_are_refused_by_what_they_are(X, message, method):
    call = {
        "fit": lambda: small().fit(X, ["a", "b"]),
        "partial_fit": lambda: small().partial_fit(X, ["a", "b"], ["a", "b"]),
        "predict": lambda: EXPECTED.predict(X),
    }
    with pytest.raises(SchemaError, match=message):
        call[method]()


def test_bytes_are_read_as_utf_8():
    assert EXPECTED.predict([text.encode() for text in TEXTS]).tolist() == EXPECTED.predict(TEXTS).tolist()


def test_a_dataset_is_learnt_like_a_list():
    by_data = small().fit(Dataset.from_memory(TEXTS, LABELS))
    assert by_data.classes_.tolist() == EXPECTED.classes_.tolist()
    assert by_data.score(TEXTS, LABELS) == EXPECTED.score(TEXTS, LABELS)
    assert by_data.predict(Dataset.from_memory(TEXTS)).tolist() == by_data.predict(TEXTS).tolist()


def test_a_dataset_brings_its_own_labels():
    with pytest.raises(SchemaError, match="leave out y"):
        small().fit(Dataset.from_memory(TEXTS, LABELS), LABELS)


@pytest.mark.parametrize(
    "names",
    [
        ["b", "a"],
        ["10", "9"],
        [10, 9],
        [-1, 1],
        [True, False],
        [1.0, -2.0],
        [np.int8(3), np.int8(2)],
        ["ß", "z\n"],
    ],
    ids=str,
)
def test_labels_come_back_as_they_were(names):
    y = np.array(names)[[int(label == "bird") for label in LABELS]]
    classifier = small().fit(TEXTS, y)
    assert classifier.classes_.tolist() == sorted(np.array(names).tolist())
    assert classifier.predict(TEXTS).dtype == y.dtype
    assert classifier.score(TEXTS, y) > 0.95


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 120, "only one class"),
        (LABELS[:-1], "inconsistent numbers"),
        (None, "y to be passed"),
        (np.arange(120) / 7, "Unknown label type"),
        ([LABELS] * 2, "1d array"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        small().fit(TEXTS, y)


@pytest.mark.parametrize(("labels", "shape"), [(LABELS, (120, 3)), (TWO, (120,))])
def test_decision_values_have_one_column_a_class_and_none_for_two(labels, shape):
    classifier = small().fit(TEXTS, labels)
    assert classifier.decision_function(TEXTS).shape == shape
    assert classifier.decision_function(TEXTS[:1]).shape == (1, *shape[1:])


def test_the_greatest_score_decides_and_with_two_classes_the_sign():
    three, two = EXPECTED, small().fit(TEXTS, TWO)
    assert (three.classes_[three.decision_function(TEXTS).argmax(1)] == three.predict(TEXTS)).all()
    assert (two.classes_[(two.decision_function(TEXTS) > 0).astype(int)] == two.predict(TEXTS)).all()


@pytest.mark.parametrize("loss", PROBABILISTIC)
@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
def test_probabilities_sum_to_one_and_agree_with_the_prediction(loss, labels):
    classifier = small(loss=loss).fit(TEXTS, labels)
    found = classifier.predict_proba([*TEXTS, "", "a b c"])
    assert found.shape == (122, len(set(labels)))
    assert found.sum(axis=1) == pytest.approx(1)
    assert found.min() >= 0
    assert (classifier.classes_[found[:-2].argmax(1)] == classifier.predict(TEXTS)).mean() > 0.99


@pytest.mark.parametrize("loss", OTHERS)
def test_a_loss_without_probabilities_has_no_such_method(loss):
    assert not hasattr(small(loss=loss), "predict_proba")


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "save"])
def test_an_estimator_that_was_not_fitted_says_so(method, tmp_path):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(TextClassifier(), method)(tmp_path if method == "save" else TEXTS)


@pytest.mark.parametrize("attribute", ["coef_", "intercept_", "classes_"])
def test_nothing_is_learnt_before_fit(attribute):
    assert not hasattr(TextClassifier(), attribute)


@pytest.mark.parametrize("labels", [LABELS, TWO], ids=["three classes", "two classes"])
@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2)], ids=str)
def test_weights_and_intercepts_give_the_scores_by_scikit_learns_vectorizer(labels, ngram_range):
    classifier = small(**WORDS_ONLY, ngram_range=ngram_range).fit(TEXTS, labels)
    vectorizer = Original(n_features=2**10, alternate_sign=False, norm=None, ngram_range=ngram_range)
    X = vectorizer.transform(TEXTS)
    X.data = 1 + np.log(X.data)
    by_hand = normalize(X) @ classifier.coef_.T + classifier.intercept_
    assert classifier.coef_.shape == (1 if labels is TWO else 3, 2**10)
    assert classifier.features_.tolist() == list(range(2**10))
    assert by_hand.reshape(classifier.decision_function(TEXTS).shape) == pytest.approx(
        classifier.decision_function(TEXTS), abs=1e-4
    )


@pytest.mark.parametrize("parameters", [{}, {"holdout": 0.2}, {"class_weight": "balanced"}], ids=str)
def test_threads_change_no_bit(parameters):
    one, many = (small(**{**parameters, "threads": n}).fit(TEXTS, LABELS) for n in (1, 5))
    assert scores(one) == scores(many)
    assert one.coef_.tobytes() == many.coef_.tobytes()


def test_equal_random_states_give_equal_models_and_others_others():
    def with_state(state):
        return scores(small(random_state=state).fit(TEXTS, LABELS))

    assert with_state(1) == with_state(np.int64(1)) != with_state(2)
    assert with_state(np.random.RandomState(3)) == with_state(np.random.RandomState(3))
    assert len(with_state(None)) == len(with_state(0))


@pytest.mark.parametrize("wrong", [-1, "seed", 1.5], ids=str)
def test_a_random_state_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="random_state="):
        small(random_state=wrong).fit(TEXTS, LABELS)


def test_without_counts_there_is_a_weight_for_each_hash_bucket():
    classifier = TextClassifier(recipe="fast").fit(TEXTS, LABELS)
    assert classifier.coef_.shape == (3, 2**22)
    assert classifier.get_params()["n_features"] is None


def test_with_counts_there_is_a_weight_for_each_feature_of_the_texts():
    classifier = TextClassifier(char_ngram_range=None).fit(TEXTS, LABELS)
    used = np.unique(Original(n_features=2**18, ngram_range=(1, 2)).transform(TEXTS).indices)
    assert classifier.coef_.shape == (3, len(used))
    assert classifier.features_.tolist() == used.tolist()
    assert classifier.get_params()["n_features"] is None


def test_a_parameter_out_of_range_is_refused_by_name_when_fitting():
    with pytest.raises(PlanError, match="passes=0"):
        small(passes=0).fit(TEXTS, LABELS)


def test_held_out_rows_choose_the_pass_that_is_kept():
    classifier = small(holdout=0.3, passes=4).fit(TEXTS, LABELS)
    assert 0.5 < classifier.holdout_score_ <= 1
    assert 1 <= classifier.n_iter_ <= 4
    assert EXPECTED.holdout_score_ is None
    assert EXPECTED.n_iter_ == 2
    assert small(recipe="fast").fit(TEXTS, LABELS).n_iter_ == 1


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_last_texts_are_held_out_of_texts_in_order_of_time(lanes):
    texts = [f"{('good', 'bad')[i % 2]} {i}" for i in range(300)]
    labels = np.array(["pos", "neg"] * 150)
    # What the words meant is the other way round in the last rows, of which none is learnt.
    labels[270:] = labels[270:][::-1]
    classifier = small(holdout_tail=0.1, lanes=lanes, rounds_per_pass=2, merge="damped").fit(texts, labels)
    assert classifier.holdout_score_ == 0
    assert classifier.score(texts[:270], labels[:270]) == 1


def test_rows_of_no_weight_are_not_among_the_last_ones():
    texts, labels = ["good", "bad"] * 50 + ["good"] * 50, ["pos", "neg"] * 50 + ["neg"] * 50
    classifier = small(holdout_tail=0.2).fit(texts, labels, [1.0] * 100 + [0.0] * 50)
    assert classifier.holdout_score_ == 1


@pytest.mark.parametrize("parameters", [{}, {"class_weight": "balanced"}, {"holdout": 0.2}], ids=str)
def test_a_row_of_weight_zero_is_a_row_left_out(parameters):
    weights = np.arange(120) % 4
    some = [i for i in range(120) if i % 4]
    classifier = small(**parameters).fit(TEXTS, LABELS, weights)
    without = small(**parameters).fit([TEXTS[i] for i in some], [LABELS[i] for i in some], weights[some])
    assert scores(classifier) == scores(without)


def test_partial_fit_learns_nothing_from_rows_of_weight_zero():
    classifier = small().partial_fit(TEXTS, LABELS, list(WORDS), np.r_[np.ones(100), np.zeros(20)])
    assert scores(classifier) == scores(small().partial_fit(TEXTS[:100], LABELS[:100], list(WORDS)))


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(SchemaError, match="zero for every row"):
        small().fit(TEXTS, LABELS, np.zeros(120))


def test_rows_of_weight_zero_do_not_teach_wrong_labels():
    wrong = [list(WORDS)[(i + 1) % 3] for i in range(120)]
    weights = np.r_[np.ones(120), np.zeros(120)]
    assert small().fit(TEXTS * 2, LABELS + wrong, weights).score(TEXTS, LABELS) > 0.95


@pytest.mark.parametrize("wrong", [np.full(120, -1.0), np.full(120, np.nan), np.ones((120, 1)), np.ones(3)])
def test_weights_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"sample_weight|inconsistent"):
        small().fit(TEXTS, LABELS, wrong)


@pytest.mark.parametrize("y", [TWO, [label == "bird" for label in TWO]], ids=["str", "bool"])
def test_weights_of_classes_go_by_label(y):
    heavy = y[1]
    # By themselves, squared gradients start by the weights of the classes.
    weighted = small(class_weight={heavy: 50.0}, initial_g=0.1).fit(TEXTS, y)
    by_row = small(initial_g=0.1).fit(TEXTS, y, [50.0 if label == heavy else 1.0 for label in y])
    assert weighted.decision_function(TEXTS) == pytest.approx(by_row.decision_function(TEXTS), abs=1e-5)
    assert weighted.predict(["animal"]) == [heavy]


def test_balanced_weights_help_the_rare_class():
    rare = [i for i, label in enumerate(TWO) if label == "fish" or i < 12]
    X, y = [TEXTS[i] for i in rare], [TWO[i] for i in rare]
    plain, balanced = (small(class_weight=w).fit(X, y) for w in (None, "balanced"))
    # Scores above 0 are the second class, fish.
    assert balanced.decision_function(["animal"])[0] < plain.decision_function(["animal"])[0]


def interrupting(monkeypatch, after):
    """Ctrl-C after so many passes."""
    from manymill.linear.row_stream import Lane

    lessons = Lane.feature_batches

    def broken(self, number, skip=0):
        if number == after:
            raise KeyboardInterrupt
        return lessons(self, number, skip)

    monkeypatch.setattr(Lane, "feature_batches", broken)


def test_ctrl_c_leaves_an_estimator_with_what_it_had_learnt(monkeypatch):
    interrupting(monkeypatch, after=2)
    classifier = small(passes=5)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(TEXTS, LABELS)
    assert classifier.n_iter_ == 3
    assert classifier.score(TEXTS, LABELS) > 0.95


def test_ctrl_c_before_anything_was_learnt_leaves_nothing(monkeypatch):
    interrupting(monkeypatch, after=0)
    classifier = small()
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(TEXTS, LABELS)
    assert not hasattr(classifier, "classes_")


def test_a_saved_model_predicts_the_same(tmp_path):
    EXPECTED.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert scores(loaded) == scores(EXPECTED)
    assert loaded.predict(TEXTS).tolist() == EXPECTED.predict(TEXTS).tolist()
    assert loaded.predict_proba(TEXTS).tolist() == EXPECTED.predict_proba(TEXTS).tolist()
    assert loaded.coef_.tobytes() == EXPECTED.coef_.tobytes()


@pytest.mark.parametrize(
    ("names", "saved"),
    [([True, False], ["False", "True"]), ([1, 10], [1, 10]), ([1.0, 10.0], ["1.0", "10.0"])],
    ids=["bool", "int", "float"],
)
def test_labels_that_are_no_text_are_saved_as_whole_numbers_or_text(tmp_path, names, saved):
    classifier = small().fit(TEXTS, [names[label == "bird"] for label in LABELS])
    classifier.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.classes_.tolist() == saved
    assert loaded.predict(TEXTS).tolist() == [
        int(label) if saved == [1, 10] else str(label) for label in classifier.predict(TEXTS)
    ]


def test_a_loaded_model_refuses_to_learn_further_but_fits_anew(tmp_path):
    EXPECTED.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    with pytest.raises(ModelError, match="has no squared-gradient sums"):
        loaded.partial_fit(TEXTS, LABELS)
    assert loaded.fit(TEXTS, TWO).classes_.tolist() == ["bird", "fish"]


@pytest.mark.parametrize("engine", ["processes:2", "threads", 2])
def test_an_engine_is_refused_where_one_lane_learns(engine):
    with pytest.raises(SettingsError, match="engine has no effect without several lanes") as caught:
        small().fit(TEXTS, LABELS, engine=engine)
    assert caught.value.hint.endswith("lanes")


@pytest.mark.parametrize("y", [TWO, LABELS], ids=["two classes", "three classes"])
def test_only_ratios_of_weights_change_a_model(y):
    plain = small().fit(TEXTS, y).decision_function(TEXTS)
    for scale in (2.0**-10, 2.0**7):
        by_row = small().fit(TEXTS, y, [scale] * len(y)).decision_function(TEXTS)
        by_class = small(class_weight=dict.fromkeys(set(y), scale)).fit(TEXTS, y).decision_function(TEXTS)
        np.testing.assert_allclose(by_row, plain, atol=5e-3)
        np.testing.assert_allclose(by_class, plain, atol=5e-3)


def test_what_a_training_warns_of_is_logged(caplog):
    small(lanes=100).fit(TEXTS, TWO)
    assert any("lanes were requested" in record.getMessage() for record in caplog.records)
    assert {record.name for record in caplog.records} == {"manymill.training"}
