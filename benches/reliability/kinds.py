"""The kinds of files that a later run believes: where a whole one is, who reads it, and what must come of it.

A kind is a row of :data:`KINDS`: a specimen (a folder that is copied for each try), the pattern of its file there, and
a use, which reads it as the product does and gives the digest of all that came out. A use that gives another digest
than that of the undamaged specimen has believed a damaged file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import numpy as np
import shim
from checks import HANG_SECONDS, prepared
from commands import Inputs, digests

Use = Callable[[Inputs, Path], str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    name : str
    specimen : str
        The folder beneath that of the specimens.
    pattern : str
        The file there; of several the first by name.
    use : callable
        Given the inputs and the copy of the specimen; gives a digest.
    share : int
        Tries of it, as a multiple of those that are asked for: cheap ones are tried more often.
    optional : bool
        Whether the product at hand may have no such file.
    """

    name: str
    specimen: str
    pattern: str
    use: Use
    share: int = 1
    optional: bool = False

    def find(self, specimens: Path) -> Path | None:
        """The file in its specimen."""
        found = sorted((specimens / self.specimen).glob(self.pattern))
        return found[0] if found else None


def _digest(pieces: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        if isinstance(piece, np.ndarray):
            digest.update(repr((piece.shape, piece.dtype.str)).encode())
            digest.update(repr(piece.tolist()).encode() if piece.dtype.hasobject else piece.tobytes())
        else:
            digest.update(repr(piece).encode())
    return digest.hexdigest()


def _load_model(inputs: Inputs, folder: Path) -> str:
    from manymill.model import load_model

    model = load_model(folder)
    arrays = [np.asarray(model.weights), np.asarray(model.intercept)]
    if model.feature_weights is not None:
        arrays.append(np.asarray(model.feature_weights))
    facts = (model.classes, model.loss, model.analyzer, model.fit_intercept, model.temperature, model.facts)
    return _digest([*facts, *arrays])


def _load_forest(inputs: Inputs, folder: Path) -> str:
    from manymill.forest.table_model import load_table_model

    model = load_table_model(folder)
    X = np.random.default_rng(0).uniform(0, 20, (50, model.forest.n_features_in_)).astype(np.float32)
    return _digest([model.classes, model.task, model.schema.to_json(), model.forest.predict_proba(X)])


def _resume(inputs: Inputs, folder: Path) -> str:
    from manymill.linear.run import resume_run

    done = resume_run(folder, threads=1, checkpoint_seconds=1e9)
    left = digests(folder, ("model/model.json", "model/*.safetensors"))
    return _digest([sorted(left.items()), done.ledger.n_used, sorted(done.ledger.counts.items())])


def _watch(inputs: Inputs, folder: Path) -> str:
    """Whoever only looks must not fail; what is damaged is passed over."""
    from manymill.cli.summary import ending
    from manymill.run_events import read_events

    events = list(read_events(folder, look_seconds=0.0))
    ending(folder, events[-1] if events else None)
    return "shown"


def _grow(inputs: Inputs, folder: Path) -> str:
    from manymill import scan
    from manymill.forest.run import ForestSettings, train_forest_run

    train_forest_run(scan(inputs / "fruit.csv", label="kind"), folder, ForestSettings(n_trees=4), engine=1)
    return _digest([sorted(digests(folder, ("model/forest.json", "model/*.safetensors")).items())])


def _search(inputs: Inputs, folder: Path) -> str:
    from sklearn.datasets import load_iris
    from sklearn.naive_bayes import GaussianNB

    from manymill import SearchCV

    X, y = load_iris(return_X_y=True)
    smoothing = [10.0**-n for n in range(6)]
    search = SearchCV(GaussianNB(), {"var_smoothing": smoothing}, cv=3, engine=1, run=folder).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    return _digest([search.best_params_, scores, search.best_estimator_.predict_proba(X)])


def _standing(inputs: Inputs, folder: Path) -> str:
    from manymill.search.watching import standing

    return _digest(standing(folder).rows())


def _hashed(inputs: Inputs, folder: Path) -> str:
    from manymill import scan
    from manymill.search.hashed import HashedCorpus

    source = scan(inputs / "rows.jsonl", text="text", label="label")
    with HashedCorpus.of(source, folder=folder, threads=1) as corpus:
        texts = corpus.texts
        hashes, starts, ends = texts.chunk((1, 1), True)
        rows = [np.asarray(hashes[start:end]) for start, end in zip(starts, ends, strict=True)]
        return _digest(
            [texts.text_bytes(), texts.keys(), *rows, corpus.y, corpus.sample_weight, corpus.notes]
        )


def _table(inputs: Inputs, folder: Path) -> str:
    from manymill import scan
    from manymill.data.table import encode_table

    table = encode_table(scan(inputs / "fruit.csv", label="kind"), folder=folder)
    return _digest(
        [np.asarray(table.X), np.asarray(table.y), table.classes, table.schema.to_json(), table.n_bad]
    )


def _store(inputs: Inputs, folder: Path) -> str:
    from manymill.engine.store import ArrayStore

    folder.chmod(0o700)
    arrays = {"X": np.arange(3000, dtype=np.float32).reshape(300, 10), "y": np.arange(300) % 3}
    hold = ArrayStore(folder).hold([arrays])
    try:
        found = hold.refs[0].load()
        return _digest([(name, np.asarray(found[name])) for name in sorted(found)])
    finally:
        hold.close()


def _predict(inputs: Inputs, folder: Path) -> str:
    from manymill import scan
    from manymill.model import load_model
    from manymill.predict import predict

    plan = scan([inputs / "a.jsonl", inputs / "b.jsonl"], text="text", labelled=False).plan()
    results = predict(load_model(Path(inputs / "model")), plan, folder, threads=1)
    told = [(Path(r.part).name, r.n_rows, sorted(r.bad_counts.items())) for r in results]
    return _digest([told, sorted(digests(folder, ("*.jsonl", ".manymill/*.bad_rows")).items())])


def _hash(inputs: Inputs, folder: Path) -> str:
    from manymill import scan
    from manymill.features import FeatureSettings, write_features

    plan = scan(inputs / "a.jsonl", text="text", label="label").plan()
    write_features(plan, folder / "X.npz", FeatureSettings(n_features=512), threads=1)
    return _digest([sorted(digests(folder, ("X.*",)).items())])


KINDS = (
    Kind("model.json", "model", "model.json", _load_model, 6),
    Kind("weights", "model", "weights-*.safetensors", _load_model, 6),
    Kind("forest.json", "forest", "forest.json", _load_forest, 4),
    Kind("nodes", "forest", "nodes-*.safetensors", _load_forest, 4),
    Kind("position.json", "run", "checkpoint/position.json", _resume),
    Kind("state arrays", "run", "checkpoint/state-*", _resume),
    Kind("held-out arrays", "run", "checkpoint/held-out-*", _resume),
    Kind("plan.json", "run", "plan.json", _resume),
    Kind("events.jsonl, resumed", "run", "events.jsonl", _resume),
    Kind("events.jsonl, watched", "run", "events.jsonl", _watch),
    Kind("bad_rows.jsonl", "run", "bad_rows.jsonl", _resume),
    Kind("tree checkpoint, forest.json", "trees", "checkpoint/forest.json", _grow),
    Kind("tree checkpoint, tree", "trees", "checkpoint/tree-*", _grow),
    Kind("search.jsonl, gone on with", "search", "search.jsonl", _search),
    Kind("search.jsonl, watched", "search", "search.jsonl", _standing),
    Kind("hashed texts, about.json", "hashed", "*-documents/about.json", _hashed),
    Kind("hashed texts, sizes", "hashed", "*-documents/sizes", _hashed),
    Kind("hashed texts, keys", "hashed", "*-documents/keys", _hashed),
    Kind("hashed texts, codes", "hashed", "*-documents/codes", _hashed),
    Kind("hashed texts, weights", "hashed", "*-documents/weights", _hashed),
    Kind("hashed texts, hashes", "hashed", "*-words-1-1*/hashes", _hashed),
    Kind("hashed texts, ends", "hashed", "*-words-1-1*/ends", _hashed),
    Kind("hashed texts, about.json of hashes", "hashed", "*-words-1-1*/about.json", _hashed),
    Kind("table, about.json", "tables", "*/about.json", _table),
    Kind("table, X", "tables", "*/X", _table),
    Kind("table, y", "tables", "*/y", _table),
    Kind("shared arrays", "store", "*.safetensors", _store, 4),
    Kind("predict, .done", "parts", ".manymill/a.jsonl.done", _predict),
    Kind("predict, part", "parts", "a.jsonl", _predict),
    Kind("hash, record", "matrix", ".*/*.done", _hash, optional=True),
)


def make(base: Path) -> tuple[Inputs, Path]:
    """The inputs, and a folder with every specimen."""
    inputs, specimens = prepared(base), base / "specimens"
    specimens.mkdir()
    # Rows of tables lie here for the forests, whose checkpoints know the file by its place.
    os.environ["XDG_CACHE_HOME"] = os.environ["MANYMILL_CACHE"] = str(base / "cache")
    os.environ["MANYMILL_STORE"] = str(base / "store")
    shutil.copytree(inputs / "model", specimens / "model")
    shutil.copytree(inputs / "stopped-run", specimens / "run")
    for name, use in (
        ("hashed", _hashed),
        ("tables", _table),
        ("store", _store),
        ("parts", _predict),
        ("matrix", _hash),
    ):
        _in_child(inputs, specimens / name, use)
    _in_child(inputs, specimens / "grown", _grow)
    shutil.move(specimens / "grown" / "model", specimens / "forest")
    shutil.rmtree(specimens / "grown")
    _grow_half(inputs, specimens / "trees")
    _in_child(inputs, specimens / "search", _search)
    journal = specimens / "search" / "search.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: 2 * len(lines) // 3]))
    return inputs, specimens


def _in_child(inputs: Inputs, folder: Path, use: Use) -> None:
    """A use in an empty folder makes a specimen."""
    folder.mkdir()
    if forks.wait(forks.fork(lambda: use(inputs, folder) and None), HANG_SECONDS) != 0:
        raise SystemExit(f"the specimen {folder.name} could not be made")


def _grow_half(inputs: Inputs, folder: Path) -> None:
    """A forest whose driver was killed when it had three of four trees."""
    folder.mkdir()
    log = shim.Log()

    def work(mode: shim.Mode | None = None, number: int = 2**40) -> int:
        log.arm([folder], mode, number)
        _grow(inputs, folder)
        return 0

    forks.wait(forks.fork(work), HANG_SECONDS)
    calls = log.calls()
    log.drop()
    third = [n for n, call in enumerate(calls, 1) if call.startswith("rename") and "tree-" in call][2]
    shutil.rmtree(folder)
    folder.mkdir()
    log = shim.Log()
    forks.wait(forks.fork(lambda: work(shim.MODES["kill"], third + 1)), HANG_SECONDS)
    log.drop()
