"""Outputs among files of the user: recognised by a recorded checksum, also after a kill at any moment."""

import os

import pytest

from manymill.errors import RunFolderError
from manymill.storage.outputs import Outputs, identities


class Killed(BaseException):
    """What a kill is to a process: nothing is cleaned up after it."""


def put(folder, *contents, overwrite=False):
    """Write outputs a, b, ... as a command does."""
    outputs = Outputs(folder)
    names = "abc"[: len(contents)]
    for name in names:
        outputs.check(name, set(), overwrite=overwrite)
    with outputs.working([*names]) as work:
        for name, content in zip(names, contents, strict=True):
            (work / name).write_text(content)
        outputs.publish({name: (work / name, {"request": 1}) for name in names})


def test_an_output_is_known_until_someone_changes_it(tmp_path):
    put(tmp_path, "one")
    assert Outputs(tmp_path).record("a")["request"] == 1
    (tmp_path / "a").write_text("two")
    assert Outputs(tmp_path).record("a") is None


def test_an_output_is_replaced_without_being_asked_and_a_file_of_others_is_not(tmp_path):
    put(tmp_path, "one", "two")
    put(tmp_path, "three", "four")
    (tmp_path / "b").write_text("mine")
    with pytest.raises(RunFolderError, match="b exists, and is not an unchanged output"):
        put(tmp_path, "five", "six")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["three", "mine"]
    put(tmp_path, "five", "six", overwrite=True)
    assert (tmp_path / "b").read_text() == "six"


@pytest.mark.parametrize("n_replaced", range(9))
@pytest.mark.parametrize("before", [(), ("one", "two")])
def test_after_a_kill_at_any_renaming_the_outputs_are_still_ours(tmp_path, monkeypatch, n_replaced, before):
    if before:
        put(tmp_path, *before)
    replace, left = os.replace, [n_replaced]

    def killed(*paths):
        if not left[0]:
            raise Killed
        left[0] -= 1
        replace(*paths)

    with monkeypatch.context() as patched, pytest.raises(Killed) if n_replaced < 4 else monkeypatch.context():
        patched.setattr(os, "replace", killed)
        put(tmp_path, "three", "four")
    put(tmp_path, "five", "six")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["five", "six"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    outputs = Outputs(tmp_path)
    outputs.check("a", set(), overwrite=True)
    (tmp_path / "a").write_text("mine")
    with outputs.working(["a"]) as work:
        (work / "a").write_text("ours")
        with pytest.raises(RunFolderError, match="meanwhile"):
            outputs.publish({"a": (work / "a", {})})
    assert (tmp_path / "a").read_text() == "mine"


def test_what_was_not_written_here_is_not_removed(tmp_path):
    put(tmp_path, "one", "two")
    (tmp_path / "b").write_text("mine")
    outputs = Outputs(tmp_path)
    outputs.remove("a")
    outputs.remove("b")
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "b").read_text() == "mine"


@pytest.mark.parametrize("prefix", ["", "file://", "local://"])
def test_a_file_that_is_read_is_known_under_every_name(tmp_path, prefix):
    (tmp_path / "in").write_text("mine")
    (tmp_path / "a").hardlink_to(tmp_path / "in")
    with pytest.raises(RunFolderError, match="is an input"):
        Outputs(tmp_path).check(
            "a", identities([f"{prefix}{tmp_path}/in", "https://host/in"]), overwrite=True
        )


def test_a_folder_of_records_of_others_is_refused(tmp_path):
    (tmp_path / ".manymill").mkdir()
    (tmp_path / ".manymill" / "thesis").write_text("mine")
    with pytest.raises(RunFolderError, match="holds 'thesis'"):
        Outputs(tmp_path)
