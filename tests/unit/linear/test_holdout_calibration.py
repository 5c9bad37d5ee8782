"""Calibration of probabilities by temperature."""

import numpy as np
import pytest
from sklearn.base import clone

from manymill import TextClassifier
from manymill.linear.holdout import MAX_SAMPLED_SCORES, ScoreSample, default_temperature, fit_temperature
from manymill.metrics import Reliability
from manymill.model import choose_classes, probabilities


def honest(n_rows, n_outputs, seed=0):
    """Scores whose probabilities are true: classes are drawn from them."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 1.5, (n_rows, n_outputs)).astype(np.float32)
    given = probabilities(scores, "softmax")
    drawn = (given.cumsum(axis=1) < generator.random((n_rows, 1))).sum(axis=1)
    return scores, np.minimum(drawn, given.shape[1] - 1).astype(np.int32)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("stretched", [0.25, 1.0, 4.0])
def test_scores_that_were_stretched_are_shrunk_back(n_outputs, stretched):
    scores, classes = honest(20_000, n_outputs)
    assert fit_temperature(scores * np.float32(stretched), classes, "log") == pytest.approx(
        stretched, rel=0.05
    )


@pytest.mark.parametrize("loss", ["log", "modified_huber"])
def test_the_temperature_lowers_the_calibration_error(loss):
    scores, classes = honest(20_000, 1)
    scores *= 3
    before, after = (
        Reliability.from_probabilities(probabilities(scores, "softmax", t), classes).error
        for t in (1.0, fit_temperature(scores, classes, loss))
    )
    assert after < before / 3


def test_the_temperature_is_that_of_a_fine_grid():
    scores, classes = honest(500, 4)
    grid = np.exp(np.linspace(-3, 3, 2001))
    rows = np.arange(500)
    losses = [-np.log(probabilities(scores, "softmax", t)[rows, classes]).mean() for t in grid]
    assert fit_temperature(scores, classes, "log") == pytest.approx(grid[np.argmin(losses)], rel=0.005)


@pytest.mark.parametrize(
    ("loss", "n_outputs", "default"),
    [("log", 1, 1.0), ("log", 3, 1.0), ("modified_huber", 1, 0.25), ("modified_huber", 3, 0.4)],
)
def test_rows_that_cannot_tell_give_the_default_of_the_loss(loss, n_outputs, default):
    scores, classes = honest(1000, n_outputs)
    right = choose_classes(scores).astype(np.int32)
    assert fit_temperature(scores[:99], classes[:99], loss) == default
    assert fit_temperature(scores, right, loss) == default
    assert fit_temperature(scores, (right + 1) % max(2, n_outputs), loss) == default
    assert fit_temperature(scores, classes, "hinge") == 1.0


def test_rows_of_unknown_classes_and_scores_of_no_number_are_left_out():
    scores, classes = honest(1000, 3)
    spoilt = np.concatenate([scores, np.full((5, 3), np.nan, np.float32), np.full((5, 3), 9, np.float32)])
    labels = np.concatenate([classes, np.zeros(5, np.int32), np.full(5, -1, np.int32)])
    assert fit_temperature(spoilt, labels, "log") == fit_temperature(scores, classes, "log")


def test_the_temperature_stays_in_its_range():
    scores, classes = honest(1000, 1)
    assert fit_temperature(scores * np.float32(1e6), classes, "log") == pytest.approx(20, rel=1e-3)
    assert fit_temperature(scores * np.float32(1e-6), classes, "log") == pytest.approx(0.01, rel=1e-3)


def test_many_scores_are_thinned_evenly_whatever_the_parts():
    scores, classes = honest(1000, 1)
    wide = np.repeat(scores, 4096, axis=1)
    whole, parted = ScoreSample(), ScoreSample()
    whole.add(wide, classes)
    for start in range(0, 1000, 70):
        parted.add(wide[start : start + 70], classes[start : start + 70])
    kept = [np.concatenate([part[1] for part in seen._parts]) for seen in (whole, parted)]
    assert np.array_equal(kept[0], classes[::4])
    assert np.array_equal(kept[1], classes[::4])
    assert len(kept[0]) * 4096 <= MAX_SAMPLED_SCORES


def test_calibration_errors_of_parts_add_up_to_that_of_the_whole():
    scores, classes = honest(1000, 3)
    given = probabilities(scores, "softmax", 2.0)
    parts = Reliability.from_probabilities(given[:300], classes[:300]) + Reliability.from_probabilities(
        given[300:], classes[300:]
    )
    assert parts.error == Reliability.from_probabilities(given, classes).error
    confidence, right = given.max(axis=1), given.argmax(axis=1) == classes
    bins = np.ceil(confidence * 15)
    slow = sum(abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in range(1, 16)) / 1000
    assert parts.error == pytest.approx(slow, abs=1e-8)


def test_no_rows_have_no_calibration_error():
    assert Reliability.from_probabilities(np.zeros((0, 2)), np.zeros(0, np.int32)).error is None


def noisy(n_rows=2000):
    generator = np.random.default_rng(0)
    words = generator.integers(0, 40, (n_rows, 12))
    labels = np.where((words < 20).sum(axis=1) + generator.normal(0, 2, n_rows) > 6, "low", "high")
    return [" ".join(f"w{w}" for w in row) for row in words], labels


def test_a_classifier_is_calibrated_and_saved_so_and_chooses_the_same(tmp_path):
    texts, labels = noisy()
    warm, cold = (
        TextClassifier(holdout=0.2, n_features=1024, calibrate=c).fit(texts, labels) for c in (1 > 0, 1 < 0)
    )
    assert warm.temperature_ != cold.temperature_
    assert cold.temperature_ == default_temperature("modified_huber", 1)
    assert np.array_equal(warm.decision_function(texts), cold.decision_function(texts))
    assert not np.allclose(warm.predict_proba(texts), cold.predict_proba(texts), atol=1e-3)
    warm.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model")
    assert again.temperature_ == warm.temperature_
    assert np.array_equal(again.predict_proba(texts), warm.predict_proba(texts))


@pytest.mark.parametrize("loss", ["log", "modified_huber"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_trainings_that_cannot_calibrate_have_the_default_temperature(loss, n_classes):
    texts, labels = noisy(300)
    labels = np.where(np.arange(300) % n_classes == 2, "other", labels)
    empty = TextClassifier(loss=loss, n_features=1024)
    expected = default_temperature(loss, 1 if n_classes == 2 else n_classes)
    fitted = [
        clone(empty).set_params(holdout=0.0).fit(texts, labels),
        clone(empty).set_params(holdout=0.5, calibrate=False).fit(texts, labels),
        clone(empty).partial_fit(texts, labels, classes=np.unique(labels)),
    ]
    assert [classifier.temperature_ for classifier in fitted] == [expected] * 3


@pytest.mark.parametrize("loss", ["log", "modified_huber"])
def test_probabilities_of_a_classifier_are_logistic_in_its_scores(loss):
    texts, labels = noisy()
    classifier = TextClassifier(loss=loss, holdout=0.2, n_features=1024).fit(texts, labels)
    scores = classifier.decision_function(texts).astype(np.float64) / classifier.temperature_
    np.testing.assert_allclose(classifier.predict_proba(texts)[:, 1], 1 / (1 + np.exp(-scores)))
