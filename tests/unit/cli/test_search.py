"""The commands search, watch and abort."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import manymill
from manymill import TextClassifier
from manymill.cli.app import app
from manymill.search.journal import ABORT_NAME
from manymill.search.running import DEFAULT_SPACES

ROWS = [
    {"text": f"good fun {n}" if n % 2 else f"bad plot {n}", "label": "pos" if n % 2 else "neg"}
    for n in range(80)
]
CONFIG = """
[data]
source = {source!r}
text = "text"
label = "label"

[estimator]
n_features = 4096
passes = 1

[space]
ngram_range = [[1, 1], [1, 2]]
l2 = {{ loguniform = [1e-8, 1e-4] }}

[search]
n_trials = 4
cv = 2
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = tmp_path / "search.toml"
    path.write_text(CONFIG.format(source=str(source)))
    return path


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_search_leaves_its_ranking_and_the_best_model(config, tmp_path):
    done = run("search", config, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    assert "(2/2)" in done.stdout
    assert "4 done" not in done.stdout
    assert TextClassifier.load(tmp_path / "run" / "model").predict(["good fun"]).tolist() == ["pos"]


def test_the_same_command_again_evaluates_nothing(config, tmp_path):
    first = run("search", config, "--out", tmp_path / "run", "--json")
    lines = (tmp_path / "run" / "search.jsonl").read_text().count("Evaluated")
    second = run("search", config, "--out", tmp_path / "run", "--json")
    assert second.stdout == first.stdout
    assert (tmp_path / "run" / "search.jsonl").read_text().count("Evaluated") == lines == 8


def test_what_the_command_says_goes_before_what_the_file_says(config, tmp_path):
    done = run("search", config, "--n-trials", 2, "--cv", 3, "--out", tmp_path / "run")
    assert len(done.stdout.splitlines()) == 2
    assert "(3/3)" in done.stdout


def test_files_are_searched_without_a_configuration(config, tmp_path):
    rows = config.parent / "rows.jsonl"
    done = run(
        "search", rows, "--label", "label", "--n-trials", 3, "--cv", 2, "--out", tmp_path / "run", "--json"
    )
    assert done.exit_code == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 3
    assert told[0]["params"].keys() == DEFAULT_SPACES["TextClassifier"].keys()


@pytest.mark.parametrize("kind", DEFAULT_SPACES)
def test_what_is_tried_where_nothing_is_said_can_be_tried(kind):
    estimator = getattr(manymill, kind)()
    assert DEFAULT_SPACES[kind].keys() <= estimator.get_params().keys()


def test_what_is_settled_is_not_searched(config, tmp_path):
    text = config.read_text().replace("passes = 1", 'loss = "hinge"\npasses = 1')
    config.write_text(text[: text.index("[space]")] + "[search]\nn_trials = 2\ncv = 2\n")
    done = run("search", config, "--out", tmp_path / "run", "--json")
    params = json.loads(done.stdout.splitlines()[0])["params"]
    assert not {"loss", "passes"} & params.keys()
    assert TextClassifier.load(tmp_path / "run" / "model").loss == "hinge"


def test_a_search_is_watched_from_its_journal(config, tmp_path):
    done = run("search", config, "--out", tmp_path / "run", "--json")
    watched = run("watch", tmp_path / "run", "--json")
    assert watched.exit_code == 0
    rows, seen = ([json.loads(line) for line in result.stdout.splitlines()] for result in (done, watched))
    assert [row["mean"] for row in rows] == [row["mean"] for row in seen]
    assert seen[0]["params"]["ngram_range"] in ("(1, 1)", "(1, 2)")
    assert "8 evaluations done, 0 failed; done" in run("watch", tmp_path / "run").stderr


def test_a_search_is_asked_to_end_by_a_file(config, tmp_path):
    run("search", config, "--out", tmp_path / "run")
    assert run("abort", tmp_path / "run").exit_code == 0
    assert (tmp_path / "run" / ABORT_NAME).exists()


def test_where_there_is_no_search_nothing_is_aborted(tmp_path):
    result = run("abort", tmp_path)
    assert result.exit_code != 0
    assert not list(tmp_path.glob(ABORT_NAME))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[data", "is no TOML"),
        ("[space]\nl2=[0]\n", r"[data] is missing"),
        ("[data]\n[space]\n", "[data] has no source"),
        ("[data]\nsource='x'\n[space]\n[other]\n", "no table [other]"),
        ("[data]\nsource='x'\n[space]\n[search]\ntrials=1\n", "[search] has no 'trials'"),
        ("[data]\nsource='x'\n[space]\nl2=[0]\n[estimator]\nkind='SVC'\n", "no estimator 'SVC'"),
        ("[data]\nsource='x'\n[space]\nl2=[0]\n[estimator]\ndepth=1\n", "depth"),
    ],
)
def test_a_file_that_asks_for_what_cannot_be_is_refused(tmp_path, text, told):
    path = Path(tmp_path / "search.toml")
    path.write_text(text)
    result = run("search", path, "--out", tmp_path / "run")
    assert result.exit_code != 0
    assert told in str(result.exception) + result.stderr
    assert not (tmp_path / "run").exists()
