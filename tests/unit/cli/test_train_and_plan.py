"""The commands `train` and `plan` as a shell sees them: output, messages, exit codes."""

import json
import subprocess
import sys

import click
import pytest

from manymill.cli.options import Size
from manymill.cli.training_options import ClassWeightsType, ShareOrFile

FAST = ["--n-features", "4096", "--passes", "2"]


@pytest.fixture
def films(tmp_path):
    path = tmp_path / "films.jsonl"
    lines = [
        {"body": f"film {i} {('good', 'bad')[i % 2]}", "stars": ("pos", "neg")[i % 2]} for i in range(400)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(autouse=True)
def working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_train_tells_people_on_stderr_what_was_read_guessed_learnt_and_saved(manymill, films):
    code, output, messages = manymill("train", films, "--out", "run", "--holdout", "0.2", *FAST)
    assert (code, output) == (0, "")
    starts = [line.split()[0] for line in messages.splitlines()]
    assert (starts[0], starts[-3:]) == ("read", ["done", "saved", "next"])
    assert "text=body label=stars" in messages
    assert "held-out accuracy 1.0000" in messages


@pytest.mark.parametrize("options", [[], ["--lanes", "2", "--merge", "damped"]], ids=["one lane", "lanes"])
def test_train_holds_out_the_last_rows_of_a_file_and_of_the_standard_input(films, options):
    # Records of one length. In the last tenth the words mean the contrary, and none of it is learnt.
    words, labels = ("good", "evil"), ("pos", "neg")
    rows = [(words[i % 2], labels[(i % 2) ^ (i >= 360)]) for i in range(400)]
    data = "".join(json.dumps({"body": word, "stars": label}) + "\n" for word, label in rows)
    films.write_text(data)
    for source in (films, "-"):
        command = [sys.executable, "-m", "manymill", "train", source, "--out", films.with_name("run")]
        command += ["--holdout-tail", "0.1", *options, *FAST]
        done = subprocess.run(command, input=data.encode(), capture_output=True, check=True)
        assert b"held-out 0.0000 of 40 rows" in done.stderr


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["映画は面白かった", "つまらない映画"], "100 % of the letters are of scripts without spaces"),
        (["good film", "映画は面白かった"], "50 % of the letters are of scripts without spaces"),
        (["good film", "bad film"], ""),
    ],
    ids=["Japanese", "half", "English"],
)
def test_plan_and_train_tell_how_much_of_the_text_has_no_spaces_between_words(manymill, films, texts, shown):
    rows = [{"body": texts[i % 2], "stars": ("pos", "neg")[i % 2]} for i in range(40)]
    films.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, planned, _ = manymill("plan", films, *FAST)
    _, _, messages = manymill("train", films, "--out", "run", *FAST)
    lines = [line for line in planned.splitlines() if line.startswith("text ")]
    if shown:
        assert [line.removeprefix("text    ").startswith(shown) for line in lines] == [True]
        assert f"\n        {shown} between words: features of 1 to 3 characters\n" in messages
    else:
        assert not lines
        assert "scripts" not in messages


@pytest.mark.parametrize(
    "options",
    [["--lanes", 2], ["--lanes", 2, "--engine", 2], ["--engine", "processes"], ["--model", "forest"]],
)
def test_a_limit_to_the_silence_of_workers_is_refused_where_nobody_watches_workers(manymill, films, options):
    code, _, messages = manymill("train", films, *options, "--stall-seconds", 60)
    assert code == 2
    assert "--stall-seconds has no effect" in messages


@pytest.mark.parametrize("options", [["--engine", "processes:2"], ["--engine", "threads"], ["--workers", 2]])
def test_an_engine_is_refused_where_one_lane_learns(manymill, films, tmp_path, options):
    code, _, messages = manymill("train", films, "--out", "run", *FAST, *options)
    assert code == 2
    assert "without several lanes" in messages
    assert "--lanes" in messages
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "plan"])
@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (["--rounds", 3], "--lanes"),
        (["--merge", "damped"], "--lanes"),
        (["--contiguous"], "--lanes"),
    ],
)
def test_an_option_is_refused_without_the_one_that_it_needs(manymill, films, command, options, needed):
    code, _, messages = manymill(command, films, *options)
    assert code == 2
    assert f"{options[0]}" in messages
    assert f"has no effect without {needed}" in messages


@pytest.mark.parametrize(
    "options",
    [["--partitions", 3], ["--threads", 2, "--engine", "processes:2"], ["--threads", 2, "--workers", 2]],
)
def test_a_forest_refuses_options_without_effect(manymill, films, options):
    code, _, messages = manymill("train", films, "--model", "forest", *options)
    assert code == 2
    assert f"{options[0]} has no effect" in messages


@pytest.mark.parametrize("command", [["resume", "run"], ["search", "films.jsonl", "--out", "run"]])
def test_other_commands_refuse_it_too(manymill, films, command):
    code, _, messages = manymill(*command, "--stall-seconds", 60)
    assert code == 2
    assert "--stall-seconds has no effect on threads" in messages


