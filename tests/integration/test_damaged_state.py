"""What a stopped run left is damaged: going on ends with an error of ours, or gives the very same model.

Bits are flipped, bytes zeroed, files cut, extended and emptied; each damage is tried on every file that a later process
reads. With `MANYMILL_DAMAGES` in the environment more of them are tried.
"""

import json
import os
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier

from manymill import PartitionedForestClassifier, SearchCV, scan
from manymill.errors import ManymillError, RunFolderError
from manymill.events import TreeGrown
from manymill.forest.saving import save_forest
from manymill.linear.checkpoints import Checkpoints
from manymill.linear.run import resume_run, train_run
from manymill.linear.settings import Settings
from manymill.run_folder import read_events
from manymill.search.journal import read_status
from manymill.storage import checked_json
from manymill.storage.journal import encode_line, read_line
from manymill.storage.tensors import read_arrays, write_arrays

DAMAGES = int(os.environ.get("MANYMILL_DAMAGES", "6"))
ONE = {"n_features": 64, "passes": 2, "holdout": 0.2, "window_bytes": 2_000}
X, Y = make_classification(80, 4, random_state=0)


class Stop(BaseException):
    """As sudden as a kill."""


@dataclass
class Stopped:
    """A run that was stopped.

    Attributes
    ----------
    folder : Path
    files : list of str
        That a later process reads.
    go_on : callable
        Goes on in a folder, and gives what came of it.
    expected : object
        What comes of it when nothing is damaged.
    """

    folder: Path
    files: list[str]
    go_on: Callable[[Path], Any]
    expected: Any


def flip(content: bytes, chance: random.Random) -> bytes:
    place, changed = chance.randrange(len(content)), bytearray(content)
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def zero(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.choice([1, 16, 512, 10**9]))
    return content[:start] + bytes(end - start) + content[end:]


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def extend(content: bytes, chance: random.Random) -> bytes:
    return content + chance.choice([b"\n", b"{}", b"\0" * 8, chance.randbytes(20), content])


def take_out(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start + chance.choice([1, 8, 100]) :]


def change_digit(content: bytes, chance: random.Random) -> bytes:
    """As somebody with an editor does."""
    places = [i for i, byte in enumerate(content) if byte in b"0123456789"]
    place, changed = chance.choice(places) if places else 0, bytearray(content)
    changed[place] = ord(chance.choice("0123456789"))
    return bytes(changed)


KINDS = [flip, flip, zero, cut, extend, take_out, change_digit]


def model(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "model").iterdir() if path.suffix != ".lock"}


def stopped_training(folder: Path, **settings: Any) -> Stopped:
    source = folder / "rows.jsonl"
    lines = [json.dumps({"text": f"word{i % 7} {i} " * 6, "label": f"c{i % 3}"}) for i in range(120)]
    source.write_text("\n".join([*lines[:60], "broken", *lines[60:]]) + "\n")
    run, save, count = folder / "run", Checkpoints.save, []

    def saving(self: Checkpoints, *arguments: Any) -> None:
        save(self, *arguments)
        count.append(1)
        if len(count) == 2:
            raise Stop

    def go_on(folder: Path) -> dict[str, bytes]:
        list(read_events(folder, poll_seconds=0))
        resume_run(folder, threads=1)
        return model(folder)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Checkpoints, "save", saving)
        patched.setattr("manymill.linear.row_stream.CACHE_BYTES", 0)
        with pytest.raises(Stop):
            train_run(scan(source), run, Settings(**{**ONE, **settings}), threads=1, checkpoint_seconds=0)
    whole = shutil.copytree(run, folder / "whole")
    files = ["plan.json", "events.jsonl", "bad_rows.jsonl", ".manymill.json"]
    files += [f"checkpoint/{path.name}" for path in sorted((run / "checkpoint").iterdir())]
    return Stopped(run, files, go_on, go_on(whole))


def stopped_forest(folder: Path) -> Stopped:
    def grow(folder: Path, stop: bool = False) -> dict[str, bytes]:
        def observe(event: Any) -> None:
            if stop and isinstance(event, TreeGrown) and event.tree == 3:
                raise Stop

        forest = PartitionedForestClassifier(n_estimators=4, engine=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forest.fit(X, Y, run=folder, observe=observe)
        save_forest(folder / "model", forest.forest_)
        return model(folder)

    run = folder / "run"
    with pytest.raises(Stop):
        grow(run, stop=True)
    expected = grow(shutil.copytree(run, folder / "whole"))
    files = ["plan.json", "events.jsonl", ".manymill.json"]
    files += [f"checkpoint/{path.name}" for path in sorted((run / "checkpoint").iterdir())]
    return Stopped(run, files, grow, expected)


def stopped_search(folder: Path) -> Stopped:
    def search(folder: Path) -> Any:
        if (folder / "search.jsonl").exists():
            read_status(folder)
        done = SearchCV(
            SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-2]}, cv=2, engine=1, run=folder
        ).fit(X, Y)
        return (
            done.best_params_,
            done.cv_results_["mean_test_score"].tolist(),
            done.best_estimator_.coef_.tolist(),
        )

    run = folder / "run"
    expected = search(run)
    lines = (run / "search.jsonl").read_bytes().splitlines(keepends=True)
    (run / "search.jsonl").write_bytes(b"".join(lines[:-2]))
    return Stopped(run, ["search.jsonl", ".manymill.json"], search, expected)


RUNS = {
    "one lane": stopped_training,
    "lanes": lambda folder: stopped_training(folder, lanes=2, rounds_per_pass=2),
    "fast": lambda folder: stopped_training(folder, recipe="fast", class_weight="balanced"),
    "forest": stopped_forest,
    "search": stopped_search,
}


