"""partial_fit: what the first call determines, and how later calls continue."""

import pickle

import numpy as np
import pytest

from manymill import TextClassifier
from manymill.errors import PlanError

LABELS = [("good", "bad", "mixed")[i % 3] for i in range(90)]
TEXTS = [f"{label} film {label[:2]} number{i % 11}" for i, label in enumerate(LABELS)]
CLASSES = sorted(set(LABELS))


def small(**parameters):
    return TextClassifier(**{"n_features": 2**10, "threads": 1, **parameters})


def scores(classifier):
    return classifier.decision_function(TEXTS).tobytes()


def test_the_first_call_must_name_all_classes():
    with pytest.raises(PlanError, match="first call of partial_fit needs classes"):
        small().partial_fit(TEXTS, LABELS)


def test_classes_may_be_given_again_but_not_others():
    classifier = small().partial_fit(TEXTS, LABELS, CLASSES)
    classifier.partial_fit(TEXTS, LABELS, CLASSES[::-1])
    with pytest.raises(PlanError, match="classes differ"):
        classifier.partial_fit(TEXTS, LABELS, [*CLASSES, "new"])


@pytest.mark.parametrize("first", [True, False], ids=["first call", "second call"])
def test_a_label_that_is_none_of_the_classes_is_refused_by_name_and_nothing_is_learnt(first):
    classifier = small() if first else small().partial_fit(TEXTS, LABELS, CLASSES)
    before = None if first else scores(classifier)
    with pytest.raises(PlanError, match="'awful' is not one of the classes"):
        classifier.partial_fit(["an awful film"], ["awful"], CLASSES)
    assert hasattr(classifier, "classes_") is not first
    assert first or scores(classifier) == before


def test_a_class_without_rows_yet_has_its_column():
    classifier = small().partial_fit(TEXTS, LABELS, [*CLASSES, "zero"])
    assert classifier.classes_.tolist() == [*CLASSES, "zero"]
    assert classifier.decision_function(TEXTS).shape == (90, 4)
    assert "zero" not in classifier.predict(TEXTS)


def test_two_calls_learn_what_one_call_with_all_rows_learns():
    whole = small().partial_fit(TEXTS, LABELS, CLASSES)
    parts = small().partial_fit(TEXTS[:40], LABELS[:40], CLASSES).partial_fit(TEXTS[40:], LABELS[40:])
    assert scores(whole) == scores(parts)
    assert (whole.n_iter_, parts.n_iter_) == (1, 2)


def test_rows_are_learnt_in_the_order_given():
    forward = small().partial_fit(TEXTS, LABELS, CLASSES)
    backward = small().partial_fit(TEXTS[::-1], LABELS[::-1], CLASSES)
    assert scores(forward) != scores(backward)


def test_many_threads_keep_the_order():
    texts = [text + " padding" * 500 for text in TEXTS] * 10  # several slices
    one, many = (small(threads=n).partial_fit(texts, LABELS * 10, CLASSES) for n in (1, 6))
    assert scores(one) == scores(many)


def test_learning_goes_on_after_fit():
    classifier = small().fit(TEXTS, LABELS)
    before = scores(classifier)
    assert classifier.partial_fit(["a curious film"], ["mixed"]) is classifier
    assert scores(classifier) != before
    assert classifier.score(TEXTS, LABELS) > 0.95


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_pickled_estimator_learns_on_as_the_original_does(method):
    arguments = (CLASSES,) if method == "partial_fit" else ()
    original = getattr(small(l2=1e-4), method)(TEXTS, LABELS, *arguments)
    copy = pickle.loads(pickle.dumps(original))
    assert scores(copy) == scores(original)
    for classifier in (original, copy):
        classifier.partial_fit(TEXTS[::-1], LABELS[::-1])
    assert scores(copy) == scores(original)


def test_fit_forgets_what_was_learnt_before():
    classifier = small().partial_fit(TEXTS, ["spam" if i % 2 else "ham" for i in range(90)], ["ham", "spam"])
    assert scores(classifier.fit(TEXTS, LABELS)) == scores(small().fit(TEXTS, LABELS))


def test_balanced_weights_are_refused_since_one_call_does_not_see_enough():
    with pytest.raises(PlanError, match="balanced"):
        small(class_weight="balanced").partial_fit(TEXTS, LABELS, CLASSES)


def test_weights_of_classes_and_rows_are_multiplied():
    by_class = small(class_weight={"good": 3.0}).partial_fit(TEXTS, LABELS, CLASSES, np.full(90, 2.0))
    by_row = small().partial_fit(
        TEXTS, LABELS, CLASSES, [6.0 if label == "good" else 2.0 for label in LABELS]
    )
    assert scores(by_class) == scores(by_row)


@pytest.mark.parametrize("labels", [np.arange(90) % 3, np.arange(90) % 2 == 0], ids=["int", "bool"])
def test_labels_that_are_no_text_stay_what_they_are(labels):
    classifier = small().partial_fit(TEXTS, labels, np.unique(labels))
    assert classifier.predict(TEXTS).dtype == labels.dtype
