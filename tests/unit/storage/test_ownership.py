"""A folder is ours only if its content shows it, and no other file in it is changed."""

import json
import os

import pytest

from manymill.errors import RunFolderError
from manymill.storage.own_files import MARKER, open_own
from manymill.storage.ownership import (
    CHECKPOINT,
    MODEL,
    RUN,
    SEARCH,
    check_folder,
    claim_folder,
    remove_folder,
)
from manymill.storage.work_folder import sweep, work_folder

PLAN = json.dumps(
    {"plan": {}, "settings": {}, "memory_bytes": 1, "holdout": None, "engine": None, "threads": 1}
)


def test_a_new_and_an_empty_folder_are_free(tmp_path):
    assert not check_folder(tmp_path / "new", RUN)
    assert not check_folder(tmp_path, RUN)


def test_a_claimed_folder_is_ours_for_its_kind_alone(tmp_path):
    claim_folder(tmp_path / "run", RUN)
    assert check_folder(tmp_path / "run", RUN)
    with pytest.raises(RunFolderError, match="is the folder of a 'run'"):
        check_folder(tmp_path / "run", CHECKPOINT)


def test_a_folder_without_a_marker_is_known_by_its_manifest(tmp_path):
    (tmp_path / "plan.json").write_text(PLAN)
    (tmp_path / "events.jsonl").write_text("{}\n")
    assert check_folder(tmp_path, RUN)


@pytest.mark.parametrize("name", ["plan.json", "events.jsonl", "bad_rows.jsonl", ".lock", MARKER, "x"])
def test_a_file_with_one_of_our_names_proves_nothing(tmp_path, name):
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(RunFolderError, match=name.replace(".", r"\.")):
        claim_folder(tmp_path, RUN)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: '{"mine": 1}'}


@pytest.mark.parametrize("manifest", ["manymill-model", "another"])
def test_what_a_first_save_left_between_its_two_renamings_is_ours(tmp_path, manifest):
    model = tmp_path / "model"
    model.mkdir()
    with work_folder(model, ["model.json"]) as work:
        (work / "model.json").write_text(json.dumps({"format": manifest}))
        (model / "weights-0123456789abcdef.safetensors").write_text("weights")
        if manifest == "manymill-model":
            assert check_folder(model, MODEL)
        else:
            with pytest.raises(RunFolderError, match="did not write"):
                check_folder(model, MODEL)


@pytest.mark.parametrize("name", ["checkpoint", "model"])
@pytest.mark.parametrize("marked", [False, True])
def test_what_is_in_a_folder_of_a_run_is_looked_at(tmp_path, name, marked):
    if marked:
        claim_folder(tmp_path, RUN)
    (tmp_path / name).mkdir()
    (tmp_path / name / "pytorch_model.bin").write_text("weights")
    with pytest.raises(RunFolderError, match=rf"{name} holds 'pytorch_model\.bin'"):
        check_folder(tmp_path, RUN)


@pytest.mark.parametrize("name", ["plan.json", "events.jsonl", ".lock", "model", "checkpoint", MARKER])
@pytest.mark.parametrize("marked", [False, True])
def test_a_symbolic_link_with_one_of_our_names_is_refused(tmp_path, name, marked):
    (run := tmp_path / "run").mkdir()
    if marked:
        claim_folder(run, RUN)
        (run / name).unlink(missing_ok=True)
    (tmp_path / "target").mkdir()
    (run / name).symlink_to(tmp_path / "target")
    with pytest.raises(RunFolderError, match="symbolic link"):
        check_folder(run, RUN)


