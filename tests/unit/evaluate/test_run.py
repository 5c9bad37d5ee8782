import json
from dataclasses import replace

import numpy as np
import pytest

from manymill import _core
from manymill.data.dataset import scan
from manymill.errors import PlanError, SchemaError
from manymill.evaluate import evaluate
from manymill.hash_form import word_form
from manymill.metrics import Reliability
from manymill.model import Analyzer, LinearModel, choose_classes, probabilities


def make_model(classes=("a", "b", "c"), loss="log"):
    analyzer = Analyzer(**vars(word_form()), value="log", norm="l2", n_features=256)
    n_outputs = 1 if len(classes) == 2 else len(classes)
    numbers = np.float32(np.random.default_rng(0).normal(size=(257, n_outputs)))
    return LinearModel(
        classes=classes, loss=loss, analyzer=analyzer, weights=numbers[:-1], intercept=numbers[-1]
    )


def make_rows(n, labels="abc"):
    rng = np.random.default_rng(1)
    return [{"text": f"w{i} w{i % 11}", "label": labels[rng.integers(len(labels))]} for i in range(n)]


@pytest.fixture
def plan(tmp_path):
    def make(rows, **reading):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return scan(path, text="text", label="label", **reading).plan(block_bytes=1000)

    return make


def scores_of(model, rows):
    analyzer = model.analyzer
    hashed = _core.Hasher().hash_strings([row["text"] for row in rows])
    made = hashed.to_rows(analyzer.n_features, value=analyzer.value, norm=analyzer.norm)
    return _core.score_rows(made, model.weights, model.intercept)


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_the_metrics_are_those_of_scikit_learn_on_the_same_rows(plan, classes):
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    model, rows = make_model(classes), make_rows(300, classes)
    scores, labels = scores_of(model, rows), [row["label"] for row in rows]
    chosen = np.array(classes)[choose_classes(scores)]
    result = evaluate(model, plan(rows), threads=2).metrics
    assert result.accuracy == pytest.approx(accuracy_score(labels, chosen))
    assert result.macro_f1 == pytest.approx(f1_score(labels, chosen, average="macro"))
    given = probabilities(scores, "softmax")
    assert result.log_loss == pytest.approx(log_loss(labels, given, labels=classes), abs=1e-8)


def test_the_result_is_the_same_for_any_number_of_threads(plan):
    model, the_plan = make_model(), plan(make_rows(500, "abcd"))
    one, many = (evaluate(model, the_plan, threads=threads).to_json() for threads in (1, 5))
    assert one == many


def test_thousands_of_outputs_are_counted_in_pieces(plan, monkeypatch):
    model, the_plan = make_model(), plan(make_rows(100, "abcd"))
    whole = evaluate(model, the_plan, threads=1).to_json()
    monkeypatch.setattr("manymill.scoring.MAX_SCORES", 10)
    assert evaluate(model, the_plan, threads=2).to_json() == whole


def test_rows_with_an_unknown_label_count_as_wrong_and_are_listed(plan):
    rows = make_rows(50)
    known = evaluate(make_model(), plan(rows), threads=1).metrics
    strange = [{"text": "w1", "label": "zebra"}] * 10
    result = evaluate(make_model(), plan(rows + strange), threads=1)
    assert result.metrics.n_correct == known.n_correct
    assert (result.metrics.n_rows, result.metrics.unknown_labels) == (60, {"zebra": 10})
    assert "zebra (10)" in result.to_text()


def test_integer_classes_meet_the_labels_of_files(plan):
    rows = [{**row, "label": int(row["label"] == "a")} for row in make_rows(40)]
    assert evaluate(make_model((0, 1)), plan(rows), threads=1).metrics.n_unknown == 0


def test_probabilities_are_judged_with_the_models_temperature(plan):
    rows, cold = make_rows(300), make_model()
    warm = replace(cold, temperature=3.0)
    codes = np.array([cold.classes.index(row["label"]) for row in rows])
    result = evaluate(warm, plan(rows), threads=2)
    given = probabilities(scores_of(cold, rows), "softmax", 3.0)
    assert result.metrics.calibration_error == Reliability.from_probabilities(given, codes).error
    assert result.metrics.log_loss == pytest.approx(-np.log(given[np.arange(300), codes]).mean(), abs=1e-8)
    assert "ECE" in result.to_text()


def test_a_loss_without_probabilities_has_no_log_loss(plan):
    result = evaluate(make_model(loss="hinge"), plan(make_rows(20)), threads=1)
    assert result.metrics.log_loss is None
    assert "log loss" not in result.to_text()


def test_bad_rows_are_told_and_in_no_metric(plan):
    result = evaluate(make_model(), plan([*make_rows(20), {"text": 5, "label": "a"}]), threads=1)
    assert result.metrics.n_rows == 20
    assert sum(result.bad_counts.values()) == 1
    assert "1 record" in result.to_text()


def test_rows_without_labels_cannot_be_evaluated(plan, tmp_path):
    plan(make_rows(3))
    unlabelled = scan(tmp_path / "rows.jsonl", text="text", labelled=False).plan()
    with pytest.raises(SchemaError, match="no labels"):
        evaluate(make_model(), unlabelled, threads=1)


def test_no_row_at_all_is_an_error_that_says_why(plan, monkeypatch):
    the_plan = plan([*make_rows(1)])
    monkeypatch.setattr("manymill.evaluate.run.read", lambda *args, **kwargs: iter(()))
    with pytest.raises(PlanError, match="there are no rows to evaluate"):
        evaluate(make_model(), the_plan, threads=1)


def test_json_of_an_evaluation_is_strict_json(plan):
    content = evaluate(make_model(), plan(make_rows(30, "abz")), threads=1).to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert np.sum(content["confusion_matrix"]) == content["n_rows"] - content["n_unknown"]
    assert [row["label"] for row in content["classes"]] == ["a", "b", "c"]
