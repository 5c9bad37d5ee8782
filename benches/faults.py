"""Kills drivers and workers at random moments and compares the model with that of an undisturbed run.

    python benches/faults.py --driver-kills 100 --worker-kills 200 --cluster-kills 50

Of each kind of training: an undisturbed run; then runs whose driver is killed (SIGKILL) at random moments, up to five
times, and gone on with; then runs on processes, and on a Dask cluster, whose workers are killed at random moments.
Every model has to have the same bytes as the undisturbed one. Prints and, with --json, writes the tally.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from manymill import scan
from manymill.engine.processes import ProcessEngine
from manymill.events import Event, LaneEnded, WorkerLost
from manymill.linear.run import train_run
from manymill.linear.settings import Settings

SHIPPED = Path(__file__).parents[1] / "examples" / "data" / "languages-train.jsonl.zst"
COMMON: dict[str, Any] = {"n_features": 2**16, "passes": 3, "patience": 3}
LANES: dict[str, Any] = {**COMMON, "lanes": 8, "rounds_per_pass": 4}

# (name, settings, whether rows are kept between passes, engine)
KINDS: list[tuple[str, dict[str, Any], bool, str | int]] = [
    ("one lane", {**COMMON, "window_bytes": 200_000}, False, 2),
    ("one lane, l2, balanced", {**COMMON, "window_bytes": 200_000, "l2": 1e-6, "class_weight": "balanced"}, False, 2),
    ("lanes on threads", LANES, True, 2),
    ("lanes, nb, read again", {**LANES, "feature_weights": "nb"}, False, 2),
    ("lanes on processes", LANES, True, "processes:2"),
]  # fmt: skip

# Workers of a cluster that are killed in one run.
_KILLS_OF_A_CLUSTER = 4

# What a driver does: begin the run, or go on with it. Checkpoints as often as there can be any.
DRIVER = """
import json, sys
from manymill import scan
from manymill.linear import sizes
from manymill.linear.run import train_run
from manymill.linear.settings import Settings
source, out, settings, kept, engine = json.loads(sys.argv[1])
if not kept:
    sizes.CACHE_BYTES = 0
