"""Files that a later run believes, damaged: the loader refuses them by name, or gives what was written.

    PYTHONPATH=tests python -m fuzz.loaders --seconds 60

    a valid folder of each kind ─► one or two files damaged ─► a ManymillError, or the content to the last bit

Where a kind may give less than was written, `KINDS` says so: a torn last line of a journal is passed over, a damaged
tree is grown again, a damaged entry of a cache is made again.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from sklearn.datasets import make_classification

from fuzz import runner
from manymill import _core
from manymill.data.dataset import Plan, scan
from manymill.engine.array_store import ArrayStore
from manymill.errors import ManymillError
from manymill.events import Warned
from manymill.forest.checkpoints import TreeFolder
from manymill.forest.estimators import PartitionedForestClassifier
from manymill.forest.saving import load_forest, save_forest
from manymill.hash_form import word_form
from manymill.linear.checkpoints import Checkpoints
from manymill.linear.run import train_run
from manymill.linear.settings import Settings
from manymill.model import Analyzer, ModelDescription, load_model, save_model
from manymill.run_folder import read_events, read_plan
from manymill.search.journal import FILE_NAME, FORMAT, read_search
from manymill.storage import checked_json
from manymill.storage.cache import Cache
from manymill.storage.journal import Journal


def whole(found: Any, written: Any) -> bool:
    """Nothing else than what was written."""
    return bool(found == written)


def part(found: list[Any], written: list[Any]) -> bool:
    """Nothing that was not written.

    Each line of a journal has a checksum of its own: lines may be missing, stand twice or in another order, but none
    says anything else.
    """
    return all(thing in written for thing in found)


def whole_or_none(found: Any, written: Any) -> bool:
    """What was written, or nothing: it is made again."""
    return found is None or bool(found == written)


@dataclass(frozen=True)
class Kind:
    """A kind of folder.

    Attributes
    ----------
    make : callable
        Makes a valid one.
    files : tuple of str
        Globs of the files that are damaged.
    load : callable
        The product's loader: what it read, in types that compare.
    right : callable
        Whether what was read may be read of what was written.
    """

    make: Callable[[Path], None]
    files: tuple[str, ...]
    load: Callable[[Path], Any]
    right: Callable[[Any, Any], bool] = whole


def plain(value: Any) -> Any:
    """A value in types that compare, arrays as their bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, _core.Rows):
        return plain(value.arrays())
    if isinstance(value, _core.FeatureTable):
        return plain((value.n_hashed, value.features, value.weights))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) else value


# ---- models -------------------------------------------------------------------------------------------------


def _make_model(folder: Path) -> None:
    analyzer = Analyzer(**vars(word_form((1, 2))), value="log", norm="l2", n_features=64)
    description = ModelDescription(
        classes=("a", "bé", "c"),
        loss="log",
        analyzer=analyzer,
        facts={"rows": 1.5, "nested": {"a": [1, None]}},
    )
    weights, features = np.linspace(-1, 1, 20 * 3).astype(np.float32).reshape(20, 3), np.arange(3, 63, 3)
    intercept = np.array([0.5, -0.5, 0.25], np.float32)
    save_model(folder, description, weights, intercept, weights[:, 0], features.astype(np.uint32))


def _load_model(folder: Path) -> Any:
    return plain(load_model(folder))


@cache
def _rows() -> tuple[Any, Any]:
    return make_classification(80, 6, n_informative=4, n_redundant=0, n_classes=3, random_state=0)  # type: ignore[no-any-return]


@cache
def _forest() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PartitionedForestClassifier(n_estimators=4, n_partitions=2, mode="partitions").fit(*_rows())


def _make_forest(folder: Path) -> None:
    save_forest(folder, _forest().forest_, facts={"rows": 80})


def _load_forest(folder: Path) -> Any:
    forest = load_forest(folder)
    predicted = forest.predict_proba(_rows()[0])
    return plain((type(forest).__name__, [str(label) for label in forest.classes_], predicted))


# ---- run folders --------------------------------------------------------------------------------------------


class _Stopped(BaseException):
    """As sudden as a kill."""


