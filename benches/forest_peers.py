"""Forests on KDD Cup 1999 against other programs: seconds of a fit, and accuracy on the official test.

    python benches/forest_peers.py --data FOLDER [--trees 16] [--repeats 3]

FOLDER holds ``kddcup.data_10_percent.gz`` for training and ``corrected.gz``, the official test. All programs use two
workers, the same number of trees, and their own defaults for the rest; they run alternately, and manymill's workers
have started before. LightGBM and YDF are skipped if they are not installed. Also measured: the bytes that a second
fit with a new engine writes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import measure
import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from manymill import PartitionedForestClassifier, scan
from manymill.data.table import encode_table
from manymill.engine.selection import as_engine

RESULT = Path(__file__).parent / "results" / "forest-peers.json"
WARM_ROWS = 2000

Predict = Callable[[Any], Any]
Fit = Callable[[Any, Any], Predict]


def tables(data: Path, work: Path) -> tuple[Any, Any, Any, Any]:
    """Training and test rows; labels are numbers, -1 for those that are not in the training set."""
    train = encode_table(scan(data / "kddcup.data_10_percent.gz", label="41", format="csv"), folder=work)
    test = encode_table(
        scan(data / "corrected.gz", label="41", format="csv"), schema=train.schema, folder=work
    )
    assert train.classes is not None
    assert test.classes is not None
    place = {name: number for number, name in enumerate(train.classes)}
    numbers = np.array([place.get(name, -1) for name in test.classes])
    return np.array(train.X), np.array(train.y), np.array(test.X), numbers[test.y]


def arms(n_trees: int, stack: ExitStack) -> Iterator[tuple[str, Fit]]:
    """The estimators to fit, by name; first those that others are compared with."""
    kinds = {"extra-trees": ExtraTreesClassifier, "random forest": RandomForestClassifier}
    for kind, of in kinds.items():
        yield (
            f"{kind}, scikit-learn",
            lambda X, y, of=of: of(n_trees, n_jobs=2, random_state=0).fit(X, y).predict,
        )
        for name, engine in (("threads", 2), ("processes", "processes:2")):
            workers = stack.enter_context(as_engine(engine))
            forest = PartitionedForestClassifier(of(n_trees), engine=workers)
            yield f"{kind}, manymill, 2 {name}", lambda X, y, forest=forest: forest.fit(X, y).predict
    if find_spec("lightgbm"):
        yield "random forest, LightGBM", lambda X, y: _lightgbm(X, y, n_trees)
    if find_spec("ydf"):
        yield "random forest, YDF", lambda X, y: _ydf(X, y, n_trees)


def _lightgbm(X: Any, y: Any, n_trees: int) -> Predict:
    from lightgbm import LGBMClassifier

    # A round is a tree for each class; rows and columns are drawn as its documentation says for forests.
    model = LGBMClassifier(
        boosting_type="rf",
        n_estimators=n_trees,
        bagging_freq=1,
        bagging_fraction=0.63,
        n_jobs=2,
        random_state=0,
        verbose=-1,
    )
    booster = model.fit(X, y).booster_
    return lambda rows: np.argmax(booster.predict(rows), axis=1)


def _ydf(X: Any, y: Any, n_trees: int) -> Predict:
    import ydf

    learner = ydf.RandomForestLearner(
        label="label", num_trees=n_trees, num_threads=2, compute_oob_performances=False
    )
    model = learner.train({"X": X, "label": y}, verbose=0)
    places = np.array([int(name) for name in model.label_classes()])
    return lambda rows: places[np.argmax(model.predict({"X": rows}), axis=1)]


def compared(options: argparse.Namespace, rows: tuple[Any, Any, Any, Any]) -> list[dict[str, Any]]:
    """Seconds and accuracy of all arms, run alternately."""
    X, y, X_test, y_test = rows
    seconds: dict[str, list[float]] = {}
    right: dict[str, float] = {}
    with ExitStack() as stack:
        fits = dict(arms(options.trees, stack))
        for name, fit in fits.items():
            if "manymill" in name:
                fit(X[:WARM_ROWS], y[:WARM_ROWS])
        for _ in range(options.repeats):
            for name, fit in fits.items():
                start = time.perf_counter()
                predict = fit(X, y)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                if name not in right:
                    right[name] = float(np.mean(np.asarray(predict(X_test)) == y_test))
                print(name, round(seconds[name][-1], 2), flush=True)
    return [
        {
            "arm": name,
            "trees": options.trees,
            "accuracy": round(100 * right[name], 2),
            "median_seconds": round(statistics.median(all_), 2),
            "times_scikit_learn": round(
                statistics.median(
                    a / b for a, b in zip(all_, seconds[f"{name.split(',')[0]}, scikit-learn"], strict=True)
                ),
                2,
            ),
            "all_seconds": [round(value, 2) for value in all_],
        }
        for name, all_ in seconds.items()
    ]


def written(X: Any, y: Any, store: Path) -> list[int]:
    """Bytes that each of two fits writes to the store."""
    sizes, before = [], _files(store)
    for _ in range(2):
        with as_engine("processes:1") as engine:
            PartitionedForestClassifier(n_estimators=1, engine=engine).fit(X, y)
        now = _files(store)
        sizes.append(sum(now[file] for file in now.keys() - before.keys()))
        before = now
    return sizes


def _files(folder: Path) -> dict[tuple[str, int], int]:
    """Sizes by name and inode: a rewritten file has another inode."""
    stats = [(path, path.stat()) for path in folder.rglob("*.safetensors")]
    return {(path.name, stat.st_ino): stat.st_size for path, stat in stats}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with KDD Cup 1999")
    parser.add_argument("--trees", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        os.environ["MANYMILL_STORE"] = str(Path(work) / "store")
        rows = tables(options.data, Path(work))
        sizes = written(*rows[:2], Path(work) / "store")
        found = compared(options, rows)
    told = f"--trees {options.trees} --repeats {options.repeats}"
    content = {
        "command": f"python benches/forest_peers.py --data DATA {told}",
        "machine": measure.machine(),
        "versions": measure.versions("manymill", "scikit-learn", "numpy", "lightgbm", "ydf"),
        "bytes_written_by_the_first_and_second_fit": sizes,
        "rows": found,
    }
    measure.write_json(RESULT, content)


if __name__ == "__main__":
    main()
