"""A training goes on from any of its checkpoints, to the same bytes."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from manymill import PartitionedForestClassifier, scan
from manymill.data.dataset import Dataset
from manymill.errors import RunFolderError, SourceError
from manymill.events import ClassesFound, RecipeChosen, Resumed, Warned
from manymill.linear import row_stream
from manymill.linear.checkpoints import Checkpoints
from manymill.linear.run import resume_run, train_run
from manymill.linear.settings import Settings
from manymill.model import load_model
from manymill.run_folder import RunFolder, read_plan
from manymill.storage import checked_json

ONE = Settings(n_features=2**12, passes=2, holdout=0.05, window_bytes=60_000)
MANY = replace(ONE, lanes=3, rounds_per_pass=2)
CHOICES = [
    {},
    {"recipe": "fast", "passes": 3},
    {"class_weight": "balanced", "feature_weights": "idf"},
    {"class_weight": "balanced", "l2": 1e-5, "l1": 1e-7},
    {"holdout": 0.0, "passes": 3},
    {"holdout": None, "holdout_tail": 0.05},
]


class Stop(BaseException):
    """As sudden as a kill."""


def model(folder):
    return {path.name: path.read_bytes() for path in (folder / "model").iterdir()}


@pytest.fixture
def source(write, languages):
    return write("some.jsonl", [*languages[:900], {"text": "no label"}, *languages[900:1500]])


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Gives the folder of a run, and copies of it as a kill after each of its checkpoints would leave it."""

    def begin(source, settings, **options):
        copies, save = [], Checkpoints.save

        def saving(self, *arguments):
            save(self, *arguments)
            copies.append(shutil.copytree(tmp_path / "run", tmp_path / f"killed-{len(copies)}"))

        with monkeypatch.context() as patched:
            patched.setattr(Checkpoints, "save", saving)
            run = train_run(source, tmp_path / "run", settings, checkpoint_seconds=0, **options)
        return run, copies

    return begin


@pytest.mark.parametrize("kept", [True, False], ids=["rows kept", "rows read again"])
@pytest.mark.parametrize("changes", CHOICES, ids=str)
@pytest.mark.parametrize("settings", [ONE, MANY], ids=["one lane", "lanes"])
def test_a_run_goes_on_from_any_checkpoint_to_the_same_bytes(
    source, stopped, monkeypatch, settings, changes, kept
):
    if not kept:
        monkeypatch.setattr(row_stream, "CACHE_BYTES", 0)
    run, copies = stopped(scan(source), replace(settings, **changes), threads=2)
    assert len(copies) >= (1 if kept and settings is ONE else 3)
    for copy in copies:
        events = []
        again = resume_run(copy, threads=1, observe=events.append, checkpoint_seconds=0)
        assert any(isinstance(event, Resumed) for event in events)
        assert model(copy) == model(run.folder)
        assert (again.ledger.n_read, again.ledger.n_rejected) == (1501, 1)
        assert (copy / "bad_rows.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("settings", [ONE, MANY], ids=["one lane", "lanes"])
def test_a_run_with_a_file_of_held_out_rows_goes_on_by_the_same_call(
    write, languages_test, source, stopped, settings
):
    held = scan(write("held.jsonl", languages_test[:200]))
    run, copies = stopped(scan(source), replace(settings, passes=3), holdout=held)
    assert copies
    for copy in copies:
        events = []
        train_run(scan(source), copy, replace(settings, passes=3), holdout=held, observe=events.append)
        assert any(isinstance(event, Resumed) for event in events)
        assert model(copy) == model(run.folder)


def test_classes_that_come_late_have_the_rate_that_the_learning_began_with(
    write, languages, stopped, monkeypatch
):
    monkeypatch.setattr(row_stream, "CACHE_BYTES", 0)
    monkeypatch.setattr("manymill.data.sampling._COMPLETE_STREAMS_BYTES", 0)
    names = sorted({row["label"] for row in languages})[:4]
    rows = sorted((row for row in languages * 16 if row["label"] in names), key=lambda row: row["label"])
    plan = scan(write("late.jsonl.gz", rows)).plan(sample_bytes=10_000)
    assert len(plan.class_counts) < 3
    run, copies = stopped(plan, replace(ONE, window_bytes=200_000))
    for copy in copies[::5]:
        resume_run(copy)
        assert model(copy) == model(run.folder)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Stop])
