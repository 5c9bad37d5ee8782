"""A damaged cache of hashed texts or tables never changes a result."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from manymill import PartitionedForestClassifier, scan
from manymill.cli.app import app
from manymill.data.table import encode_table
from manymill.hash_form import word_form
from manymill.search.hashed_corpus import HashedCorpus

COLUMNS = ["codes", "weights", "sizes", "keys", "hashes", "ends", "about.json"]
DAMAGES = ["zero", "flip", "cut", "empty", "delete"]


TEXTS = [f"w{n * n % 9} {'ab'[n % 2]}{n % 5}" for n in range(200)]
LABELS = ["ab"[n % 2] for n in range(200)]
CONFIG = """
[data]
source = "rows.jsonl"
[estimator]
n_features = 4096
passes = 1
[space]
l2 = [1e-8, 1e-6]
[search]
n_trials = 2
cv = 2
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The ranking and the model of a search, whose cache is there for the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("search"))
        patch.setenv("MANYMILL_CACHE", "cache")
        rows = ({"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True))
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        Path("search.toml").write_text(CONFIG)
        yield search("first")[0]


def search(run):
    done = CliRunner().invoke(app, ["search", "search.toml", "--out", run, "--json"])
    assert done.exit_code == 0, done.stderr
    ranking = [json.loads(line) for line in done.stdout.splitlines()]
    model = {path.name: path.read_bytes() for path in Path(run, "model").iterdir()}
    return ([{**row, "fit_seconds": None} for row in ranking], model), done.stderr


def damage(path, how):
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    if how == "zero":
        data[half:] = bytes(len(data) - half)
    elif how == "flip":
        data[half] ^= 4
    elif how == "cut":
        del data[half + 1 :]
    elif how == "empty":
        data.clear()
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate(len(data))
    if how == "delete":
        path.unlink()


@pytest.mark.parametrize(
    ("column", "how"),
    [("codes", "zero"), ("sizes", "flip"), ("hashes", "cut"), ("ends", "empty"), ("about.json", "delete")],
)
def test_the_ranking_and_the_model_of_a_search_are_the_same(expected, column, how):
    path = sorted(Path("cache").glob(f"hashed-texts/*/{column}"))[0]
    damage(path, how)
    found, messages = search(f"run-{column}")
    assert found == expected
    assert re.search("^warning hashed texts in .* are damaged .*made again$", messages, re.M)
    found, messages = search(f"again-{column}")
    assert found == expected
    assert "warning" not in messages


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("column", COLUMNS)
def test_hashed_texts_are_the_same(tmp_path, caplog, column, how):
    rows = "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)

    def content():
        with HashedCorpus.build(scan(tmp_path / "rows.csv"), folder=tmp_path / "cache", threads=1) as found:
            chunk = found.texts.chunk(word_form())
            return [np.array(x) for x in (found.y, found.texts.text_bytes(), found.texts.keys(), *chunk)]

    expected = content()
    path = sorted(tmp_path.glob(f"cache/*/{column}"))[0]
    before = path.read_bytes()
    damage(path, how)
    changed = not path.exists() or path.read_bytes() != before
    assert all(map(np.array_equal, content(), expected))
    assert ("made again" in caplog.text) == changed
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("column", ["X", "y", "about.json"])
def test_a_table_is_the_same(tmp_path, caplog, column, how):
    rows = "".join(f"{n},{n * n % 13},{'abc'[n % 3]}\n" for n in range(500))
    (tmp_path / "rows.csv").write_text("n,m,class\n" + rows)
    data = scan(tmp_path / "rows.csv", label="class")
    expected = encode_table(data, folder=tmp_path / "tables")
    X, labels = np.array(expected.X), np.array(expected.labels)
    damage(next((tmp_path / "tables").glob(f"*/{column}")), how)
    found = encode_table(data, folder=tmp_path / "tables")
    assert "made again" in caplog.text
    assert np.array_equal(found.X, X)
    assert np.array_equal(found.labels, labels)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_forest_tells_of_a_damaged_table_as_of_all_else_and_records_it(tmp_path, monkeypatch, as_json):
    monkeypatch.setenv("MANYMILL_CACHE", str(tmp_path / "cache"))
    rows = "".join(f"{n},{n * n % 13},{'abc'[n % 3]}\n" for n in range(90))
    (tmp_path / "rows.csv").write_text("n,m,class\n" + rows)
    options = ["--model", "forest", "--trees", "2", "--label", "class"]
    options += ["--json"] if as_json else []

    def grow(run):
        done = CliRunner().invoke(app, ["train", str(tmp_path / "rows.csv"), *options, "--out", str(run)])
        assert done.exit_code == 0, done.stderr
        return done

    grow(tmp_path / "first")
    damage(next(tmp_path.glob("cache/tables/*/X")), "flip")
    done = grow(tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    (recorded,) = (record["message"] for record in records if record["event"] == "Warned")
    assert "tables in" in recorded
    assert "made again" in recorded
    if as_json:
        shown = [json.loads(line) for line in done.stdout.splitlines()]
        assert recorded in [record.get("message") for record in shown]
        assert not done.stderr
    else:
        assert done.stderr.count(f"warning {recorded}\n") == 1


def test_a_forest_over_a_table_without_a_home_is_that_with_one(tmp_path, monkeypatch):
    rows = "".join(f"{n},{n * n % 13},{'abc'[n % 3]}\n" for n in range(90))
    (tmp_path / "rows.csv").write_text("n,m,class\n" + rows)
    data = scan(tmp_path / "rows.csv", label="class")
    found = []
    for home in (tmp_path / "caches", Path(os.devnull, "caches")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        forest = PartitionedForestClassifier(n_estimators=3, random_state=0).fit(data)
        found.append(forest.predict_proba(encode_table(data).X))
    assert np.array_equal(*found)
