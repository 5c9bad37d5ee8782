"""Forests against scikit-learn's: the same trees, time, memory, and the cost of partitions.

    python benches/forests.py --data FOLDER [--sections identical speed memory gap large combining] [--gigabytes 5]

``identical``
    Trees compared field by field, for 1, 2 and 3 workers, on threads, processes and a Dask cluster.
``speed``
    Shared mode with 2 started workers against scikit-learn's ``n_jobs=2``, alternating; bytes that a second fit
    writes.
``memory``
    Private memory of worker processes that grow trees on a mapped matrix, minus that on a tiny one. It depends on the
    number of rows, not on the bytes of the matrix: scikit-learn encodes and sorts all labels for each tree.
``gap``
    KDD99 (10 %) and its official test: partitions and patches against a forest of all rows; rows in random order, and
    sorted by label; by number of partitions and of rows.
``large``
    A mapped matrix of many gigabytes in partitions: peak private memory of driver and workers together.
``combining``
    1,000 trees combined into one forest.

Results are written to ``benches/results/forests.json``, each section with the machine and the command.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import psutil
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score

from manymill import PartitionedForestClassifier, combine_forests, scan
from manymill.data.table import encode_table
from manymill.engine.selection import as_engine

OUT = Path(__file__).parent / "results" / "forests.json"
TREES = 32
REPEATS = 5
PARTITIONS = 16


def main() -> None:
    """Measure, print and save the sections."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results = json.loads(OUT.read_text()) if OUT.exists() else {}
    for section in options.sections:
        with tempfile.TemporaryDirectory() as work:
            found = SECTIONS[section](options, Path(work))
        results[section] = {
            "command": f"python benches/forests.py --data DATA --sections {section}",
            "machine": measure.machine(),
            "rows": found,
        }
        OUT.write_text(json.dumps(results, indent=1) + "\n")
        for row in found:
            print(section, row, flush=True)


def identical(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Compare the trees of every engine with scikit-learn's."""
    from distributed import Client, LocalCluster

    X, y = make_classification(4000, 20, n_informative=10, n_classes=4, random_state=0)
    theirs = {
        kind: kind(TREES, random_state=7).fit(X, y) for kind in (RandomForestClassifier, ExtraTreesClassifier)
    }
    with (
        LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        engines = {
            "1 thread": 1,
            "2 threads": 2,
            "3 threads": 3,
            "2 processes": "processes:2",
            "Dask": client,
        }
        return [
            {"engine": name, "forest": kind.__name__, "same": _same(_grown(kind, engine, X, y), whole)}
            for name, engine in engines.items()
            for kind, whole in theirs.items()
        ]


def _grown(kind: Any, engine: Any, X: Any, y: Any) -> Any:
    return PartitionedForestClassifier(kind(TREES), random_state=7, engine=engine).fit(X, y).forest_


def _same(ours: Any, theirs: Any) -> bool:
    for mine, other in zip(ours.estimators_, theirs.estimators_, strict=True):
        left, right = mine.tree_.__getstate__(), other.tree_.__getstate__()
        fields = left["nodes"].dtype.names
        if not all(np.array_equal(left["nodes"][f], right["nodes"][f], equal_nan=True) for f in fields):
            return False
        if not np.array_equal(left["values"], right["values"]):
            return False
    return True


def speed(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Seconds of a fit, manymill's and scikit-learn's alternating."""
    X, y = make_classification(40_000, 30, n_informative=12, n_classes=4, random_state=0)
    X = X.astype(np.float32)
    rows = []
    for kind in (RandomForestClassifier, ExtraTreesClassifier):
        for name in (2, "processes:2"):
            with as_engine(name) as engine:
                fit = PartitionedForestClassifier(kind(TREES), random_state=0, engine=engine).fit
                fit(X, y)  # workers are up, the rows are shared
                before = engine.bytes_out
                pairs = []
                for _ in range(REPEATS):
                    theirs = _seconds(lambda kind=kind: kind(TREES, random_state=0, n_jobs=2).fit(X, y))
                    pairs.append((_seconds(lambda fit=fit: fit(X, y)), theirs))
            ratios = [ours / theirs for ours, theirs in pairs]
            rows.append(
                {
                    "forest": kind.__name__,
                    "workers": str(name),
                    "ratio": round(statistics.median(ratios), 3),
                    "all": [round(ratio, 3) for ratio in ratios],
                    "must": 1.15,
                    "bytes_out_per_fit_again": (engine.bytes_out - before) // REPEATS,
                    "bytes_of_rows": X.nbytes,
                }
            )
    return rows


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Private memory of workers."""
    rows = []
    cases = [("shared", 50), ("partitions", 50), ("patches", 50), ("shared", 500)]
    for mode, n_columns in cases:
        large = _matrix(work / "large.npy", 1.0, n_columns)
        small = _matrix(work / "small.npy", 0.001, n_columns)
        peaks = []
        for X, y in (small, large):
            with _Peak() as peak:
                forest = ExtraTreesClassifier(PARTITIONS, max_depth=6)
                options_of = {"mode": mode, "n_partitions": PARTITIONS, "engine": "processes:2"}
                PartitionedForestClassifier(forest, **options_of).fit(X, y)
            peaks.append(peak.of_worker)
        rows.append(
            {
                "mode": mode,
                "shape": list(large[0].shape),
                "matrix_bytes": large[0].nbytes,
                "rows": large[0].shape[0],
                "columns": n_columns,
                "extra_private_bytes_of_a_worker": peaks[1] - peaks[0],
                "must": 60_000_000,
            }
        )
    return rows


def _matrix(path: Path, gigabytes: float, n_columns: int = 50) -> tuple[Any, Any]:
    """A mapped matrix of float32, written block by block."""
    n_rows = int(gigabytes * 1e9 / 4 / n_columns)
    path.unlink(missing_ok=True)  # an earlier one may still be mapped
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n_columns))
    y = np.empty(n_rows, np.int8)
    generator = np.random.default_rng(0)
    for start in range(0, n_rows, 100_000):
        block = generator.standard_normal((min(100_000, n_rows - start), n_columns), np.float32)
        X[start : start + len(block)] = block
        y[start : start + len(block)] = (block[:, :3].sum(axis=1) > 0).astype(np.int8)
    X.flush()
    del X
    return np.load(path, mmap_mode="r"), y


class _Peak:
    """The peak memory of this process and its workers while a block runs.

    Only anonymous memory counts: the system drops pages of a mapped file when memory is short, but counts them as
    private if a single process has touched them.
    """

    def __enter__(self) -> _Peak:
        self.of_worker = self.of_all = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.05):
            used = []
            for process in [me, *me.children(recursive=True)]:
                try:
                    used.append(_anonymous(process.pid))
                except OSError:
                    continue  # it has just ended
            self.of_worker = max([self.of_worker, *used[1:]])
            self.of_all = max(self.of_all, sum(used))


