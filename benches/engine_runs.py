"""The same training on threads, processes and a Dask cluster: bytes of the weights, and throughput.

The Dask cluster has two worker processes of one thread each on this machine, and uses the loopback interface only.
Times are wall seconds from plan to last state; workers have started and imported everything before.
"""

from __future__ import annotations

import gc
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import scaling

from manymill import scan
from manymill.engine.base import Engine
from manymill.engine.selection import as_engine
from manymill.linear.lanes import worker
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState
from manymill.linear.training import train

MB = 1_000_000
SPEED_BYTES = (120 * MB, 480 * MB)
ENGINES = ("threads:1", "threads:2", "threads:3", "processes:2", "dask:2")


@contextmanager
def engine_named(name: str) -> Iterator[Engine]:
    """An engine with its workers, which end with it."""
    kind, _, width = name.partition(":")
    if kind == "dask":
        import distributed

        with (
            distributed.LocalCluster(
                int(width), threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
            as_engine(client) as engine,
        ):
            yield engine
    else:
        with as_engine(int(width) if kind == "threads" else name) as engine:
            yield engine


def once(file: Path, settings: Settings, engine: Engine, threads: int) -> tuple[float, str]:
    """Seconds of a training, and the digest of its weights and intercepts."""
    digest = hashlib.sha256()
    plan = scan(file).plan()
    gc.collect()
    start = time.perf_counter()
    state: LinearState = train(
        plan, settings, on_best=lambda *ignored: None, engine=engine, threads=threads
    ).state
    seconds = time.perf_counter() - start
    for weights in state.weights():
        digest.update(weights.tobytes())
    digest.update(state.intercept().tobytes())
    return seconds, digest.hexdigest()[:32]


def digests(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """The digest of the weights by engine."""
    rows: list[dict[str, Any]] = []
    settings = Settings(recipe="fast", ngram_range=(1, 2), lanes=16, passes=2, rounds_per_pass=4)
    for name in ENGINES:
        with engine_named(name) as engine:
            _, digest = once(folder / "shuffled.jsonl", settings, engine, 2)
        same = not rows or digest == rows[0]["digest"]
        rows.append({"corpus": folder.name, "engine": name, "lanes": 16, "digest": digest, "same": same})
        print(rows[-1], file=sys.stderr, flush=True)
    yield rows


def speeds(folder: Path, repeats: int) -> Iterator[list[dict[str, Any]]]:
    """Throughput of lanes on a corpus replicated to more than 100 MB."""
    rows: list[dict[str, Any]] = []
    for size in SPEED_BYTES:
        rows = [*rows, *_speeds_of(folder, size, repeats)]
        yield rows


def _speeds_of(folder: Path, size: int, repeats: int) -> list[dict[str, Any]]:
    """Run all arms on one size, alternating."""
    file = folder / "replicated.jsonl"
    scaling.replicate(folder / "shuffled.jsonl", file, size)
    words = {"recipe": "fast", "ngram_range": (1, 2), "holdout": 0.0, "passes": 1, "rounds_per_pass": 4}
    arms = {
        "one lane, one thread": ("threads:1", 1, Settings(**words, lanes=1)),
        "two lanes, two threads": ("threads:2", 2, Settings(**words, lanes=2)),
        "one lane, two threads": ("threads:2", 2, Settings(**words, lanes=1)),
        "two lanes, two processes": ("processes:2", 2, Settings(**words, lanes=2)),
        "two lanes, two Dask workers": ("dask:2", 2, Settings(**words, lanes=2)),
    }
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    loads = []
    for _ in range(repeats):
        for arm, (name, threads, settings) in arms.items():
            with engine_named(name) as engine:
                warm(engine)
                seconds[arm].append(once(file, settings, engine, threads)[0])
            print(arm, round(seconds[arm][-1], 2), file=sys.stderr, flush=True)
        loads.append(round(os.getloadavg()[0], 2))
    n_bytes = file.stat().st_size
    file.unlink()
    return [_row(folder.name, arm, n_bytes, seconds, loads) for arm in arms]


def warm(engine: Engine) -> None:
    """Start the workers and their imports before the measurement."""
    list(engine.map(_imported, range(4 * engine.width), keys=range(4 * engine.width)))


def _imported(number: int) -> str:
    return worker.__name__


def _row(
    corpus: str, arm: str, n_bytes: int, seconds: dict[str, list[float]], loads: list[float]
) -> dict[str, Any]:
    """One arm: medians, and medians of the ratios between runs of the same turn, when the machine was equally busy."""
    one, two = seconds["one lane, one thread"], seconds["two lanes, two threads"]
    mine = seconds[arm]
    return {
        "corpus": corpus,
        "replicated": True,
        "arm": arm,
        "file_mb": round(n_bytes / 1e6, 1),
        "median_seconds": round(statistics.median(mine), 2),
        "mb_per_second": round(n_bytes / 1e6 / statistics.median(mine), 1),
        "times_one_lane_one_thread": round(
            statistics.median(a / b for a, b in zip(one, mine, strict=True)), 2
        ),
        "time_beside_two_threads": round(statistics.median(b / a for a, b in zip(two, mine, strict=True)), 2),
        "all_seconds": [round(value, 2) for value in mine],
        "load": loads,
    }
