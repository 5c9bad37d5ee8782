"""The kinds of files that a later run relies on: where to get an intact one, what reads it, and the expected result.

A specimen is a folder that the product wrote. Each of its files is a kind, including files that only some versions
write: the folder is listed. A use reads a copy of the specimen as the product does and returns a digest of the
result; a digest that differs from that of the undamaged specimen means that a damaged file was accepted. To add a
specimen, add a row to :data:`SPECIMENS`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
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
class Specimen:
    """A folder whose files a later run relies on.

    Attributes
    ----------
    name : str
        Description.
    folder : str
        Path below the folder of all specimens.
    use : callable
        Given the inputs and a copy of the folder; returns a digest.
    pattern : str
        Regular expression of the files that the use relies on.
    share : int
        Tries of each, as a multiple of the requested number: cheap ones are tried more often.
    """

    name: str
    folder: str
    use: Use
    pattern: str = ".*"
    share: int = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: one file of a specimen, and its use."""

    name: str
    specimen: Path
    file: str
    use: Use
    share: int


def kinds_in(specimens: Path) -> dict[str, Kind]:
    """Every kind by name; of several files that differ in a number or a checksum, the first."""
    found: dict[str, Kind] = {}
    for specimen in SPECIMENS:
        folder = specimens / specimen.folder
        for path in sorted(folder.rglob("*")):
            file = str(path.relative_to(folder))
            is_lock = file.endswith("lock") or "in-use" in file
            if (
                not path.is_file()
                or is_lock
                or not path.stat().st_size
                or not re.fullmatch(specimen.pattern, file)
            ):
                continue
            kind = f"{specimen.name}: {re.sub(r'[0-9a-f]{16,}', '*', re.sub(r'-[0-9]+(?=[.])', '-*', file))}"
            found.setdefault(kind, Kind(kind, folder, file, specimen.use, specimen.share))
    return found


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
    arrays += [np.asarray(a) for a in (model.feature_weights, model.features) if a is not None]
    facts = (model.classes, model.loss, model.analyzer, model.fit_intercept, model.facts)
    return _digest([*facts, model.probability, model.temperature, *arrays])


def _load_forest(inputs: Inputs, folder: Path) -> str:
    from manymill.forest.run import load_table_model

    model = load_table_model(folder)
    X = np.random.default_rng(0).uniform(0, 20, (50, model.forest.n_features_in_)).astype(np.float32)
    return _digest([model.classes, model.task, model.schema.to_json(), model.forest.predict_proba(X)])


def _resume(inputs: Inputs, folder: Path) -> str:
    from manymill.linear.run import resume_run

    done = resume_run(folder, threads=1, checkpoint_seconds=1e9)
    left = digests(folder, ("model/model.json", "model/*.safetensors"))
    return _digest([sorted(left.items()), done.ledger.n_used, sorted(done.ledger.counts.items())])


def _watch(inputs: Inputs, folder: Path) -> str:
    """A read-only view must not fail; it skips what is damaged."""
    from manymill.cli.summary import ending
    from manymill.run_folder import read_events

    events = list(read_events(folder, poll_seconds=0.0))
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
    """The displayed ranking of a search: a journal that lost its end shows an earlier ranking, not a different one."""
    found = _shown(folder)
    known = inputs.folder / "standings.json"
    return "a standing of it" if known.exists() and found in json.loads(known.read_text()) else found


def _shown(folder: Path) -> str:
    from manymill.search.journal import read_status

    return _digest(read_status(folder).ranking())


def _note_standings(inputs: Inputs, folder: Path) -> int:
    """Record every ranking that the journal of a search has shown since its beginning."""
    journal = folder / "search.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    found = []
    for n_lines in range(1, len(lines) + 1):
        journal.write_bytes(b"".join(lines[:n_lines]))
        found.append(_shown(folder))
    (inputs.folder / "standings.json").write_text(json.dumps(found))
    return 0


def _hashed(inputs: Inputs, folder: Path) -> str:
    from manymill import scan
    from manymill.hash_form import word_form
    from manymill.search.hashed_corpus import HashedCorpus

    source = scan(inputs / "rows.jsonl", text="text", label="label")
    with HashedCorpus.build(source, folder=folder, threads=1) as corpus:
        texts = corpus.texts
        hashes, starts, ends = texts.chunk(word_form())
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
    from manymill.engine.array_store import ArrayStore

    folder.chmod(0o700)
    arrays = {"X": np.arange(3000, dtype=np.float32).reshape(300, 10), "y": np.arange(300) % 3}
    hold = ArrayStore(folder).put([arrays])
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


SPECIMENS = (
    Specimen("model", "model", _load_model, share=5),
    Specimen("forest", "forest", _load_forest, share=4),
    Specimen("training, resumed", "run", _resume, r"(?!model/).*"),
    Specimen("training, watched", "run", _watch, r"(events|plan)\.json.*"),
    Specimen("growing forest", "trees", _grow, r"(?!model/|events).*"),
    Specimen("search, resumed", "search", _search),
    Specimen("search, watched", "search", _standing, r"search\.jsonl"),
    Specimen("hashed texts", "hashed", _hashed),
    Specimen("table", "tables", _table),
    Specimen("shared arrays", "store", _store, share=2),
    Specimen("predictions", "parts", _predict),
    Specimen("hashed features", "matrix", _hash),
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
    forks.wait(forks.fork(lambda: _note_standings(inputs, specimens / "search")), HANG_SECONDS)
    return inputs, specimens


def _in_child(inputs: Inputs, folder: Path, use: Use) -> None:
    """Make a specimen by a use in an empty folder."""
    folder.mkdir()
    if forks.wait(forks.fork(lambda: use(inputs, folder) and None), HANG_SECONDS) != 0:
        raise SystemExit(f"the specimen {folder.name} could not be made")


def _grow_half(inputs: Inputs, folder: Path) -> None:
    """A forest whose driver was killed after three of four trees."""
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
