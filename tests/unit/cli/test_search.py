"""The commands search, watch and abort."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

from manymill import TextClassifier
from manymill.cli.app import app
from manymill.search.handle import SearchHandle
from manymill.search.journal import ABORT_NAME
from manymill.search.run import DEFAULT_SPACES

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
    candidates = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(candidates) == 3
    assert candidates[0]["params"].keys() == DEFAULT_SPACES["TextClassifier"][0].keys()


def test_the_default_search_says_that_nothing_is_better_than_the_recipe(config, tmp_path):
    rows = config.parent / "rows.jsonl"
    done = run("search", rows, "--n-trials", 2, "--cv", 2, "--out", tmp_path / "run")
    assert "recipe  nothing is better than the default recipe\n" in done.stderr


def test_a_search_of_a_given_space_says_nothing_about_the_recipe(config, tmp_path):
    assert "recipe" not in run("search", config, "--out", tmp_path / "run").stderr


def test_what_is_settled_is_not_searched(config, tmp_path):
    text = config.read_text().replace("passes = 1", 'loss = "hinge"\npasses = 1')
    config.write_text(text[: text.index("[space]")] + "[search]\nn_trials = 2\ncv = 2\n")
    done = run("search", config, "--out", tmp_path / "run", "--json")
    params = json.loads(done.stdout.splitlines()[0])["params"]
    assert "feature_weights" in params
    assert not {"loss", "passes"} & params.keys()
    assert TextClassifier.load(tmp_path / "run" / "model").loss == "hinge"


def test_a_search_is_watched_from_its_journal(config, tmp_path):
    done = run("search", config, "--out", tmp_path / "run", "--json")
    watched = run("watch", tmp_path / "run", "--json")
    assert watched.exit_code == 0
    assert watched.stdout == done.stdout
    assert "8 evaluations done, 0 failed; done" in run("watch", tmp_path / "run").stderr


def test_a_search_that_was_killed_is_told_from_one_that_runs(config, tmp_path):
    run("search", config, "--out", tmp_path / "run")
    journal = tmp_path / "run" / "search.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:5]))
    assert "no process runs it: the same command resumes it" in run("watch", tmp_path / "run").stderr
    with FileLock(tmp_path / "run" / ".lock"):
        assert "no process" not in run("watch", tmp_path / "run").stderr


def test_a_search_is_asked_to_end_by_a_file(config, tmp_path):
    run("search", config, "--out", tmp_path / "run")
    assert "nothing to stop" in run("abort", tmp_path / "run").stderr
    with FileLock(tmp_path / "run" / ".lock"):
        done = run("abort", tmp_path / "run")
    assert (done.exit_code, "will stop" in done.stderr) == (0, True)
    assert (tmp_path / "run" / ABORT_NAME).exists()


def test_where_there_is_no_search_nothing_is_aborted(tmp_path):
    result = run("abort", tmp_path)
    assert result.exit_code != 0
    assert not list(tmp_path.glob(ABORT_NAME))


def test_a_search_writes_over_no_model_of_a_training(config, tmp_path):
    out = tmp_path / "run"
    source = tmp_path / "rows.jsonl"
    assert run("train", source, "--text", "text", "--label", "label", "--out", out).exit_code == 0
    before = (out / "model" / "model.json").read_bytes()
    result = run("search", config, "--out", out)
    assert "is the folder of a 'run'" in str(result.exception)
    assert (out / "model" / "model.json").read_bytes() == before


def test_an_interrupted_search_tells_its_ranking_and_fits_nothing_more(config, tmp_path, monkeypatch):
    ends_within, asked = SearchHandle.ends_within, []

    def interrupted(handle, seconds):
        asked.append(seconds)
        ends_within(handle, None)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(SearchHandle, "ends_within", interrupted)
    result = run("search", config, "--out", tmp_path / "run")
    assert result.exit_code != 0
    assert len(result.stdout.splitlines()) == 4
    assert not (tmp_path / "run" / "model").exists()


def test_why_evaluations_failed_is_told(config, tmp_path):
    config.write_text(config.read_text().replace("l2 = {", 'loss = ["log", "logg"]\nl2 = {'))
    result = run("search", config, "--out", tmp_path / "run")
    assert result.exit_code == 0
    assert "evaluations failed, such as {" in result.stderr
    assert "loss='logg' is invalid" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data", "is not valid TOML"),
        ("[space]\nl2=[0]\n", r"[data] is missing"),
        ("[data]\n[space]\n", "source is missing from [data]"),
        ("[data]\nsource='x'\n[space]\n[other]\n", "unknown table [other]"),
        ("[data]\nsource='x'\n[space]\n[search]\ntrials=1\n", "unknown key 'trials' in [search]"),
        (
            "[data]\nsource='x'\n[space]\nl2=[0]\n[estimator]\nkind='SVC'\n",
            "kind='SVC' is invalid: expected 'TextClassifier' or",
        ),
        ("[data]\nsource='x'\n[space]\nl2=[0]\n[estimator]\ndepth=1\n", "depth"),
        ("search=3\n[data]\nsource='x'\n[space]\n", "[search] is invalid: expected a table"),
        ("space=3\n[data]\nsource='x'\n", "[space] is invalid: expected a table"),
        ("[data]\nsource=3\n[space]\n", "[data] source = 3"),
        ("[data]\nsource='x'\ntext=1\n[space]\n", "[data] text = 1"),
        (
            "[data]\nsource='x'\nstrict='no'\n[space]\n",
            "[data] strict = 'no' is invalid: expected true or false",
        ),
        ("[data]\nsource='x'\n[space]\nlose=[0]\n", "did you mean 'loss'"),
        ("[data]\nsource='x'\n[space]\n[search]\ncv='two'\n", "[search] cv = 'two'"),
        ("[data]\nsource='x'\n[space]\n[search]\nn_trials=true\n", "[search] n_trials = True"),
        ("[data]\nsource='x'\n[space]\n[search]\nseconds='2'\n", "[search] seconds = '2'"),
        ("[data]\nsource='x'\n[space]\n[search]\nscoring='acuracy'\n", "did you mean 'accuracy'"),
        ("[data]\nsource='x'\n[space]\n[search]\nrandom_state=-1\n", "0 or more"),
    ],
)
def test_a_file_that_asks_for_what_cannot_be_is_refused(tmp_path, text, message):
    path = Path(tmp_path / "search.toml")
    path.write_text(text)
    result = run("search", path, "--out", tmp_path / "run")
    assert result.exit_code != 0
    assert message in str(result.exception) + result.stderr
    assert not (tmp_path / "run").exists()


def test_rows_that_were_left_out_are_told_by_a_search_and_the_next_one(config, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"text": "torn\n' + source.read_text())
    for name in ("one", "two"):
        result = run("search", config, "--out", tmp_path / name)
        assert "bad     1 of 81 records were skipped: 1 broken JSON" in result.stderr
        assert len(result.stdout.splitlines()) == 4


def test_settings_that_are_none_are_written_as_a_word(config, tmp_path):
    config.write_text(
        config.read_text().replace("l2 =", 'norm = ["none"]\nfeature_weights = ["nb", "none"]\nl2 =')
    )
    result = run("search", config, "--out", tmp_path / "run", "--json")
    params = [json.loads(line)["params"] for line in result.stdout.splitlines()]
    assert {row["norm"] for row in params} == {None}
    assert {row["feature_weights"] for row in params} <= {None, "nb"}
    assert "failed" not in result.stderr


def test_more_splits_than_rows_are_refused(config, tmp_path):
    config.write_text(config.read_text().replace("cv = 2", "cv = 100"))
    result = run("search", config, "--out", tmp_path / "run")
    assert "cv=100 is invalid" in str(result.exception)


def test_a_configuration_stands_alone(config, tmp_path):
    result = run("search", config, tmp_path / "rows.jsonl", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "give either one TOML file" in result.stderr


def test_a_search_reads_files_as_its_options_say_and_leaves_the_rest_to_the_configuration(config, tmp_path):
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes()))
    result = run("search", packed, "--out", tmp_path / "run", "--max-decompressed", "1KB")
    assert "decompresses to more than 1,000 bytes" in str(result.exception)
    (tmp_path / "rows.jsonl").write_text('{"text": "torn\n' + (tmp_path / "rows.jsonl").read_text())
    config.write_text(config.read_text().replace("[data]", "[data]\nstrict = true"))
    assert "invalid JSON" in str(run("search", config, "--out", tmp_path / "run").exception)
    short = run("search", config, "--out", tmp_path / "run", "--max-record", "10")
    assert "record too long" in str(short.exception)