def _make_run(folder: Path) -> None:
    source = folder.parent / "rows.jsonl"
    lines = [f'{{"text": "word{i % 7} {i} {i}", "label": "c{i % 3}"}}\nbroken\n' for i in range(60)]
    source.write_text("".join(lines))
    save, n_saved = Checkpoints.save, 0

    def save_twice(*arguments: Any) -> None:
        nonlocal n_saved
        save(*arguments)
        n_saved += 1
        if n_saved == 2:
            raise _Stopped

    Checkpoints.save = save_twice  # type: ignore[method-assign]
    settings = Settings(n_features=64, passes=2, holdout=0.2, lanes=2, rounds_per_pass=2)
    try:
        train_run(scan(source, text="text", label="label"), folder, settings, checkpoint_seconds=0)
    except _Stopped:
        pass
    finally:
        Checkpoints.save = save  # type: ignore[method-assign]


def _load_plan(folder: Path) -> Any:
    plan = read_plan(folder)
    Plan.from_json(plan["plan"])
    return plain(plan)


def _load_events(folder: Path) -> Any:
    def is_of_damage(event: Any) -> bool:
        return isinstance(event, Warned) and "is skipped" in event.message

    return [plain(event) for event in read_events(folder, poll_seconds=0) if not is_of_damage(event)]


def _load_checkpoint(folder: Path) -> Any:
    return plain(Checkpoints(folder / "checkpoint").load())


def _make_trees(folder: Path) -> None:
    forest = PartitionedForestClassifier(n_estimators=4, n_partitions=2, mode="partitions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forest.fit(*_rows(), run=folder)
    (folder / "fingerprint").write_text(checked_json.read(folder / "checkpoint" / "forest.json")["digest"])


def _load_trees(folder: Path) -> Any:
    trees = TreeFolder(folder / "checkpoint", (folder / "fingerprint").read_text())
    found = []
    for grown in trees.trees(_forest().forest_):
        state = grown.tree.tree_.__getstate__()
        nodes = [state["nodes"][name].tobytes() for name in state["nodes"].dtype.names]
        found.append([grown.number, grown.partition, nodes, state["values"].tobytes()])
    return sorted(found)


# ---- searches, caches ---------------------------------------------------------------------------------------


def _make_search(folder: Path) -> None:
    folder.mkdir()
    settings = {
        "n_trials": 3,
        "n_splits": 2,
        "rungs": [None],
        "eta": 3,
        "metric": "score",
        "estimator": "X()",
    }
    task = {"trial": 0, "split": 0, "rung": 0, "resource": None}
    evaluated = {"scores": {"score": 0.975}, "fit_seconds": 0.25, "worker": "w-1", "n_rows": 100}
    failed = {"error": "ValueError: é", "traceback": "Traceback …"}
    with Journal(folder / FILE_NAME) as journal:
        journal.append({"event": "Search", "format": FORMAT, "settings": settings})
        for trial in range(3):
            params = {"alpha": 10.0**-trial, "loss": "log", "ngrams": [1, 2]}
            journal.append({"event": "Proposed", "trial": trial, "params": params, "shown": params})
            for split in range(2):
                record = failed if trial == 2 else evaluated
                record = {"task": {**task, "trial": trial, "split": split}, **record}
                journal.append({"event": "Failed" if trial == 2 else "Evaluated", **record})
        journal.append({"event": "Ended", "why": "done"})


def _load_search(folder: Path) -> Any:
    events, settings, why = read_search(folder)
    return [thing for thing in (plain(settings), *map(plain, events), why) if thing]


_NAME = "a" * 32 + "-documents"
_FACTS = {"classes": ["ä", "b"], "n_rows": 3}
_FILES = {"sizes": bytes(range(200)) * 3, "codes": b"\1\0" * 300, "empty": b""}


def _make_cache(folder: Path) -> None:
    with Cache("tests", folder).writing(_NAME) as writer:
        for name, data in _FILES.items():
            writer.append(name, memoryview(data))
        writer.facts.update(_FACTS)


def _load_cache(folder: Path) -> Any:
    entries = Cache("tests", folder)
    try:
        if (found := entries.find(_NAME)) is None:
            return None
        entry, facts = found
        return plain((facts, {name: entry.path(name).read_bytes() for name in _FILES}))
    finally:
        entries.close()


_ARRAYS = {"a": np.arange(100, dtype=np.float64), "b": np.arange(7, dtype=np.int32).reshape(7, 1)}


def _make_store(folder: Path) -> None:
    ArrayStore(folder).put([_ARRAYS]).close()


def _load_store(folder: Path) -> Any:
    held = ArrayStore(folder).put([_ARRAYS])
    try:
        return plain(held.refs[0].load())
    finally:
        held.close()


KINDS = {
    "model": Kind(_make_model, ("model.json", "weights-*.safetensors"), _load_model),
    "forest": Kind(_make_forest, ("forest.json", "nodes-*.safetensors"), _load_forest),
    "plan": Kind(_make_run, ("plan.json",), _load_plan),
    "events": Kind(_make_run, ("events.jsonl",), _load_events, part),
    "checkpoint": Kind(_make_run, ("checkpoint/*",), _load_checkpoint),
    "trees": Kind(_make_trees, ("checkpoint/*",), _load_trees, part),
    "search": Kind(_make_search, (FILE_NAME,), _load_search, part),
    "cache": Kind(_make_cache, (f"{_NAME}/[!i]*",), _load_cache, whole_or_none),
    "store": Kind(_make_store, ("*/arrays.safetensors", "*/about.json"), _load_store),
}


@cache
def _written(name: str) -> tuple[dict[str, bytes], list[str], Any]:
    """The files of a valid folder, those that are damaged, and what the loader reads there."""
    kind = KINDS[name]
    with tempfile.TemporaryDirectory(prefix="manymill-fuzz-") as parent:
        folder = Path(parent) / "valid"
        kind.make(folder)
        damaged = [str(path.relative_to(folder)) for glob in kind.files for path in sorted(folder.glob(glob))]
        assert damaged, f"{name}: there is no file to damage"
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
        files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
        content = kind.load(folder)
        assert content, f"{name}: nothing is read"
        return files, damaged, content


def damage(chance: Random, data: bytes, other: bytes) -> bytes:
    """Damage a file once."""
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + chance.choice((1, 2, 8, 64, 512, 4096)))
    match chance.randrange(12):
        case 0 | 1 if at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + bytes(end - at) + data[end:]
        case 4:
            return data[:at] + data[end:]
        case 5:
            return data[:end] + data[at:]
        case 6:
            return data + chance.choice((b"\0", b"\n", b"{}", b"garbage", data))
        case 7:
            return data[:at] + chance.randbytes(end - at) + data[end:]
        case 8:
            return data[:at] + other[at:]
        case 9:
            return _other_number(chance, data)
        case 10:
            return _swapped(chance, data)
        case _:
            return chance.choice((b"", other, b"{}", b"null", b"[" * 100_000, bytes(len(data))))


