"""The commands on forests: train, evaluate and predict tables."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, log_loss, r2_score

from manymill import load_forest

X, Y = make_classification(600, 6, n_informative=4, n_classes=3, random_state=0)
NAMES = np.array(["ash", "birch", "cedar"])[Y]
COLUMNS = {f"x{place}": column.astype("f4") for place, column in enumerate(X.T)}
TABLE = pa.table({**COLUMNS, "soil": np.array(["clay", "sand"])[Y % 2], "tree": NAMES, "height": X[:, 0] * 3})
TRAINED, UNSEEN = TABLE.slice(0, 400), TABLE.slice(400)


@pytest.fixture(autouse=True)
def own_tables(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def files(tmp_path):
    parquet.write_table(TRAINED, tmp_path / "train.parquet")
    parquet.write_table(UNSEEN, tmp_path / "test.parquet")
    csv.write_csv(UNSEEN, tmp_path / "test.csv")
    return tmp_path


@pytest.fixture
def run(manymill, files):
    """A run folder with a forest of the column `tree`."""
    options = ["--model", "forest", "--label", "tree", "--trees", 20, "--out", files / "run"]
    code, _, messages = manymill("train", files / "train.parquet", *options)
    assert code == 0, messages
    return files / "run"


def test_a_killed_forest_is_watched_with_the_command_that_resumes_it(run, manymill):
    events = run / "events.jsonl"
    events.write_text(
        "".join(line for line in events.read_text().splitlines(keepends=True) if "ForestGrown" not in line)
    )
    assert manymill("watch", run)[2].endswith("stopped: the same train command resumes it\n")


def truth_and_predictions(output):
    rows = [json.loads(line) for line in output.splitlines()]
    return rows, [row["label"] for row in rows]


def test_training_leaves_a_run_folder_with_an_ordinary_forest(run):
    forest = load_forest(run / "model")
    assert len(forest.estimators_) == 20
    assert sorted(path.name for path in run.iterdir() if path.name[0] != ".") == [
        "events.jsonl", "model", "plan.json",
    ]  # fmt: skip
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert events.count("TreeGrown") == 20


@pytest.mark.parametrize("name", ["test.parquet", "test.csv"])
def test_evaluation_is_that_of_the_predictions(manymill, run, files, name):
    _, figures, _ = manymill("evaluate", run, files / name, "--json")
    code, output, _ = manymill("predict", run, files / name, "--probabilities")
    rows, labels = truth_and_predictions(output)
    true = UNSEEN["tree"].to_pylist()
    figures = json.loads(figures)
    assert code == 0
    assert figures["accuracy"] == pytest.approx(accuracy_score(true, labels))
    given = [[row[f"probability_{name}"] for name in ("ash", "birch", "cedar")] for row in rows]
    assert figures["log_loss"] == pytest.approx(log_loss(true, given), rel=1e-4)
    assert figures["accuracy"] > 0.7


def test_evaluation_prints_tables_and_needs_a_label(manymill, run, files):
    code, output, _ = manymill("evaluate", run, files / "test.csv")
    assert code == 0
    assert output.startswith("rows      200\naccuracy  0.")
    code, _, messages = manymill("evaluate", run, files / "test.csv", "--label", "nothing")
    assert (code, "no column 'nothing'" in messages) == (1, True)


def test_predictions_are_parts_that_are_skipped_the_next_time(manymill, run, files):
    inputs = [files / "test.parquet", files / "test.csv", "--out", files / "out", "--json"]
    code, first, _ = manymill("predict", run, *inputs[:1], *inputs[2:])
    assert code == 0
    assert json.loads(first)["n_rows"] == 200
    assert parquet.read_table(files / "out" / "test.parquet").num_rows == 200
    _, again, _ = manymill("predict", run, *inputs[:1], *inputs[2:])
    assert json.loads(again)["skipped"] is True


def test_values_are_learnt_evaluated_and_predicted(manymill, files):
    options = ["--model", "forest", "--label", "height", "--task", "regression", "--trees", 20]
    code, _, messages = manymill("train", files / "train.parquet", *options, "--out", files / "run")
    assert code == 0, messages
    _, output, _ = manymill("predict", files / "run", files / "test.csv")
    _, figures, _ = manymill("evaluate", files / "run", files / "test.csv", "--json")
    values = [json.loads(line)["value"] for line in output.splitlines()]
    expected = r2_score(UNSEEN["height"].to_numpy(), values)
    assert json.loads(figures)["r2"] == pytest.approx(expected, abs=1e-5)
    assert expected > 0.9


def test_a_size_is_kept_and_partitions_are_scored_on_rows_held_out(manymill, files):
    options = ["--model", "forest", "--label", "tree", "--trees", 8, "--mode", "partitions"]
    options += ["--partitions", 2, "--max-bytes", "20kB", "--holdout", files / "test.csv"]
    code, _, messages = manymill("train", files / "train.parquet", *options, "--out", files / "run")
    assert code == 0, messages
    nodes = next((files / "run" / "model").glob("nodes-*"))
    assert nodes.stat().st_size <= 20_000
    assert "held-out score" in messages
    assert "2 partitions alone" in messages


def test_another_kind_of_model_is_not_written_over(manymill, run, files):
    (files / "rows.jsonl").write_text('{"text": "a b", "label": "x"}\n{"text": "c", "label": "y"}\n' * 9)
    code, _, messages = manymill("train", files / "rows.jsonl", "--out", run, "--n-features", 64)
    assert (code, "contains a forest" in messages) == (1, True)
    manymill("train", files / "rows.jsonl", "--out", files / "linear", "--n-features", 64)
    code, _, messages = manymill(
        "train", files / "train.parquet", "--model", "forest", "--label", "tree", "--out", files / "linear"
    )
    assert (code, "contains a linear model" in messages) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "train.parquet", "--model", "forest"], 1, "the target column is not set"),
        (["train", "train.parquet", "--model", "forest", "--label", "none"], 1, "no column 'none'"),
        (["train", "train.parquet", "--model", "forest", "--label", "tree", "--lanes", "2"], 2, "--lanes"),
        (["resume", "run"], 1, "repeat its train command"),
        (["train", "train.parquet", "--label", "tree", "--trees", "2"], 2, "--trees does not apply"),
        (["predict", "run", "test.csv", "--scores"], 1, "--probabilities"),
        (["predict", "run", "test.csv", "--text", "x0"], 2, "--text"),
        (["predict", "run", "lacking.csv"], 1, "no column 'x1'"),
        (["evaluate", "run", "wrong.csv"], 1, "'many'"),
    ],
)
def test_failures_say_what_is_wrong(manymill, run, files, monkeypatch, arguments, code, message):
    monkeypatch.chdir(files)
    (files / "lacking.csv").write_text("x0,tree\n1,ash\n")
    names = ",".join(TABLE.schema.names)
    (files / "wrong.csv").write_text(f"{names}\nmany,1,1,1,1,1,clay,ash,3\n")
    found, output, messages = manymill(*arguments)
    assert (found, output) == (code, ""), messages
    assert message in messages
    assert "Traceback" not in messages


def test_a_forest_grown_on_a_matrix_is_refused_with_the_way_out(manymill, run, files):
    from manymill import save_forest

    save_forest(files / "matrix", load_forest(run / "model"))
    code, _, messages = manymill("predict", files / "matrix", files / "test.csv")
    assert (code, "has no column names" in messages) == (1, True)