def test_train_writes_json_records_to_stdout_and_nothing_else(manymill, films, tmp_path):
    code, output, messages = manymill("train", films, "--out", "run", "--json", *FAST)
    records = [json.loads(line) for line in output.splitlines()]
    assert (code, messages) == (0, "")
    assert [record["event"] for record in records if record["event"] != "Progress"] == [
        "Planned", "FeaturesCounted", "PassEnded", "ModelSaved", "PassEnded", "Ended",
    ]  # fmt: skip
    stored = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    checked = [{**record, "time": None, "check": None} for record in stored]
    assert [{**record, "time": None, "check": None} for record in records] == checked


def test_train_tells_of_bad_rows_where_they_are_listed(manymill, films, tmp_path):
    films.write_text(films.read_text() + "no JSON\n")
    _, _, messages = manymill("train", films, "--out", "run", *FAST)
    assert "invalid JSON" in messages
    listed = [json.loads(line) for line in (tmp_path / "run" / "bad_rows.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in listed] == ["broken JSON"]


def test_plan_tells_what_a_training_needs_and_makes_nothing(manymill, films, tmp_path):
    code, output, messages = manymill("plan", films, *FAST)
    assert (code, messages) == (0, "")
    assert "1 file, jsonl" in output
    assert "400 rows" in output
    assert "classes 2: " in output
    assert "neg 50 %" in output
    assert "memory  " in output
    assert list(tmp_path.iterdir()) == [films]


def test_plan_as_json_is_one_record(manymill, films):
    _, output, _ = manymill("plan", films, "--json", "--seed", "7", *FAST)
    record = json.loads(output)
    assert record["plan"]["class_counts"] == {"pos": 200, "neg": 200}
    assert (record["settings"]["seed"], record["settings"]["passes"]) == (7, 2)
    assert record["refusal"] is None


def test_classes_that_are_named_are_planned_for_and_in_the_model(manymill, films, tmp_path):
    films.write_text(films.read_text() + '{"body": "neither", "stars": "unsup"}\n')
    _, output, _ = manymill("plan", films, "--json", "--classes", "pos,neg,none", *FAST)
    assert json.loads(output)["plan"]["class_counts"] == {"neg": 200, "none": 0, "pos": 200}
    manymill("train", films, "--out", "run", "--classes", "pos,neg,none", "--strict", *FAST)
    model = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert model["classes"] == ["neg", "none", "pos"]


def test_an_empty_list_of_classes_is_refused(manymill, films):
    code, _, messages = manymill("plan", films, "--classes", "", *FAST)
    assert code != 0
    assert "--classes= is invalid: expected one or more labels" in messages


def test_plan_fails_where_a_training_would_not_start_and_says_what_would_do(manymill, films):
    code, output, messages = manymill("plan", films, "--memory", "200MB", "--n-features", 2**28)
    assert code == 1
    assert "model 2.2 GB" in output
    assert "the limit is 200 MB" in messages
    assert "hint:  --n-features " in messages


def test_plan_and_train_take_the_same_options(manymill):
    def options(command):
        lines = manymill(command, "--help")[1].splitlines()
        return {line.split()[0] for line in lines if line.startswith("  --")}

    of_forests = {"--model", "--task", "--trees", "--mode", "--partitions", "--max-bytes"}
    assert (
        options("train") - options("plan")
        == {"--out", "--engine", "--workers", "--stall-seconds"} | of_forests
    )
    assert options("plan") <= options("train")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "FILES"),
        (["FILMS", "--loss", "huber"], 2, "huber"),
        (["FILMS", "--memory", "much"], 2, "--memory=much is invalid"),
        (["FILMS", "--class-weight", "heavy"], 2, "weights by label"),
        (["FILMS", "--threads", "0"], 2, "threads"),
        (["FILMS", "--no-such-option"], 2, "no-such-option"),
        (["FILMS", "--passes", "0"], 2, "--passes=0 is invalid"),
        (["FILMS", "--patience", "0"], 2, "--patience=0 is invalid"),
        (["FILMS", "--holdout", "0.9"], 2, "--holdout=0.9 is invalid"),
        (["FILMS", "--holdout-tail", "0"], 2, "--holdout-tail=0 is invalid: expected a share above 0"),
        (["FILMS", "--holdout-tail", "0.6"], 2, "--holdout-tail=0.6 is invalid: expected a share above 0"),
        (["FILMS", "--holdout-tail", "rows.csv"], 2, "--holdout-tail=rows.csv is invalid"),
        (
            ["FILMS", "--holdout", "0.1", "--holdout-tail", "0.2"],
            2,
            "--holdout-tail=0.2 is invalid: expected rows",
        ),
        (
            ["FILMS", "--holdout", "h.csv", "--holdout-tail", "0.2"],
            2,
            "--holdout-tail=0.2 is invalid: expected rows",
        ),
        (["FILMS", "--model", "forest", "--holdout-tail", "0.2"], 2, "--holdout-tail does not apply to"),
        (["FILMS", "--n-features", "0"], 2, "--n-features=0 is invalid"),
        (["FILMS", "--ngram-range", "2", "1"], 2, "--ngram-range 2 1 is invalid"),
        (["FILMS", "--l1", "-1"], 2, "--l1=-1 is invalid"),
        (["FILMS", "--l2", "nan"], 2, "--l2=nan is invalid"),
        (["FILMS", "--learning-rate", "0"], 2, "--learning-rate=0 is invalid"),
        (["FILMS", "--seed", "-1"], 2, "--seed=-1 is invalid"),
        (["FILMS", "--window", "0"], 2, "1 byte or more"),
        (["FILMS", "--format", "xml"], 2, "xml"),
        (["FILMS", "--encoding", "no-such"], 2, "no-such"),
        (["FILMS", "--passes", "x"], 2, "--passes=x is invalid: expected an integer"),
        (["FILMS", "--threads=0"], 2, "--threads=0 is invalid: expected an integer of 1 or more"),
        (["FILMS", "--merge", "rows"], 2, "--merge=rows is invalid: expected 'auto', "),
        (
            ["FILMS", "--stall-seconds", "x"],
            2,
            "--stall-seconds=x is invalid: expected a number of 1 or more",
        ),
        (["FILMS", "--n-features", "0"], 2, "expected an integer from 1 to 2^30\n"),
        (["FILMS", "--class-weight", "pos"], 2, "--class-weight=pos is invalid: expected 'balanced', "),
        (["FILMS", "--model", "forest", "--seed", str(2**32)], 2, f"--seed={2**32} is invalid"),
        (["FILMS", "--class-weight", "pos=-1"], 2, "--class-weight=pos=-1 is invalid"),
        (["FILMS", "--label", "genre"], 1, "genre"),
        (["missing.jsonl"], 1, "missing.jsonl"),
    ],
    ids=str,
)
def test_failures_have_their_exit_code_and_a_message_without_a_traceback(
    manymill, films, arguments, code, message
):
    found, output, messages = manymill("train", *[films if a == "FILMS" else a for a in arguments])
    assert (found, output) == (code, "")
    assert message in messages
    assert "Traceback" not in messages