train_run(scan(source), out, Settings(**settings), engine=engine, threads=2, checkpoint_seconds=0)
"""


def main() -> None:
    """Kill, compare, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--driver-kills", type=int, default=20)
    parser.add_argument("--worker-kills", type=int, default=20)
    parser.add_argument("--cluster-kills", type=int, default=0, help="workers of a Dask cluster")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the tally here")
    asked = parser.parse_args()
    generator = random.Random(asked.seed)
    folder = Path(tempfile.mkdtemp(prefix="manymill-faults-"))
    try:
        source = folder / "rows.jsonl"
        with pa.input_stream(SHIPPED, compression="zstd") as file:
            source.write_bytes(file.read())
        tally = [
            *_drivers(source, asked.driver_kills, generator),
            *_workers(source, asked.worker_kills, generator),
            *_cluster(source, asked.cluster_kills, generator),
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    total = {
        "driver_kills": sum(row["kills"] for row in tally if row["killed"] == "driver"),
        "worker_kills": sum(row["kills"] for row in tally if row["killed"] == "worker"),
        "cluster_kills": sum(row["kills"] for row in tally if row["killed"] == "worker of a cluster"),
        "runs": sum(row["runs"] for row in tally),
        "runs_with_other_bytes": sum(row["differ"] for row in tally),
    }
    print(json.dumps(total))
    if asked.json:
        asked.json.write_text(json.dumps({"total": total, "kinds": tally}, indent=1) + "\n")
    sys.exit(total["runs_with_other_bytes"] > 0)


def _drivers(source: Path, n_kills: int, generator: random.Random) -> list[dict[str, Any]]:
    tally = []
    for place, (name, settings, kept, engine) in enumerate(KINDS):
        out = source.parent / f"driver-{place}"

        def command(run: Path, told: tuple[Any, ...] = (settings, kept, engine)) -> list[str]:
            return [sys.executable, "-c", DRIVER, json.dumps([str(source), str(run), *told])]

        started = time.monotonic()
        subprocess.run(command(out), check=True)
        seconds = time.monotonic() - started
        wanted = n_kills // len(KINDS) + (place < n_kills % len(KINDS))
        row = {
            "killed": "driver",
            "kind": name,
            "seconds": round(seconds, 2),
            "kills": 0,
            "runs": 0,
            "differ": 0,
        }
        while row["kills"] < wanted:
            run = source.parent / f"killed-{place}-{row['runs']}"
            most = row["kills"] + min(5, wanted - row["kills"])
            while True:
                process = subprocess.Popen(command(run))
                if row["kills"] < most:
                    _kill_within(process, generator.uniform(0.2, 0.9) * seconds)
                if process.wait() == 0:
                    # It was faster than the first one: the machine is shared.
                    seconds *= 0.9 if row["kills"] < most else 1.0
                    break
                if process.returncode != -signal.SIGKILL:
                    raise SystemExit(f"{name}: the driver ended with {process.returncode}")
                row["kills"] += 1
            row["runs"] += 1
            row["differ"] += _digest(run) != _digest(out)
            shutil.rmtree(run)
        tally.append(row)
        print(json.dumps(row), flush=True)
    return tally


def _kill_within(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()


def _workers(source: Path, n_kills: int, generator: random.Random) -> list[dict[str, Any]]:
    tally = []
    for name, changes in [
        ("lanes", {}),
        ("lanes, balanced, nb", {"class_weight": "balanced", "feature_weights": "nb"}),
    ]:
        settings = Settings(**{**LANES, "lanes": 16, **changes})
        out = source.parent / f"workers-{len(tally)}"
        train_run(scan(source), out, settings, engine=2)
        wanted = n_kills // 2 + (n_kills % 2 and not tally)
        row = {"killed": "worker", "kind": name, "kills": 0, "runs": 0, "differ": 0}
        while row["kills"] < wanted:
            run = source.parent / f"workers-{len(tally)}-{row['runs']}"
            engine = ProcessEngine(2)
            killer = _Killer(
                lambda event, engine=engine: _pids(engine, (event.lane - 1) % 2),
                generator,
                wanted - row["kills"],
            )
            train_run(scan(source), run, settings, engine=engine, observe=killer)
            row["kills"] += killer.n_lost
            row["runs"] += 1
            row["differ"] += _digest(run) != _digest(out)
            shutil.rmtree(run)
        tally.append(row)
        print(json.dumps(row), flush=True)
    return tally


def _cluster(source: Path, n_kills: int, generator: random.Random) -> list[dict[str, Any]]:
    if not n_kills:
        return []
    import dask
    from distributed import Client, LocalCluster

    # A worker that is being restarted so long after a loss is closed for good: here they are killed often.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    settings, out = Settings(**{**LANES, "lanes": 16}), source.parent / "cluster"
    train_run(scan(source), out, settings, engine=2)
    row = {"killed": "worker of a cluster", "kind": "lanes", "kills": 0, "runs": 0, "differ": 0}
    while row["kills"] < n_kills:
        run = source.parent / f"cluster-{row['runs']}"
        with (
            LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            nannies = list(cluster.workers.values())

            def pids(event: LaneEnded, nannies: list[Any] = nannies) -> set[int]:
                pid = nannies[(event.lane - 1) % 2].pid
                return set() if pid is None else {pid}

            # A part whose worker is killed is made anew on the other one: many kills would find the same lane thrice.
            killer = _Killer(pids, generator, min(_KILLS_OF_A_CLUSTER, n_kills - row["kills"]))
            train_run(scan(source), run, settings, engine=client, observe=killer)
        row["kills"] += killer.n_killed
        row["runs"] += 1
        row["differ"] += _digest(run) != _digest(out)
        shutil.rmtree(run)
    print(json.dumps(row), flush=True)
    return [row]


class _Killer:
    """Kills the worker that has just done a lane, a moment later, while it does the next.

    Only a worker that has done something since it was started is killed: the same item would be lost three times, which
    ends a run, as it should.
    """

    def __init__(self, pids: Callable[[LaneEnded], set[int]], generator: random.Random, most: int) -> None:
        self._pids, self._generator, self._left = pids, generator, most
        self._killed: set[int] = set()
        self.n_lost = 0

    @property
    def n_killed(self) -> int:
        """Processes that were killed, whether or not anything was lost with them."""
        return len(self._killed)

    def __call__(self, event: Event) -> None:
        """Kill now and then."""
        self.n_lost += isinstance(event, WorkerLost)
        if not isinstance(event, LaneEnded) or self._left < 1 or self._generator.random() < 0.5:
            return
        for pid in self._pids(event) - self._killed:
            self._killed.add(pid)
            self._left -= 1
            time.sleep(self._generator.uniform(0, 1.2 * event.seconds))
            os.kill(pid, signal.SIGKILL)


def _pids(engine: ProcessEngine, worker: int) -> set[int]:
    pool = engine._workers[worker]._pool
    return set() if pool is None else set(pool._processes)


def _digest(run: Path) -> str:
    """Of all files of a run's model."""
    content = b"".join(path.read_bytes() for path in sorted((run / "model").iterdir()))
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
