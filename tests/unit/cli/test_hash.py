"""The command `hash` as a shell sees it: output, messages, exit codes."""

import json

import numpy as np
import pytest
import scipy.sparse as sp


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"body": f"w{i} film", "stars": ("good", "bad")[i % 2]} for i in range(50)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_hash_writes_matrix_and_labels_and_says_how_fast_it_was(manymill, rows, tmp_path):
    code, output, messages = manymill("hash", rows, "--out", tmp_path / "X.npz", "--threads", 1)
    assert (code, output) == (0, "")
    assert "50 rows, 1,048,576 columns, 100 values" in messages
    assert "MB/s" in messages
    assert sp.load_npz(tmp_path / "X.npz").nnz == 100
    assert np.load(tmp_path / "X.labels.npy")[:2].tolist() == ["good", "bad"]


def test_options_are_parameters_of_the_vectorizer(manymill, rows, tmp_path):
    chosen = ["--n-features", 64, "--norm", "none", "--dtype", "float32", "--no-alternate-sign", "--binary"]
    manymill("hash", rows, "--out", tmp_path / "X.npz", "--no-labels", "--ngram-range", 1, 2, *chosen)
    X = sp.load_npz(tmp_path / "X.npz")
    assert (X.shape, X.dtype, set(X.data)) == ((50, 64), "float32", {1.0})
    assert not (tmp_path / "X.labels.npy").exists()


def test_json_is_one_record(manymill, rows, tmp_path):
    code, output, _ = manymill("hash", rows, "--out", tmp_path / "X.svm", "--svmlight", "--json")
    record = json.loads(output)
    assert code == 0
    assert (record["n_rows"], record["labels"]) == (50, str(tmp_path / "X.labels.json"))
    assert record["megabytes_per_second"] > 0


def test_texts_without_anything_like_a_label_are_hashed_all_the_same(manymill, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"w{i}"}) + "\n" for i in range(9)) + "no JSON\n")
    code, _, messages = manymill("hash", path, "--out", tmp_path / "X.npz")
    assert code == 0
    assert "No label column was found" in messages
    assert "1 bad records skipped: 1 broken JSON; see" in messages


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--svmlight", "--compressed"], 2),
        (["--label", "stars", "--no-labels"], 2),
        (["--n-features", 0], 2),
        (["--ngram-range", 2, 1], 2),
        (["--label", "nothing"], 1),
        (["--text", "nothing"], 1),
    ],
)
def test_what_cannot_be_is_refused(manymill, rows, tmp_path, arguments, code):
    assert manymill("hash", rows, "--out", tmp_path / "X.npz", *arguments)[0] == code
    assert not (tmp_path / "X.npz").exists()
