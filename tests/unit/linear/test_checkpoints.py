import errno
import json
import os

import numpy as np
import pytest

from manymill import scan
from manymill._core import FeatureTable, Rows
from manymill.errors import RunFolderError
from manymill.events import Ended, Warned
from manymill.linear.checkpoints import Checkpoints, Position
from manymill.linear.run import resume_run, train_run
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState, dump_state
from manymill.model import load_model
from manymill.storage import checked_json, durable, tensors

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
    """Change entries of the position and make the checksum right: what a hostile checkpoint may hold."""
    content = checked_json.read(path)
    for name, value in changes.items():
        content[name if name in ("state", "held_out") else "position"] = (
            value if name in ("state", "held_out") else {**content["position"], name: value}
        )
    checked_json.write(path, content)


def change_arrays(path, **changes):
    """Change arrays and make both checksums right."""
    with path.open("rb") as file:
        arrays = tensors.arrays_in(np.frombuffer(file.read(), np.uint8))
    checksum = tensors.write_arrays(path, {**arrays, **changes})
    entry = "state" if path.name.startswith("state") else "held_out"
    change(path.parent / "position.json", **{entry: {"name": path.name, "checksum": checksum}})


WRONG = {
    "pass_number": ["two", 0, -1, 1.5, None, True, 3, 10**30],
    "step": [-1, "1", 9],
    "pass_sums": [[1, 2], "abcd", 7],
    "classes": [[1, 2], "abc", []],
    "class_rows": [["many"]],
    "best": [{"accuracy": 1}, 3, {"n_rows": 5, "loss": None, "accuracy": 0.5, "temperature": 1.0}],
    "best_pass": [1, 9],
    "listed": [[{"file": "a"}], [3], {}],
    "unknown": [1],
    "n_classes_at_start": [10**12, 0],
    "bad_counts": [[1]],
    "state": [
        *(
            {"name": name, "checksum": ""}
            for name in ("../rows.jsonl", "/etc/passwd", "a/state-1.safetensors", 5, "state-x.safetensors")
        ),
        5,
        {"name": "held-out-1.safetensors", "checksum": ""},
    ],
    "held_out": [{"name": "../held-out-1.safetensors", "checksum": ""}, None, {}],
}


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, all_ in WRONG.items() for value in all_]
)
def test_a_position_with_a_wrong_field_is_refused(stopped, field, value):
    change(stopped / "checkpoint" / "position.json", **{field: value})
    with pytest.raises(RunFolderError, match=r"checkpoint in .* is damaged") as refusal:
        resume_run(stopped)
    assert "remove that folder" in refusal.value.hint


