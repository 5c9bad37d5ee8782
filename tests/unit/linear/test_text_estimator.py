"""Invalid parameters of text estimators, and their score on files."""

import json

import pytest

from manymill import TextClassifier, scan
from manymill.errors import PlanError, SchemaError, SettingsError

TEXTS, LABELS = ["good fun", "bad plot"] * 4, ["pos", "neg"] * 4


@pytest.fixture
def films(tmp_path):
    """A file of rows, one with a label that is never learnt, and a broken record."""
    path = tmp_path / "films.jsonl"
    rows = [*zip(TEXTS, LABELS, strict=True), ("good", "odd"), ("bad", "neg")]
    path.write_text("broken\n" + "".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in rows))
    return path


@pytest.mark.parametrize(
    "wrong",
    [
        {"passes": 2.5},
        {"n_features": "a"},
        {"ngram_range": 1},
        {"lowercase": "yes"},
        {"threads": 0},
        {"threads": -1},
        {"threads": 1.5},
        {"class_weight": {"pso": 2.0}},
    ],
    ids=str,
)
def test_a_parameter_that_cannot_be_is_refused_by_name(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        TextClassifier(**{"n_features": 64, **wrong}).fit(TEXTS, LABELS)


def test_a_range_of_words_may_be_a_list():
    assert TextClassifier(n_features=64, ngram_range=[1, 2]).fit(TEXTS, LABELS).n_iter_ >= 1


def test_partial_fit_refuses_a_weight_of_no_class():
    with pytest.raises(PlanError, match="'pso'"):
        TextClassifier(n_features=64, class_weight={"pso": 2}).partial_fit(TEXTS, LABELS, ["neg", "pos"])


def test_a_score_on_a_dataset_is_the_share_of_its_rows_predicted_right(films):
    classifier = TextClassifier(n_features=2**12).fit(TEXTS, LABELS)
    assert classifier.score(TEXTS, LABELS) == 1.0
    assert classifier.score(scan(films)) == pytest.approx(9 / 10)


def test_a_score_needs_labels_once(films):
    classifier = TextClassifier(n_features=64).fit(TEXTS, LABELS)
    with pytest.raises(SchemaError, match="no labels"):
        classifier.score(scan(films, labelled=False))
    with pytest.raises(SchemaError, match="contains its labels"):
        classifier.score(scan(films), LABELS)


def test_records_that_are_no_rows_have_no_prediction(films):
    classifier = TextClassifier(n_features=64).fit(TEXTS, LABELS)
    assert len(classifier.predict(scan(films, labelled=False))) == 10
