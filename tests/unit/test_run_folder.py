import json
import os

import pytest

from manymill import run_folder
from manymill.data.dataset import scan
from manymill.errors import RunFolderError
from manymill.events import Warned
from manymill.linear.run import train_run
from manymill.linear.settings import Settings
from manymill.run_folder import RunFolder


def test_events_are_lines_of_json_with_name_and_time(tmp_path):
    with RunFolder(tmp_path / "run") as run:
        run.record(Warned("careful"))
    (line,) = (tmp_path / "run/events.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["event"] == "Warned"
    assert record["message"] == "careful"
    assert record["time"] >= 0


def test_an_event_is_readable_before_the_run_ends(tmp_path):
    with RunFolder(tmp_path / "run") as run:
        run.record(Warned("now"))
        assert "now" in (tmp_path / "run/events.jsonl").read_text()


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_lives(tmp_path):
    with RunFolder(tmp_path), pytest.raises(RunFolderError, match="another run"):
        RunFolder(tmp_path)
    RunFolder(tmp_path).close()


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"thesis\.doc"):
        RunFolder(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match="run"):
        RunFolder(tmp_path / "run")


def test_the_plan_is_replaced_whole(tmp_path):
    with RunFolder(tmp_path) as run:
        run.write_plan({"a": 1})
        run.write_plan({"a": 2})
    assert json.loads((tmp_path / "plan.json").read_text()) == {"a": 2}
    assert not (tmp_path / "plan.json.tmp").exists()


def test_a_plan_that_cannot_be_written_is_an_error_of_the_run_folder(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        (folder.path / "plan.json.tmp").mkdir()
        with pytest.raises(RunFolderError, match=r"plan\.json"):
            folder.write_plan({})


def full_disk(path, mode):
    """What `open_own` gives on a full disk."""
    return open("/dev/full", mode, encoding="utf-8")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_an_event_that_cannot_be_written_is_told_once_and_the_folder_still_closes(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "open_own", full_disk)
    with RunFolder(tmp_path) as folder:
        with pytest.raises(RunFolderError, match="No space left"):
            folder.record(Warned("a"))
        folder.record(Warned("b"))


def warnings_of_a_training(tmp_path):
    """What a training of files with bad rows says that it cannot write; the model is there."""
    rows, seen = tmp_path / "rows.jsonl", []
    rows.write_text('{"text": "a", "label": "x"}\nbroken\n{"text": "b", "label": "y"}\n' * 9)
    train_run(scan(rows), tmp_path / "run", Settings(n_features=64, passes=2), observe=seen.append)
    assert (tmp_path / "run" / "model" / "model.json").exists()
    return [e.message for e in seen if isinstance(e, Warned) and "cannot write" in e.message]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_training_goes_on_without_its_events_and_says_so_once(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "open_own", full_disk)
    (message,) = warnings_of_a_training(tmp_path)
    assert "No space left" in message


def test_a_training_goes_on_without_its_list_of_bad_rows_and_says_so_once(tmp_path, monkeypatch):
    monkeypatch.setattr(RunFolder, "bad_rows", tmp_path / "missing" / "bad_rows.jsonl")
    (message,) = warnings_of_a_training(tmp_path)
    assert "only counted" in message
