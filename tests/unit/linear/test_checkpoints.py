import errno
import json
import os
import zipfile

import numpy as np
import pytest

from manymill import scan
from manymill.errors import RunFolderError
from manymill.events import Ended, Warned
from manymill.linear import checkpoints as module
from manymill.linear.checkpoints import Checkpoints, Position
from manymill.linear.run import resume_run, train_run
from manymill.linear.settings import Settings

SETTINGS = Settings(n_features=64, passes=2, holdout=0.2, lanes=2, rounds_per_pass=2)


class Stop(BaseException):
    """As sudden as a kill."""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(
            json.dumps({"text": f"word{i % 7} {i} " * 12, "label": f"c{i % 3}"}) + "\n" for i in range(300)
        )
    )
    return scan(path, text="text", label="label")


@pytest.fixture
def stopped(tmp_path, source, monkeypatch):
    """The folder of a run that was killed after its second checkpoint."""
    save, count = Checkpoints.save, []

    def saving(self, *arguments):
        save(self, *arguments)
        count.append(1)
        if len(count) == 2:
            raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", saving)
        with pytest.raises(Stop):
            train_run(source, tmp_path / "run", SETTINGS, checkpoint_seconds=0)
    return tmp_path / "run"


def only(folder, pattern):
    (path,) = (folder / "checkpoint").glob(pattern)
    return path


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_arrays(path, **changes):
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, **changes})


WRONG = {
    "pass_number": ["two", 0, -1, 1.5, None, True],
    "step": [-1, "1"],
    "tally": [[1, 2], "abcd", 7],
    "classes": [[1, 2], "abc", []],
    "class_rows": [["many"]],
    "best": [{"accuracy": 1}, 3],
    "n_classes_begun": [10**12, 0],
    "bad_counts": [[1]],
    "state": ["../rows.jsonl", "/etc/passwd", "a/b.npz", 5, "state-x.npz", "none-1.npz"],
    "held_out": ["../held-out-1.npz", None],
}


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, all_ in WRONG.items() for value in all_]
)
def test_a_position_with_a_wrong_field_is_refused(stopped, field, value):
    change(stopped / "checkpoint" / "position.json", **{field: value})
    with pytest.raises(RunFolderError, match=r"checkpoint in .* is damaged") as refusal:
        resume_run(stopped)
    assert "remove that folder" in refusal.value.hint


@pytest.mark.parametrize("name", ["position.json", "state-*.npz", "held-out-*.npz"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_is_refused(stopped, name, share):
    path = only(stopped, name)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(RunFolderError, match="is damaged"):
        resume_run(stopped)


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("state-*.npz", {"weights": np.array([{}], object)}),
        ("state-*.npz", {"weights": np.zeros((3, 3), np.float32)}),
        ("state-*.npz", {"features": np.array([5, 2, 10**6], np.uint32)}),
        ("state-*.npz", {"sums": np.array(["a"])}),
        ("state-*.npz", {"intercept": np.zeros((1, 1), np.float32)}),
        ("state-*.npz", {"n_rows_seen": np.array([-1])}),
        ("state-*.npz", {"more": np.zeros(1)}),
        ("held-out-*.npz", {"n_parts": np.array([10**6])}),
        ("held-out-*.npz", {"classes0": np.array([99], np.int32)}),
        ("held-out-*.npz", {"indices0": np.array([2**31], np.uint32)}),
        ("held-out-*.npz", {"feature_weights": np.ones(5, np.float32)}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value[:5],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(stopped, name, arrays):
    change_arrays(only(stopped, name), **arrays)
    with pytest.raises(RunFolderError, match="is damaged"):
        resume_run(stopped)


def test_nothing_is_unpickled(stopped, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    change_arrays(only(stopped, "state-*.npz"), sums=np.array([Trap()], object))
    with pytest.raises(RunFolderError, match="is damaged"):
        resume_run(stopped)
    assert not (tmp_path / "trapped").exists()


def test_a_file_that_tells_of_more_than_it_holds_allocates_nothing(stopped):
    path = only(stopped, "state-*.npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("weights.npy", bytes(10**7))
    with pytest.raises(RunFolderError, match="tells of more than it holds"):
        resume_run(stopped)


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(tmp_path, source, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "sync_file", full)
    events = []
    train_run(source, tmp_path / "run", SETTINGS, observe=events.append, checkpoint_seconds=0)
    assert [event.message for event in events if isinstance(event, Warned)] == [
        f"cannot write a checkpoint to {tmp_path / 'run' / 'checkpoint'}: No space left on device; "
        "the training goes on, and the last checkpoint stays"
    ]
    assert isinstance(events[-1], Ended)


@pytest.mark.parametrize("failing", ["sync_file", "write_durably", "replace_durably"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(stopped, monkeypatch, failing):
    checkpoints = Checkpoints(stopped / "checkpoint")
    before = checkpoints.load()

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(module, failing, full)
        with pytest.raises(RunFolderError, match="No space left"):
            checkpoints.save(Position(), before.state, (), None)
    after = Checkpoints(stopped / "checkpoint").load()
    assert after.position == before.position
    assert len(list((stopped / "checkpoint").iterdir())) == 4  # with the marker
    assert [len(rows) for rows, _ in after.held_out] == [len(rows) for rows, _ in before.held_out]
