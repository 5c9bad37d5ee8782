import errno
import json
import os

import pytest

from manymill.data.dataset import scan
from manymill.errors import RunFolderError
from manymill.events import Ended, Planned, Warned
from manymill.linear.run import train_run
from manymill.linear.settings import Settings
from manymill.run_folder import RunFolder, has_ended, read_events, read_plan
from manymill.storage.journal import Journal


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
    assert read_plan(tmp_path) == {"a": 2}
    assert json.loads((tmp_path / "plan.json").read_text())["a"] == 2
    assert not (tmp_path / "plan.json.tmp").exists()


def test_a_plan_holds_names_of_files_that_are_not_unicode(tmp_path):
    plan = {"path": os.fsdecode(b"a\xff.jsonl"), "class": "süß"}
    with RunFolder(tmp_path) as run:
        run.write_plan(plan)
    assert read_plan(tmp_path) == plan
    assert "süß" in (tmp_path / "plan.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace('"a": 1', '"a": 8'), "does not match its checksum"),
        (lambda text: text[: len(text) // 2], "is not JSON"),
        (lambda text: text + " ", "does not match its checksum"),
        (lambda text: '{"plan": 1, "settings": 2}', "has no checksum: an older version"),
        (lambda text: "[]", "is not a JSON object"),
        (lambda text: text.replace("manymill-run", "manymill-xyz"), "does not match its checksum"),
    ],
)
def test_a_plan_that_was_changed_is_refused_with_the_reason(tmp_path, change, reason):
    with RunFolder(tmp_path) as run:
        run.write_plan({"a": 1, "b": 2})
    path = tmp_path / "plan.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(RunFolderError, match=reason) as refusal:
        read_plan(tmp_path)
    assert "plan.json" in refusal.value.what
    assert "train again" in refusal.value.hint


def some_events():
    """Events of a training that ended."""
    planned = Planned(1, 10, 2, True, "text", "label", 2, ())
    return [planned, Warned("careful"), Ended(1, 1, 2, 0, 2, None, 0.5, 10**6)]


def recorded(folder, *records):
    with RunFolder(folder) as run:
        for event in records:
            run.record(event)
    return folder / "events.jsonl"


def test_events_are_read_back_as_they_were_recorded(tmp_path):
    recorded(tmp_path, *some_events())
    assert list(read_events(tmp_path)) == some_events()
    assert has_ended(tmp_path)


def test_every_event_of_a_training_is_read_back(tmp_path):
    rows, seen = tmp_path / "rows.jsonl", []
    rows.write_text("".join(f'{{"text": "w{i % 7} {i}", "label": "{i % 3}"}}\n' for i in range(90)))
    settings = Settings(n_features=64, passes=2, lanes=2, holdout=0.2)
    train_run(scan(rows), tmp_path / "run", settings, observe=seen.append)
    assert list(read_events(tmp_path / "run")) == seen


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_line_is_passed_over_and_named(tmp_path, number):
    path = recorded(tmp_path, *some_events())
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(b'": ', b'" : ', 1)
    path.write_bytes(b"".join(lines))
    seen = list(read_events(tmp_path))
    assert f"line {number} is skipped" in seen[number - 1].message
    expected = some_events()
    del seen[number - 1], expected[number - 1]
    assert seen == expected
    assert not has_ended(tmp_path)


def test_an_end_that_was_written_by_hand_is_not_believed(tmp_path):
    path = recorded(tmp_path, some_events()[0])
    with path.open("a") as file:
        file.write(json.dumps({"time": 1.0, **some_events()[2].to_json()}) + "\n")
    assert not has_ended(tmp_path)


def test_events_of_an_older_version_are_refused_with_the_reason(tmp_path):
    (tmp_path / "events.jsonl").write_text('{"time": 0.0, "event": "Warned", "message": "a"}\n')
    with pytest.raises(RunFolderError, match="line 1: it has no checksum: an older version"):
        list(read_events(tmp_path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/dev/zero"), "it is a symbolic link"),
        (os.mkfifo, "it is not a regular file"),
    ],
)
def test_events_are_read_from_a_regular_file_alone(tmp_path, make, reason):
    make(tmp_path / "events.jsonl")
    with pytest.raises(RunFolderError, match=reason):
        list(read_events(tmp_path))


def test_a_link_under_a_name_of_ours_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("years of work")
    for name in ("events.jsonl", "plan.json.tmp"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).symlink_to(tmp_path / "mine")
        with pytest.raises(RunFolderError, match=folder.name), RunFolder(folder) as run:
            run.write_plan({})
    assert (tmp_path / "mine").read_text() == "years of work"


def test_a_plan_that_cannot_be_written_is_an_error_of_the_run_folder(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        (folder.path / "plan.json.tmp").mkdir()
        with pytest.raises(RunFolderError, match=r"plan\.json"):
            folder.write_plan({})


def refuse_events(monkeypatch):
    """As on a full disk, for the log of events alone."""

    def append(self, record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Journal, "append", append)


def test_an_event_that_cannot_be_written_is_told_once_and_the_folder_still_closes(tmp_path, monkeypatch):
    refuse_events(monkeypatch)
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


def test_a_training_goes_on_without_its_events_and_says_so_once(tmp_path, monkeypatch):
    refuse_events(monkeypatch)
    (message,) = warnings_of_a_training(tmp_path)
    assert "No space left" in message


def test_a_training_goes_on_without_its_list_of_bad_rows_and_says_so_once(tmp_path, monkeypatch):
    monkeypatch.setattr(RunFolder, "bad_rows", tmp_path / "missing" / "bad_rows.jsonl")
    (message,) = warnings_of_a_training(tmp_path)
    assert "only counted" in message