@pytest.mark.parametrize("run", RUNS)
def test_a_damaged_file_ends_in_an_error_of_ours_or_in_the_same_model(run: str, tmp_path: Path) -> None:
    stopped = RUNS[run](tmp_path)
    chance, refused, same = random.Random(run), 0, 0
    for name in stopped.files:
        content = (stopped.folder / name).read_bytes()
        for number in range(DAMAGES):
            kind = KINDS[number % len(KINDS)]
            damaged = kind(content, chance)
            if damaged == content:
                continue
            copy = shutil.copytree(stopped.folder, tmp_path / "copy")
            (copy / name).write_bytes(damaged)
            try:
                came = stopped.go_on(copy)
            except ManymillError:
                refused += 1

            except Exception as error:
                pytest.fail(f"{name}, {kind.__name__}: {error!r}")
            else:
                same += 1
                assert came == stopped.expected, f"{name}, {kind.__name__}: another model"
            shutil.rmtree(copy)
    print(f"{run}: {refused} refused, {same} the same model")
    assert refused


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a value with each of its keys."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    return found + [place for key in keys for place in places_in(value[key])]


def change_value(record: Any, chance: random.Random) -> None:
    """Put another value into some place of a record, or take it out."""
    container, key = chance.choice(places_in(record))
    value = container[key]
    number = value if type(value) in (int, float) else 0
    others = [
        "",
        "x",
        "../x",
        None,
        True,
        -1,
        0,
        1,
        3,
        0.5,
        1e300,
        [],
        {},
        [[]],
        number + 1,
        -number,
        [value],
        str(value),
    ]
    if chance.random() < 0.2:
        del container[key]
    else:
        container[key] = chance.choice(others)


def with_other_values(path: Path, chance: random.Random) -> None:
    """Change a value in a file and make its checksum right: what somebody who means harm can do."""
    if path.suffix == ".json":
        content = checked_json.read(path)
        change_value(content, chance)
        checked_json.write(path, content)
    else:
        lines = path.read_bytes().splitlines(keepends=True)
        number = chance.randrange(len(lines))
        record = read_line(lines[number], 1).record
        change_value(record, chance)
        lines[number] = encode_line(record or {"event": 1})
        path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("run", RUNS)
def test_other_values_with_a_right_checksum_end_in_no_traceback(run: str, tmp_path: Path) -> None:
    stopped = RUNS[run](tmp_path)
    chance, refused = random.Random(run), 0
    names = [name for name in stopped.files if Path(name).name in CHECKED]
    for name in names:
        for _ in range(2 * DAMAGES):
            copy = shutil.copytree(stopped.folder, tmp_path / "copy")
            with_other_values(copy / name, chance)
            changed = (copy / name).read_text()
            try:
                stopped.go_on(copy)
            except ManymillError:
                refused += 1
            except Exception as error:
                pytest.fail(f"{name}: {error!r} of {changed}")
            shutil.rmtree(copy)
    print(f"{run}: {refused} refused")


CHECKED = ("plan.json", "position.json", "forest.json", "events.jsonl", "search.jsonl")


@pytest.mark.parametrize("run", RUNS)
def test_an_undamaged_run_is_gone_on_with(run: str, tmp_path: Path) -> None:
    stopped = RUNS[run](tmp_path)
    assert stopped.go_on(shutil.copytree(stopped.folder, tmp_path / "copy")) == stopped.expected


def with_other_arrays(folder: Path, **changes: Any) -> None:
    """Change arrays next to the held-out rows of a checkpoint and make both checksums right; None takes one out."""
    position = folder / "checkpoint" / "position.json"
    content = checked_json.read(position)
    path = folder / "checkpoint" / content["held_out"]["name"]
    arrays = {**read_arrays(path, content["held_out"]["checksum"])}
    for name, change in changes.items():
        if change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name]) if callable(change) else change
    content["held_out"]["checksum"] = write_arrays(path, arrays)
    checked_json.write(position, content)


def nan_first(weights: Any) -> Any:
    return np.concatenate([[np.nan], weights[1:]]).astype(np.float32)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"table_features": lambda features: features.astype(np.int64)},
        {"table_features": lambda features: features[::-1].copy()},
        {"table_features": lambda features: np.concatenate([features[:1], features[:-1]])},
        {"table_features": lambda features: features + np.uint32(2**30)},
        {"table_features": lambda features: features[:-1]},
        {"table_features": lambda features: features.reshape(1, -1)},
        {"table_features": None},
        {"table_features": np.zeros(0, np.uint32), "table_weights": np.zeros(0, np.float32)},
        {"table_features": lambda features: features[:1], "table_weights": lambda weights: weights[:1]},
        {"table_weights": nan_first},
        {"table_weights": lambda weights: -weights},
        {"table_weights": lambda weights: weights.astype(np.float64)},
        {"table_weights": lambda weights: weights[:-1]},
        {"table_weights": lambda weights: np.full_like(weights, np.inf)},
        {"n_hashed": np.array([128], np.int64)},
        {"n_hashed": np.array([2**40], np.int64)},
        {"n_hashed": np.array([-1], np.int64)},
        {"n_hashed": np.array([64.0])},
        {"n_hashed": np.array(64, np.int64)},
        {"n_hashed": None},
        {"n_hashed": None, "table_features": None, "table_weights": None},
    ],
    ids=lambda changes: "+".join(changes),
)  # fmt: skip
def test_a_feature_table_that_does_not_fit_is_refused(
    tmp_path: Path, lanes: int, changes: dict[str, Any]
) -> None:
    stopped = stopped_training(tmp_path, lanes=lanes, rounds_per_pass=2)
    with_other_arrays(stopped.folder, **changes)
    with pytest.raises(RunFolderError, match=r"the checkpoint in .* is damaged: ."):
        stopped.go_on(stopped.folder)
