"""How lanes scale: measured on one and two workers of this machine, projected to 10 to 1,000 hosts.

    python benches/scale.py --data FOLDER [--repeats 5]

**Measured**: the seconds of a training on one and on two worker processes, of an empty task, of transferring a
megabyte over the loopback, of adding up parts, and of the driver's step. Also the number of features of a part, and
its growth as parts of more lanes are added (a power of their number, since more text contains fewer and fewer new
words). Text is not replicated for this.

**Projected**: rounds of H hosts that each train on the same amount of text (weak scaling) ::

    compute     MB of a host / (measured rate of two workers)
    tasks       H x cost of a task, on the driver
    merge, flat H parts come to one place:  H x part x (transfer + adding)
    merge, tree ceil(log4 H) levels:        4 x part(level) x (transfer + adding) each, the hosts of a level at a time
    driver      the merged part x (rule + gathering)
    broadcast   H x the merged part's state / the network's rate: every host reads it from one place
    efficiency  compute / (compute + tasks + merge + driver + broadcast)

A transfer costs the greater of the measurement on the loopback (where it is processor work) and of the assumed rate
of the network. All hosts are assumed to be equal, none slow or lost, with two workers as fast as the measured ones.
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import corpora
import engine_runs
import measure
import numpy as np
import scaling

from manymill import _core, scan
from manymill.data.reader import read
from manymill.engine.base import Engine
from manymill.linear.lanes.worker import combine_sums
from manymill.linear.row_stream import SliceHasher, all_rows
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, dump_state, new_learner

ROOT = Path(__file__).resolve().parents[1]
HOSTS = (1, 2, 10, 30, 100, 300, 1000)
NETWORK_MB_PER_SECOND = 1250.0  # assumed: 10 Gbit/s
HOST_MB = 100.0  # text that a host learns in a round
FAN_IN = 4
RULES = ("damped", "mass", "support")
PARTS = 16
TRANSFER_MB = 16


@dataclass(frozen=True)
class Costs:
    """The measured costs."""

    mb_per_second_one_worker: float
    mb_per_second_two_workers: float
    efficiency_of_two_workers: float
    task_seconds_processes: float
    task_seconds_dask: float
    transfer_seconds_per_mb_processes: float
    transfer_seconds_per_mb_dask: float
    adding_seconds_per_mb: float  # of the parts that are added
    driver_seconds_per_mb: float  # of the merged part
    part_mb: float  # of a sixteenth of the corpus
    part_text_mb: float
    part_growth: float  # parts(n) = part x n ** growth
    state_share: float  # bytes broadcast for a byte of the merged part
    most_part_mb: float  # of a part that has every feature


def _nothing(number: int) -> int:
    return number


def _array(number: int) -> np.ndarray:
    return np.full(TRANSFER_MB * 1_000_000, number % 256, np.uint8)


def _task_seconds(engine: Engine) -> float:
    for number in range(20):
        engine.submit(_nothing, number).result()
    taken_seconds = []
    for number in range(200):
        start = time.perf_counter()
        engine.submit(_nothing, 1000 + number).result()
        taken_seconds.append(time.perf_counter() - start)
    return statistics.median(taken_seconds)


def _transfer_seconds_per_mb(engine: Engine) -> float:
    found = []
    for number in range(10):
        start = time.perf_counter()
        engine.submit(_array, number).result()
        found.append((time.perf_counter() - start) / TRANSFER_MB)
    return statistics.median(found)


def _rates(file: Path, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds on one and on two worker processes, alternating; both train sixteen lanes, so the work is the same."""
    settings = Settings(
        recipe="fast", ngram_range=(1, 2), lanes=16, passes=1, rounds_per_pass=2, holdout=0.0, merge="uniform"
    )
    one: list[float] = []
    two: list[float] = []
    for _ in range(repeats):
        for workers, seconds in ((1, one), (2, two)):
            with engine_runs.engine_named(f"processes:{workers}") as engine:
                engine_runs.warm(engine)
                seconds.append(engine_runs.once(file, settings, engine, workers)[0])
    return one, two


def _parts(file: Path) -> tuple[list[_core.MergeSums], _core.Learner]:
    """The parts of sixteen lanes of a whole corpus, and a learner to merge them into."""
    settings = Settings(recipe="fast", ngram_range=(1, 2)).resolve(2)
    index = ClassIndex(["neg", "pos"])
    hasher = SliceHasher(settings.analyzer, None, 1, None)
    batches = [batch for batch in read(scan(file).plan()) if len(batch)]
    learner, parts = new_learner(settings, 2, None), []
    rows_of_all = list(hasher.hash_all(all_rows(batch, index) for batch in batches))
    for lane in range(PARTS):
        learner.begin_changes()
        n_rows = 0
        for part, rows in rows_of_all:
            mine = np.arange(lane, len(rows), PARTS, dtype=np.uint32)
            learner.learn(rows.take(mine), part.classes[mine])
            n_rows += len(mine)
        parts.append(_core.MergeSums.of(learner, n_rows, RULES))
    return parts, learner


def _mb(part: Any) -> float:
    return len(pickle.dumps(part, protocol=5)) / 1e6