def _other_number(chance: Random, data: bytes) -> bytes:
    """Another digit: what a person would change in a text."""
    digits = [at for at, byte in enumerate(data[:100_000]) if 48 <= byte < 58] or [len(data)]
    at = chance.choice(digits)
    return data[:at] + chance.choice((b"0", b"1", b"7", b"9")) + data[at + 1 :]


def _swapped(chance: Random, data: bytes) -> bytes:
    """Two lines, or two blocks, the other way round."""
    if data.count(b"\n") > 3:
        lines = data.splitlines(keepends=True)
        one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        return b"".join(lines)
    middle = len(data) // 2
    return data[middle:] + data[:middle]


def make(seed: int) -> bytes:
    return seed.to_bytes(8, "little")


def check(seed: int, data: bytes) -> Iterator[str]:
    """Everything follows from the bytes."""
    chance = Random(data)
    name = chance.choice(list(KINDS))
    kind = KINDS[name]
    files, damaged, written = _written(name)
    changed = dict(files)
    for path in chance.sample(damaged, min(len(damaged), chance.choice((1, 1, 1, 2)))):
        changed[path] = damage(chance, changed[path], files[chance.choice(damaged)])
    with tempfile.TemporaryDirectory(prefix="manymill-fuzz-") as parent:
        folder = Path(parent) / "damaged"
        folder.mkdir(mode=0o700)
        for path, content in changed.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / path).write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = kind.load(folder)
        except ManymillError as error:
            names = {os.path.basename(path) for path in damaged} | {str(folder)}
            if not any(part in str(error) for part in names):
                raise AssertionError(f"{name}: no file is named: {error}") from error
            yield f"{name} refused"
            return
    if not kind.right(found, written):
        paths = [path for path in files if files[path] != changed[path]]
        raise AssertionError(
            f"{name}: other content is read of a damaged {', '.join(paths)}: {found!r}"[:2000]
        )
    yield name


FUZZER = runner.Fuzzer("loaders", make, check)

if __name__ == "__main__":
    logging.getLogger("manymill.cache").setLevel(
        logging.ERROR
    )  # which says of each damaged entry that it is dropped
    runner.exit_with(FUZZER)