@pytest.mark.parametrize("settings", [ONE, MANY], ids=["one lane", "lanes"])
def test_a_run_that_was_stopped_while_it_counts_features_starts_again_to_the_same_bytes(
    write, languages, tmp_path, monkeypatch, settings, stop
):
    monkeypatch.setattr("manymill.data.sampling._COMPLETE_STREAMS_BYTES", 0)
    names = sorted({row["label"] for row in languages})[:4]
    rows = sorted((row for row in languages * 16 if row["label"] in names), key=lambda row: row["label"])
    plan = scan(write("late.jsonl.gz", rows)).plan(sample_bytes=10_000)
    assert len(plan.class_counts) < 3
    expected = model(train_run(plan, tmp_path / "whole", settings).folder)

    def stop_when_a_class_is_found(event):
        if isinstance(event, ClassesFound):
            raise stop

    with pytest.raises(stop):
        train_run(plan, tmp_path / "run", settings, observe=stop_when_a_class_is_found, checkpoint_seconds=0)
    assert not (tmp_path / "run" / "model").exists()
    assert not (tmp_path / "run" / "checkpoint").exists()
    resume_run(tmp_path / "run", threads=1)
    assert model(tmp_path / "run") == expected


def test_a_source_that_changed_is_not_gone_on_with(source, stopped):
    _, copies = stopped(scan(source), MANY)
    source.write_text(source.read_text().replace("the", "THE"))
    with pytest.raises(SourceError, match=r"some\.jsonl"):
        resume_run(copies[0])


def test_held_out_rows_that_changed_begin_a_new_run(write, languages_test, source, stopped):
    held = write("held.jsonl", languages_test[:200])
    _, copies = stopped(scan(source), MANY, holdout=scan(held))
    write("held.jsonl", languages_test[:150])
    events = []
    train_run(scan(source), copies[0], MANY, holdout=scan(held), observe=events.append)
    assert not any(isinstance(event, Resumed) for event in events)
    assert "starts from the beginning" in str(events)


def test_a_run_that_is_over_is_not_gone_on_with(source, tmp_path):
    train_run(scan(source), tmp_path / "run", MANY)
    assert not (tmp_path / "run" / "checkpoint").exists()
    with pytest.raises(RunFolderError, match="is finished"):
        resume_run(tmp_path / "run")


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(source, tmp_path, stopped):
    run, copies = stopped(scan(source), MANY)
    shutil.rmtree(copies[-1] / "checkpoint")
    assert (copies[-1] / "model").exists()
    resume_run(copies[-1])
    assert model(copies[-1]) == model(run.folder)


def test_data_that_is_there_only_once_is_not_gone_on_with(languages, tmp_path):
    texts, labels = zip(*((row["text"], row["label"]) for row in languages[:500]), strict=True)
    train_run(Dataset.from_memory(texts, labels), tmp_path / "run", MANY, checkpoint_seconds=0)
    assert not (tmp_path / "run" / "checkpoint").exists()
    (tmp_path / "run" / "events.jsonl").unlink()
    with pytest.raises(RunFolderError, match="data in memory, which cannot be read again"):
        resume_run(tmp_path / "run")


def test_a_run_that_goes_on_keeps_what_the_recipe_auto_chose(write, stopped):
    rng = np.random.default_rng(0)
    words = [" ".join(f"w{word}" for word in row) for row in rng.integers(3_000, size=(11_500, 5))]
    rows = [{"text": text, "label": text[-1]} for text in words]
    settings = Settings(recipe="auto", ngram_range=(1, 1), char_ngram_range=None, window_bytes=60_000)
    run, copies = stopped(scan(write("auto.jsonl", rows)), settings, threads=2)
    recorded = read_plan(run.folder)
    assert recorded["choice"]["candidates"]
    changed_run = shutil.copytree(copies[0], run.folder.parent / "changed")
    events = []
    resume_run(copies[0], observe=events.append)
    assert model(copies[0]) == model(run.folder)
    told = [event.to_json() for event in events if isinstance(event, RecipeChosen)]
    assert json.loads(json.dumps(told)) == [{"event": "RecipeChosen", **recorded["choice"]}]
    # Another value in the plan than a second choice would find.
    changed = read_plan(changed_run)
    changed["settings"]["l2"] = 0.125
    RunFolder(changed_run).write_plan(changed)
    resume_run(changed_run)
    assert load_model(changed_run / "model").facts["settings"]["l2"] == 0.125