@pytest.mark.parametrize("name", ["position.json", "state-*", "held-out-*"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_is_refused(stopped, name, share):
    path = only(stopped, name)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(RunFolderError, match="is damaged"):
        resume_run(stopped)


@pytest.mark.parametrize("name", ["state-*", "held-out-*"])
def test_a_file_that_is_missing_is_named(stopped, name):
    path = only(stopped, name)
    path.unlink()
    with pytest.raises(RunFolderError, match=path.name):
        resume_run(stopped)


def test_a_checkpoint_of_an_older_version_is_refused_with_the_reason(stopped):
    (stopped / "checkpoint" / "position.json").write_text(
        json.dumps({"pass_number": 1, "state": "state-1.npz"})
    )
    with pytest.raises(RunFolderError, match="has no checksum: an older version") as refusal:
        resume_run(stopped)
    assert "remove that folder" in refusal.value.hint


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("state-*", {"weights": np.zeros((3, 3), np.float32)}),
        ("state-*", {"features": np.array([5, 2, 10**6], np.uint32)}),
        ("state-*", {"sums": np.array([True])}),
        ("state-*", {"features": np.zeros(())}),
        ("state-*", {"intercept": np.zeros((1, 1), np.float32)}),
        ("state-*", {"n_rows_seen": np.array([-1])}),
        ("state-*", {"more": np.zeros(1)}),
        ("held-out-*", {"n_parts": np.array([10**6])}),
        ("held-out-*", {"n_parts": np.array([np.nan])}),
        ("held-out-*", {"classes0": np.array([99], np.int32)}),
        ("held-out-*", {"indices0": np.array([2**31], np.uint32)}),
        ("held-out-*", {"n_hashed": np.array([128])}),
        ("held-out-*", {"n_hashed": np.array([0])}),
        ("held-out-*", {"n_hashed": np.array([64.0])}),
        ("held-out-*", {"table_features": np.array([5, 2], np.uint32)}),
        ("held-out-*", {"table_features": np.array([64], np.uint32), "table_weights": np.ones(1, np.float32)}),
        ("held-out-*", {"table_features": np.zeros((1, 1), np.uint32)}),
        ("held-out-*", {"table_weights": np.ones(5, np.float32)}),
        ("held-out-*", {"table_weights": np.array([np.nan], np.float32)}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value[:5],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(stopped, name, arrays):
    change_arrays(only(stopped, name), **arrays)
    with pytest.raises(RunFolderError, match="is damaged"):
        resume_run(stopped)


def test_a_checkpoint_without_the_feature_table_is_refused_where_features_are_weighed(stopped):
    path = only(stopped, "held-out-*")
    with path.open("rb") as file:
        arrays = tensors.arrays_in(np.frombuffer(file.read(), np.uint8))
    assert {"n_hashed", "table_features", "table_weights"} < arrays.keys()
    left = {name: arrays[name] for name in arrays.keys() - {"n_hashed", "table_features", "table_weights"}}
    checksum = tensors.write_arrays(path, left)
    change(path.parent / "position.json", held_out={"name": path.name, "checksum": checksum})
    with pytest.raises(RunFolderError, match="is damaged: the feature table is missing"):
        resume_run(stopped)


def test_a_training_that_was_stopped_goes_on_to_the_weights_of_one_that_was_not(stopped, source, tmp_path):
    assert Checkpoints(stopped / "checkpoint").load().table is not None
    resume_run(stopped)
    train_run(source, tmp_path / "whole", SETTINGS)
    saved, whole = (load_model(folder / "model") for folder in (stopped, tmp_path / "whole"))
    for array in ("features", "feature_weights", "weights", "intercept"):
        assert getattr(saved, array).tobytes() == getattr(whole, array).tobytes()


@pytest.mark.parametrize(
    "weights", [None, np.array([0.5, 2], np.float32)], ids=["without weights", "weights"]
)
def test_a_checkpoint_keeps_the_feature_table(tmp_path, weights):
    table = FeatureTable.from_arrays(100, np.array([3, 99], np.uint32), weights)
    state = LinearState(Settings(n_features=100).resolve(2), ClassIndex("ab"), as_integers=False, table=table)
    rows = Rows.from_arrays(np.array([0, 2]), np.array([0, 1], np.uint32), np.ones(2, np.float32))
    held_out = [(rows, np.array([1], np.int32))]
    learner = state.learner
    learner.learn(rows, np.array([0], np.int32))
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    for number in (1, 2):  # the second checkpoint names the file with the table of the first
        position = Position(pass_number=number, classes=("a", "b"))
        checkpoints.save(position, dump_state(learner, learner.met()), held_out, table)
        found = Checkpoints(tmp_path / "checkpoint").load()
        assert found.position == position
        assert (found.table.n_hashed, found.table.features.tolist()) == (100, [3, 99])
        if weights is None:
            assert found.table.weights is None
        else:
            assert found.table.weights.tolist() == weights.tolist()
        assert found.state["features"].tolist() == [0, 1]


def test_a_checkpoint_folder_that_holds_something_else_is_refused_and_left_alone(stopped):
    (stopped / "checkpoint" / "thesis.doc").write_text("years of work")
    before = sorted(path.name for path in (stopped / "checkpoint").iterdir())
    with pytest.raises(RunFolderError, match=r"holds 'thesis\.doc'"):
        resume_run(stopped)
    assert sorted(path.name for path in (stopped / "checkpoint").iterdir()) == before


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(tmp_path, source, monkeypatch):
    write_durably = tensors.write_durably

    def full(path, pieces, **options):
        if path.name.startswith("state-"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_durably(path, pieces, **options)

    monkeypatch.setattr(tensors, "write_durably", full)
    events = []
    train_run(source, tmp_path / "run", SETTINGS, observe=events.append, checkpoint_seconds=0)
    assert [event.message for event in events if isinstance(event, Warned)] == [
        f"cannot write a checkpoint to {tmp_path / 'run' / 'checkpoint'}: No space left on device; "
        "the training continues, and the last checkpoint stays"
    ]
    assert isinstance(events[-1], Ended)


@pytest.mark.parametrize(
    ("module", "failing"),
    [(tensors, "write_durably"), (durable, "write_durably"), (durable, "replace_durably")],
    ids=["arrays", "position", "renaming"],
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(stopped, monkeypatch, module, failing):
    checkpoints = Checkpoints(stopped / "checkpoint")
    before = checkpoints.load()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(module, failing, full)
        with pytest.raises(RunFolderError, match="No space left"):
            checkpoints.save(Position(), before.state, (), before.table)
    after = Checkpoints(stopped / "checkpoint").load()
    assert after.position == before.position
    assert len(list((stopped / "checkpoint").iterdir())) == 4  # with the marker
    assert [len(rows) for rows, _ in after.held_out] == [len(rows) for rows, _ in before.held_out]


def test_a_position_that_has_its_name_but_is_not_known_to_be_on_the_disk_keeps_its_files(
    stopped, monkeypatch
):
    checkpoints = Checkpoints(stopped / "checkpoint")
    before, sync, calls = checkpoints.load(), durable.sync_folder, []

    def failing(folder):
        calls.append(folder)
        if (folder / "position.json").read_bytes() != old:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(folder)

    old = (stopped / "checkpoint" / "position.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(durable, "sync_folder", failing)
        with pytest.raises(RunFolderError, match="Input/output error"):
            checkpoints.save(Position(pass_number=7), before.state, (), before.table)
    new = (stopped / "checkpoint" / "position.json").read_bytes()
    assert new != old
    for position, number in ((new, 7), (old, before.position.pass_number)):  # what a power cut may leave
        (stopped / "checkpoint" / "position.json").write_bytes(position)
        assert Checkpoints(stopped / "checkpoint").load().position.pass_number == number
    checkpoints.save(before.position, before.state, before.held_out, before.table)
    assert len(list((stopped / "checkpoint").iterdir())) == 4