def _merging(folder: Path) -> dict[str, float]:
    parts, learner = _parts(folder / "shuffled.jsonl")
    n_features = statistics.mean(len(part.features()) for part in parts)
    adding = []
    for _ in range(5):
        start = time.thread_time()
        combine_sums(parts[:FAN_IN])
        adding.append((time.thread_time() - start) / sum(map(_mb, parts[:FAN_IN])))
    merged = combine_sums([combine_sums(parts[i : i + FAN_IN]) for i in range(0, PARTS, FAN_IN)])
    merged_mb = _mb(merged)
    start = time.thread_time()
    merged.merge_into(learner, "support", 1.0)
    state = dump_state(learner, merged.features())
    driver = time.thread_time() - start
    return {
        "adding_seconds_per_mb": statistics.median(adding),
        "driver_seconds_per_mb": driver / merged_mb,
        # What is added up is float64; a lane's own part is smaller by up to a half.
        "part_mb": n_features * merged_mb / len(merged.features()),
        "part_text_mb": (folder / "shuffled.jsonl").stat().st_size / 1e6 / PARTS,
        "part_growth": math.log(len(merged.features()) / n_features) / math.log(PARTS),
        "state_share": sum(array.nbytes for array in state.values()) / 1e6 / merged_mb,
        "most_part_mb": merged_mb / len(merged.features()) * learner.n_features,
    }


def costs(folder: Path, repeats: int) -> tuple[Costs, dict[str, Any]]:
    """Measure; also returns the single figures."""
    merging = _merging(folder)
    with engine_runs.engine_named("processes:2") as engine:
        processes = _task_seconds(engine), _transfer_seconds_per_mb(engine)
    with engine_runs.engine_named("dask:2") as engine:
        dask = _task_seconds(engine), _transfer_seconds_per_mb(engine)
    file = folder / "replicated.jsonl"
    scaling.replicate(folder / "shuffled.jsonl", file, engine_runs.SPEED_BYTES[0])
    one, two = _rates(file, repeats)
    megabytes = file.stat().st_size / 1e6
    file.unlink()
    speedup = statistics.median(a / b for a, b in zip(one, two, strict=True))
    found = Costs(
        megabytes / statistics.median(one),
        megabytes / statistics.median(two),
        speedup / 2,
        *(processes[0], dask[0], processes[1], dask[1]),
        **merging,
    )
    return found, {
        "one": [round(s, 2) for s in one],
        "two": [round(s, 2) for s in two],
        "load": os.getloadavg(),
    }


def projected(costs: Costs, hosts: int) -> dict[str, Any]:
    """The projection of a round for this number of hosts."""
    host_lanes = HOST_MB / costs.part_text_mb
    wire = max(costs.transfer_seconds_per_mb_dask, 1 / NETWORK_MB_PER_SECOND)

    def part(n_hosts: float) -> float:
        return min(costs.most_part_mb, costs.part_mb * (host_lanes * n_hosts) ** costs.part_growth)

    compute = HOST_MB / costs.mb_per_second_two_workers
    tasks = hosts * 2 * costs.task_seconds_dask
    unit = wire + costs.adding_seconds_per_mb
    flat = hosts * part(1) * unit if hosts > 1 else 0.0
    levels = math.ceil(math.log(hosts, FAN_IN) - 1e-9)
    tree = sum(min(FAN_IN, hosts) * part(FAN_IN**level) * unit for level in range(levels))
    merged = part(hosts)
    driver = merged * costs.driver_seconds_per_mb
    broadcast = hosts * merged * costs.state_share / NETWORK_MB_PER_SECOND if hosts > 1 else 0.0
    others = compute + tasks + driver + broadcast
    costs_of_mixing = {"tasks": tasks, "merge": tree, "driver": driver, "broadcast": broadcast}
    return {
        "hosts": hosts,
        "compute_seconds": compute,
        "tasks_seconds": tasks,
        "merge_flat_seconds": flat,
        "merge_tree_seconds": tree,
        "driver_seconds": driver,
        "broadcast_seconds": broadcast,
        "efficiency_flat": compute / (others + flat),
        "efficiency_tree": compute / (others + tree),
        "dearest_with_tree": max(costs_of_mixing, key=lambda name: costs_of_mixing[name]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    parser.add_argument("--work", type=Path, help="folder for inputs; a temporary one by default")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        found, raw = costs(corpora.unpack(options.data, work, "imdb"), options.repeats)
    rows = [{key: _short(value) for key, value in projected(found, hosts).items()} for hosts in HOSTS]
    for name, value in asdict(found).items():
        print(f"{name:36} {value:.6g}")
    print("projection, 100 MB of text a host and round:")
    print("  ".join(key.removesuffix("_seconds").rjust(15) for key in rows[0]))
    for row in rows:
        print("  ".join(str(value).rjust(15) for value in row.values()))
    content = {
        "command": f"python benches/scale.py --data DATA --repeats {options.repeats}",
        "machine": measure.machine(),
        "versions": measure.versions("manymill", "numpy", "distributed"),
        "measured": {name: _short(value) for name, value in asdict(found).items()},
        "seconds": raw,
        "projection": {
            "is": "a projection by the model in scale.py, not a measurement",
            "assumed": {"network_mb_per_second": NETWORK_MB_PER_SECOND, "mb_a_host_and_round": HOST_MB},
            "rows": rows,
        },
    }
    measure.write_json(ROOT / "benches" / "results" / "scale.json", content)


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