def _anonymous(pid: int) -> int:
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("Anonymous:"))


def gap(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Accuracy on KDD99's official test."""
    train = _table(options.data / "kddcup.data_10_percent.gz", work / "train.csv")
    test = encode_table(
        scan(_csv(options.data / "corrected.gz", work / "test.csv"), label="label"),
        schema=train.schema,
        folder=work,
    )
    rows = []
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(train.X))
        cases = [("random", len(order), 1), *(("random", len(order), p) for p in (4, PARTITIONS))]
        cases += [("random", len(order) // 16, p) for p in (1, PARTITIONS)]
        cases += [("sorted", len(order), p) for p in (1, PARTITIONS)]
        for how, n_rows, n_partitions in cases:
            chosen = order[:n_rows]
            if how == "sorted":
                chosen = chosen[np.argsort(train.y[chosen], kind="stable")]
            X, y = np.asarray(train.X)[chosen], train.labels[chosen]
            for mode in ("shared",) if n_partitions == 1 else ("partitions", "patches"):
                forest = PartitionedForestClassifier(
                    n_estimators=TREES, mode=mode, n_partitions=n_partitions, random_state=seed, engine=2
                ).fit(X, y)
                found = forest.forest_.predict(test.X)
                rows.append(
                    {
                        "order": how,
                        "n_rows": n_rows,
                        "partitions": n_partitions,
                        "mode": mode,
                        "seed": seed,
                        "accuracy": round(100 * accuracy_score(test.labels, found), 3),
                        "diversity": round(_diversity(forest.forest_, test.X[::50]), 4),
                        "nodes": sum(tree.tree_.node_count for tree in forest.estimators_),
                    }
                )
    return rows


def _diversity(forest: Any, X: Any) -> float:
    """The share of rows on which two trees disagree, over pairs of adjacent trees."""
    votes = [tree.predict(np.asarray(X)) for tree in forest.estimators_]
    return float(np.mean([np.mean(a != b) for a, b in itertools.pairwise(votes)]))


def _csv(source: Path, path: Path) -> Path:
    with gzip.open(source, "rb") as file:
        path.write_bytes((",".join(f"c{n}" for n in range(41)) + ",label\n").encode() + file.read())
    return path


def _table(source: Path, path: Path) -> Any:
    return encode_table(scan(_csv(source, path), label="label"), folder=path.parent)


def large(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """A matrix too large for any worker; each partition has a tree, so all rows are used."""
    X, y = _matrix(work / "rows.npy", options.gigabytes)
    start = time.perf_counter()
    with _Peak() as peak:
        PartitionedForestClassifier(
            ExtraTreesClassifier(64, max_depth=8), mode="partitions", n_partitions=64, engine="processes:2"
        ).fit(X, y)
    return [
        {
            "matrix_bytes": X.nbytes,
            "seconds": round(time.perf_counter() - start, 1),
            "private_bytes_of_all": peak.of_all,
            "must": 2_000_000_000,
        }
    ]


def combining(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """1,000 trees of ten forests, and of ten that each lack a class."""
    X, y = make_classification(6000, 20, n_informative=12, n_classes=10, random_state=0)
    rows = []
    for lacking in (False, True):
        parts = [
            ExtraTreesClassifier(100, random_state=part).fit(*_without(X, y, part if lacking else -1))
            for part in range(10)
        ]
        size = sum(_bytes(part) for part in parts)
        before = psutil.Process().memory_full_info().uss
        start = time.perf_counter()
        whole = combine_forests(parts)
        seconds = time.perf_counter() - start
        grown = psutil.Process().memory_full_info().uss - before
        rows.append(
            {
                "parts_lack_a_class": lacking,
                "trees": len(whole.estimators_),
                "seconds": round(seconds, 3),
                "memory_over_forest": round((grown if lacking else grown + size) / _bytes(whole), 3),
            }
        )
    return rows


def _without(X: Any, y: Any, label: int) -> tuple[Any, Any]:
    return X[y != label], y[y != label]


def _bytes(forest: Any) -> int:
    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    return sum(state["nodes"].nbytes + state["values"].nbytes for state in states)


SECTIONS: dict[str, Callable[[argparse.Namespace, Path], list[dict[str, Any]]]] = {
    "identical": identical,
    "speed": speed,
    "memory": memory,
    "gap": gap,
    "large": large,
    "combining": combining,
}


if __name__ == "__main__":
    main()
