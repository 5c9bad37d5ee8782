"""Parts of text: blocks of datasets, streams that cannot be cut, texts in memory."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier

from manymill import Dataset, HashingVectorizer, ParameterMixingClassifier, ParameterMixingRegressor, scan
from manymill.errors import PlanError, SchemaError, SettingsError
from manymill.parameter_mixing.parts import can_assign_blocks, plan_blocks

VECTORIZER = HashingVectorizer(n_features=2**10)
WORDS = np.array([f"word{i}" for i in range(60)])


def written(folder, n_rows=3000, labels=("ham", "spam"), name="rows.jsonl"):
    """Rows whose words tell their label, half of the time."""
    rng = np.random.default_rng(0)
    with open(folder / name, "w", encoding="utf-8") as file:
        for row in range(n_rows):
            which = row % len(labels)
            own = rng.integers(10 * which, 10 * which + 10, 4)
            text = " ".join(WORDS[np.concatenate([own, rng.integers(0, 60, 6)])])
            file.write(json.dumps({"text": f"{text} row{row}", "label": labels[which]}) + "\n")
    return scan(folder / name, text="text", label="label")


def mixing(estimator=None, **options):
    options = {"n_partitions": 4, "vectorizer": VECTORIZER, **options}
    return ParameterMixingClassifier(estimator or LogisticRegression(), **options)


def test_parts_of_a_file_are_learnt_from_its_blocks(tmp_path):
    data = written(tmp_path)
    plan = plan_blocks(data, 4)
    assert can_assign_blocks(plan, 4)
    mixed = mixing().fit(data)
    assert mixed.n_partitions_ == 4
    assert sum(mixed.history_[0].n_rows) == 3000
    assert max(mixed.history_[0].n_rows) < 1.5 * min(mixed.history_[0].n_rows)
    assert mixed.classes_.tolist() == ["ham", "spam"]
    assert mixed.score(data) > 0.9


def test_contiguous_blocks_give_the_mean_of_fits_on_consecutive_rows(tmp_path):
    data = written(tmp_path)
    mixed = mixing(partitioning="contiguous", n_partitions=2).fit(data)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    X, y = VECTORIZER.transform(texts), np.array(labels)
    cut = mixed.history_[0].n_rows[0]
    fits = [LogisticRegression().fit(X[rows], y[rows]) for rows in (slice(cut), slice(cut, None))]
    mean = np.average([fit.coef_ for fit in fits], axis=0, weights=[cut, 3000 - cut])
    np.testing.assert_allclose(mixed.coef_, mean, rtol=1e-12, atol=1e-12)


def test_a_file_of_blocks_gives_the_same_bytes_on_threads_and_processes(tmp_path):
    data = written(tmp_path, 600)
    known, other = (
        mixing(SGDClassifier(), rounds=2, validation_fraction=0.2, engine=engine).fit(data)
        for engine in (3, "processes:1")
    )
    assert known.coef_.tobytes() == other.coef_.tobytes()
    assert known.scores_ == other.scores_


def test_held_out_rows_of_a_dataset_are_not_learnt(tmp_path):
    data = written(tmp_path)
    mixed = mixing(validation_fraction=0.2, reference=True).fit(data)
    assert sum(mixed.history_[0].n_rows) + mixed.scores_.n_rows == 3000
    assert 500 < mixed.scores_.n_rows < 700
    assert mixed.scores_.reference > 0.9


def test_data_in_memory_and_streams_are_read_once_and_dealt_by_rows(tmp_path):
    texts = ["good fun", "bad plot", "really good", "really bad"] * 10
    data = Dataset.from_memory(texts, ["pos", "neg"] * 20)
    assert mixing().fit(data).predict(["good"]).tolist() == ["pos"]
    assert mixing().fit(texts, ["pos", "neg"] * 20).predict(data).shape == (40,)


def test_labels_that_are_integers_stay_integers(tmp_path):
    mixed = mixing().fit(written(tmp_path, 800, labels=(10, 9, 2)))
    assert mixed.classes_.tolist() == [2, 9, 10]
    assert mixed.score(scan(tmp_path / "rows.jsonl")) > 0.9


def test_regression_learns_numbers_of_a_file(tmp_path):
    data = written(tmp_path, 1500, labels=(1.5, 4.0))
    regressor = ParameterMixingRegressor(n_partitions=3, vectorizer=VECTORIZER).fit(data)
    assert regressor.score(data) > 0.1
    with pytest.raises(PlanError, match="is not a number"):
        ParameterMixingRegressor(n_partitions=3, vectorizer=VECTORIZER).fit(written(tmp_path))


def test_a_vectorizer_that_has_to_be_fitted_has_to_be_fitted_before(tmp_path):
    data = written(tmp_path, 400)
    with pytest.raises(SettingsError, match="must be fitted"):
        mixing(vectorizer=TfidfVectorizer()).fit(data)
    assert mixing(vectorizer=TfidfVectorizer().fit(WORDS)).fit(data).score(data) > 0.9


def test_what_cannot_be_read_is_refused(tmp_path):
    data = written(tmp_path)
    with pytest.raises(SchemaError, match="no vectorizer"):
        ParameterMixingClassifier().fit(data)
    with pytest.raises(SchemaError, match="contains its labels and weights"):
        mixing().fit(data, ["x"])
    with pytest.raises(SchemaError, match="no labels"):
        mixing().fit(scan(tmp_path / "rows.jsonl", text="text", labelled=False))
    with pytest.raises(SettingsError, match="without being read"):
        mixing(partitioning="stratified").fit(data)
    with pytest.raises(PlanError, match="only one class"):
        mixing().fit(written(tmp_path, 100, labels=("a",)))
