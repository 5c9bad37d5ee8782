"""The commands `evaluate` and `predict` as a shell sees them: output, messages, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from manymill.hash_form import word_form
from manymill.model import Analyzer, ModelDescription, save_model

N_FEATURES = 2**12
COMMAND = [sys.executable, "-c", "from manymill.cli import main; main()"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run folder with a model trained on other columns than `text` and `label`."""
    analyzer = Analyzer(**vars(word_form()), value="log", norm="l2", n_features=N_FEATURES)
    facts = {"text_column": "body", "label_column": "stars"}
    description = ModelDescription(classes=("bad", "good"), loss="log", analyzer=analyzer, facts=facts)
    folder = tmp_path_factory.mktemp("run")
    weights = np.float32(np.random.default_rng(0).normal(size=(N_FEATURES, 1)))
    save_model(folder / "model", description, weights, np.zeros(1, "f4"))
    return folder


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"body": f"w{i} film", "stars": ("good", "bad")[i % 2], "text": 0} for i in range(200)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_evaluate_reads_the_columns_of_the_training_and_prints_tables(manymill, run_folder, rows):
    code, output, messages = manymill("evaluate", run_folder, rows)
    assert code == 0, messages
    assert output.startswith("rows      200\naccuracy  0.")


def test_evaluate_takes_a_model_folder_and_prints_json(manymill, run_folder, rows):
    _, output, _ = manymill("evaluate", run_folder / "model", rows, "--json")
    content = json.loads(output)
    assert content["n_rows"] == 200
    assert content["accuracy"] == pytest.approx(content["n_correct"] / 200)


def test_predict_writes_json_lines_to_stdout_and_nothing_else(manymill, run_folder, rows):
    code, output, _ = manymill("predict", run_folder, rows, "--probabilities")
    found = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert len(found) == 200
    assert all(row["probability_bad"] + row["probability_good"] == pytest.approx(1) for row in found)


def test_predict_writes_part_files_and_skips_them_next_time(manymill, run_folder, rows, tmp_path):
    out = tmp_path / "scores"
    code, output, _ = manymill("predict", run_folder, rows, "--out", out, "--to", "parquet")
    assert (code, output) == (0, "")
    assert parquet.read_table(out / "rows.parquet").num_rows == 200
    _, output, _ = manymill("predict", run_folder, rows, "--out", out, "--to", "parquet", "--json")
    assert json.loads(output)["skipped"] is True


def test_predict_ends_quietly_when_its_reader_has_gone(run_folder, tmp_path):
    path = tmp_path / "many.jsonl"
    path.write_text('{"body": "a film"}\n' * 100_000)
    command = [*COMMAND, "predict", str(run_folder), str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline().startswith('{"position": 0')
        process.stdout.close()
        messages = process.stderr.read()
    assert process.returncode == 141
    assert "Traceback" not in messages
    assert "BrokenPipe" not in messages


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "RUN/missing", "ROWS"], 1, "is not a model folder"),
        (["predict", "RUN", "ROWS.missing"], 1, "ROWS.missing"),
        (["predict", "RUN", "ROWS", "--text", "nothing"], 1, "nothing"),
        (["predict", "RUN", "ROWS", "--out", "ROWS"], 1, "cannot write"),
        (["evaluate", "RUN", "ROWS", "--label", "nothing"], 1, "nothing"),
        (["predict", "RUN", "ROWS", "--to", "parquet"], 2, "--out"),
        (["predict", "RUN"], 2, "FILES"),
    ],
)
def test_failures_have_their_exit_code_and_a_message_without_a_traceback(
    manymill, run_folder, rows, arguments, code, message
):
    places = {"RUN": str(run_folder), "ROWS": str(rows)}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
        message = message.replace(name, place)
    found, output, messages = manymill(*arguments)
    assert (found, output) == (code, "")
    assert Path(message).name in messages
    assert "Traceback" not in messages