def test_the_folder_itself_may_be_a_symbolic_link_where_the_user_names_it(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    claim_folder(tmp_path / "run", RUN)
    with pytest.raises(RunFolderError, match="symbolic link"):
        claim_folder(tmp_path / "run", CHECKPOINT)


@pytest.mark.parametrize("length", range(len(RUN.marker)))
def test_a_marker_that_a_kill_cut_off_leaves_the_folder_free(tmp_path, length):
    (tmp_path / MARKER).write_bytes(RUN.marker[:length])
    claim_folder(tmp_path, RUN)
    assert check_folder(tmp_path, RUN)


def test_others_may_keep_files_in_a_folder_that_is_shared_once_it_is_ours(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"notes\.txt"):
        claim_folder(tmp_path, SEARCH)
    claim_folder(tmp_path / "search", SEARCH)
    (tmp_path / "notes.txt").rename(tmp_path / "search" / "notes.txt")
    assert check_folder(tmp_path / "search", SEARCH)


def test_removing_takes_our_names_from_a_folder_of_ours(tmp_path):
    claim_folder(tmp_path / "checkpoint", CHECKPOINT)
    (tmp_path / "checkpoint" / "state-3.npz").write_text("half")
    remove_folder(tmp_path / "checkpoint", CHECKPOINT)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("foreign", ["w.bin", "state-1.npz"])
def test_a_folder_that_is_not_ours_is_not_removed(tmp_path, foreign):
    (tmp_path / foreign).write_text("mine")
    remove_folder(tmp_path, CHECKPOINT)
    assert (tmp_path / foreign).read_text() == "mine"


@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_file_of_ours_is_opened_through_no_link(tmp_path, mode):
    (victim := tmp_path / "victim").write_text("mine")
    (tmp_path / "soft").symlink_to(victim)
    (tmp_path / "hard").hardlink_to(victim)
    with pytest.raises(RunFolderError, match="symbolic link"):
        open_own(tmp_path / "soft", mode)
    with open_own(tmp_path / "hard", mode) as file:
        file.write(" more")
    assert (tmp_path / "hard").read_text() == {"w": " more", "a": "mine more"}[mode]
    assert victim.read_text() == "mine"


def left_by_a_kill(parent):
    with work_folder(parent, ["data"]) as folder:
        (folder / "data").write_text("half")
        left = parent / folder.name[:-1]
        left = left.with_name(folder.name[:-1] + ("a" if folder.name[-1] != "a" else "b"))
        left.mkdir()
        for entry in folder.iterdir():
            (left / entry.name).write_bytes(entry.read_bytes())
        return left


def test_what_a_kill_left_is_swept(tmp_path):
    left = left_by_a_kill(tmp_path)
    sweep(tmp_path)
    assert not left.exists()


def test_a_work_folder_in_use_is_not_swept_and_vanishes_with_its_block(tmp_path):
    with work_folder(tmp_path, ["data"]) as folder:
        (folder / "data").write_text("whole")
        sweep(tmp_path)
        assert (folder / "data").read_text() == "whole"
    assert not list(tmp_path.iterdir())


def test_sweeping_leaves_what_the_marker_does_not_list(tmp_path):
    left = left_by_a_kill(tmp_path)
    (left / "thesis").write_text("mine")
    sweep(tmp_path)
    assert [path.name for path in left.iterdir()] == ["thesis"]


@pytest.mark.parametrize("marker", [None, "", "{}", '{"format": "other", "names": ["data"]}'])
def test_a_folder_that_only_looks_like_a_work_folder_stays(tmp_path, marker):
    (folder := tmp_path / ".manymill-work-12345678").mkdir()
    (folder / "data").write_text("mine")
    if marker is not None:
        (folder / MARKER).write_text(marker)
    os.utime(folder, (0, 0))
    sweep(tmp_path)
    assert (folder / "data").read_text() == "mine"


def test_what_a_kill_left_before_the_marker_is_swept_when_it_is_old(tmp_path):
    (folder := tmp_path / ".manymill-work-12345678").mkdir()
    (folder / "in-use").touch()
    sweep(tmp_path)
    assert folder.exists()
    os.utime(folder, (0, 0))
    sweep(tmp_path)
    assert not folder.exists()