@pytest.mark.parametrize("engine", ["spark", "processes:0", "0", "-3"])
def test_an_unknown_engine_is_an_invalid_option_before_a_folder_is_made(manymill, films, tmp_path, engine):
    code, _, messages = manymill("train", films, "--out", "run", "--lanes", "2", "--engine", engine, *FAST)
    assert code == 2
    assert f"error: --engine={engine} is invalid: expected threads, " in messages
    assert not (tmp_path / "run").exists()


def test_a_weight_for_a_label_that_no_row_has_is_warned_of(manymill, films):
    _, _, messages = manymill("train", films, "--out", "run", "--class-weight", "pos=2,nge=1", *FAST)
    assert messages.count("warning --class-weight names labels without rows: 'nge'\n") == 1


def test_ctrl_c_is_exit_code_130_with_a_model(manymill, films, tmp_path, monkeypatch):
    from manymill.linear.row_stream import Lane

    lessons = Lane.feature_batches

    def broken(self, number, skip=0):
        if number == 1:
            raise KeyboardInterrupt
        return lessons(self, number, skip)

    monkeypatch.setattr(Lane, "feature_batches", broken)
    code, _, messages = manymill("train", films, "--out", "run", *FAST)
    assert code == 130
    assert messages.splitlines()[-1] == "stopped"
    assert (tmp_path / "run" / "model" / "model.json").exists()


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("2GB", 2 * 10**9),
        ("512 MiB", 512 << 20),
        ("1500", 1500),
        ("1.5k", 1500),
        ("10b", 10),
        ("3T", 3 * 10**12),
    ],
)
def test_a_size_is_read_with_its_unit(text, n_bytes):
    assert Size().convert(text, None, None) == n_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1", "1e9", "2 iB", "2GBs", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(click.BadParameter, match="such as 2GB"):
        Size().convert(text, None, None)


def test_weights_by_label_may_have_an_equals_sign_in_the_label():
    assert ClassWeightsType().convert("a=b=2, c=0.5", None, None) == {"a=b": 2.0, "c": 0.5}
    assert ClassWeightsType().convert("balanced", None, None) == "balanced"


def test_held_out_rows_are_a_share_or_a_file():
    assert ShareOrFile().convert("0.1", None, None) == 0.1
    assert ShareOrFile().convert("valid.jsonl", None, None) == "valid.jsonl"


@pytest.mark.parametrize("kind", ["nb", "idf"])
def test_features_are_weighed_from_training_to_prediction(manymill, films, kind):
    code, _, _ = manymill("train", films, "--out", "run", "--feature-weights", kind, *FAST)
    assert code == 0
    code, output, _ = manymill("evaluate", "run", films, "--json")
    assert (code, json.loads(output)["accuracy"]) == (0, 1.0)
    code, output, _ = manymill("plan", films, "--feature-weights", kind, "--json", *FAST)
    assert json.loads(output)["settings"]["feature_weights"] == kind