def test_who_resumes_a_forest_is_told_how(tmp_path):
    PartitionedForestClassifier(n_estimators=2).fit([[0.0], [1.0]], [0, 1], run=tmp_path)
    with pytest.raises(RunFolderError, match="repeat its train command"):
        resume_run(tmp_path)


def test_a_run_of_an_older_version_is_refused_by_resume_and_trained_over_by_train(source, tmp_path):
    run = train_run(scan(source), tmp_path / "run", ONE).folder
    expected = model(run)
    (run / ".manymill.json").unlink()
    plan = json.loads((run / "plan.json").read_text())
    for name in ("format", "format_version", "checksum"):
        del plan[name]
    (run / "plan.json").write_text(json.dumps(plan, indent=1))
    (run / "events.jsonl").write_text('{"time": 0.0, "event": "Warned", "message": "careful"}\n')
    with pytest.raises(RunFolderError, match=r"plan\.json: it has no checksum: an older version") as refusal:
        resume_run(run)
    assert "train again" in refusal.value.hint
    train_run(scan(source), run, ONE)
    assert model(run) == expected
    assert "Ended" in (run / "events.jsonl").read_text()


def test_a_checkpoint_of_another_version_is_refused_by_resume_and_trained_over_by_train(source, stopped):
    _, copies = stopped(scan(source), MANY)
    position = copies[0] / "checkpoint" / "position.json"
    checked_json.write(position, {**checked_json.read(position), "format_version": 1})
    with pytest.raises(RunFolderError, match="of another version of manymill"):
        resume_run(copies[0])
    events = []
    train_run(scan(source), copies[0], MANY, observe=events.append)
    assert any(
        "is of another version of manymill" in event.message for event in events if type(event) is Warned
    )
    assert not position.exists()


@pytest.mark.parametrize("merge", ["rows", "mass+search"])
def test_a_run_with_a_rule_that_is_no_longer_offered_is_refused_with_the_reason(source, stopped, merge):
    _, copies = stopped(scan(source), MANY)
    plan = read_plan(copies[0])
    with RunFolder(copies[0]) as folder:
        folder.write_plan({**plan, "settings": {**plan["settings"], "merge": merge}})
    reason = re.escape(f"cannot be resumed from its plan.json: merge={merge!r} is invalid: expected 'auto'")
    with pytest.raises(RunFolderError, match=reason) as refusal:
        resume_run(copies[0])
    assert refusal.value.hint == "train again, into this folder or a new one"


@pytest.mark.parametrize("change", [('"l1": 0.0', '"l1": 8.0'), ('"passes": 2', '"passes": 1')])
def test_a_setting_that_was_changed_in_the_plan_is_refused_and_nothing_is_touched(source, stopped, change):
    _, copies = stopped(scan(source), MANY)
    plan = copies[0] / "plan.json"
    assert change[0] in plan.read_text()
    plan.write_text(plan.read_text().replace(*change))
    before = {path: path.read_bytes() for path in copies[0].rglob("*") if path.is_file()}
    with pytest.raises(RunFolderError, match=r"plan\.json: its text does not match its checksum"):
        resume_run(copies[0])
    assert {path: path.read_bytes() for path in copies[0].rglob("*") if path.is_file()} == before


def test_a_setting_of_an_earlier_version_is_refused_by_name(source, stopped):
    _, copies = stopped(scan(source), ONE)
    plan = read_plan(copies[0])
    plan["settings"] |= {"finish": "lbfgs", "finish_iterations": 5}
    RunFolder(copies[0]).write_plan(plan)
    with pytest.raises(
        RunFolderError, match="its settings finish, finish_iterations are of another version"
    ) as refusal:
        resume_run(copies[0])
    assert "train again" in refusal.value.hint


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_the_list_of_bad_rows_is_written_again_whatever_became_of_it(source, stopped, damage):
    run, copies = stopped(scan(source), MANY)
    listed = copies[-1] / "bad_rows.jsonl"
    expected = (run.folder / "bad_rows.jsonl").read_bytes()
    if damage == "gone":
        listed.unlink()
    else:
        listed.write_bytes(expected[:20] if damage == "cut" else expected.replace(b"missing", b"present"))
    resume_run(copies[-1])
    assert listed.read_bytes() == expected


def test_a_folder_without_a_run_stays_as_it_is(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        resume_run(tmp_path / "none")
    assert not (tmp_path / "none").exists()
