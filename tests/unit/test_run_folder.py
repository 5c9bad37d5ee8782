import json

import pytest

from manymill.errors import RunFolderError
from manymill.events import Warned
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
