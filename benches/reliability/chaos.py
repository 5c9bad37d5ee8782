"""Kill drivers and workers at random moments, continue, and compare everything with an undisturbed run.

    python benches/reliability/chaos.py --driver-kills 1000 --worker-kills 500 --json benches/results/faults.json

A try is one of: a command that is killed (SIGKILL) up to five times at random moments, and repeated or resumed each
time; a command on processes, two of whose workers are killed or stopped (SIGSTOP) for good; lanes on a Dask cluster
that loses workers. At the end everything must have the bytes of the undisturbed run, no other files may exist, and
none of its processes may be alive. Only kills of a living process count. The seed determines the moments.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import forks
import shim
from campaign import Campaign, options
from checks import (
    HANG_SECONDS,
    Reference,
    lies,
    prepared,
    reference_of,
    said,
    wrong_again,
    wrong_end,
    wrong_left,
)
from commands import COMMANDS, ON_PROCESSES, Command, Inputs, age, begin, call

# Rows to learn: a run takes tenths of a second.
_ROWS = 2000
# Kills of one driver; of workers in one run: an item may be lost twice, and ends a run the third time, as it should.
_DRIVER_KILLS, _WORKER_KILLS = 5, 2
# Of all kills of drivers, one in so many is of a driver with processes as workers: they take ten times as long.
_SHARE_ON_PROCESSES = 10
# A process whose driver was killed notices it within half a second.
_ORPHAN_SECONDS = 10.0
_STALL = ["--stall-seconds", "3"]

Item = tuple[str, str, int]  # what is killed, the command, the number of the try


def main() -> None:
    """Kill, compare, report."""
    parser = options(__doc__)
    parser.add_argument("--driver-kills", type=int, default=100)
    parser.add_argument("--worker-kills", type=int, default=50)
    parser.add_argument("--worker-stops", type=int, default=0, help="workers stopped for good")
    parser.add_argument("--cluster-kills", type=int, default=0, help="workers of a Dask cluster")
    parser.add_argument("--commands", nargs="+", choices=[*COMMANDS, *ON_PROCESSES])
    asked = parser.parse_args()
    shim.ensure_loaded()
    forks.preload()
    campaign = Campaign(asked)
    with forks.scratch("chaos") as base:
        results = _try_all(base, asked, campaign)
    campaign.end(tally(results))


def _try_all(base: Path, asked: argparse.Namespace, campaign: Campaign) -> dict[str, dict[str, Any]]:
    inputs = prepared(base, _ROWS)
    commands = {**COMMANDS, **ON_PROCESSES}
    names = [name for name in commands if not asked.commands or name in asked.commands]
    references = {name: reference_of(commands[name], inputs, base) for name in names}
    for name, reference in references.items():
        print(f"{name}: {reference.seconds:.2f} s undisturbed", flush=True)
    results = campaign.made

    def one(item: Item) -> dict[str, Any]:
        killed, name, _ = item
        generator = random.Random(f"{asked.seed} {item}")
        if killed == "worker of a cluster":
            return _cluster_try(commands[name], references[name], inputs, base, generator)
        if killed == "driver":
            return _driver_try(commands[name], references[name], inputs, base, generator)
        how = signal.SIGKILL if killed == "worker" else signal.SIGSTOP
        return _worker_try(commands[name], references[name], inputs, base, generator, how)

    wanted = {
        "driver": asked.driver_kills,
        "worker": asked.worker_kills,
        "stopped worker": asked.worker_stops,
        "worker of a cluster": asked.cluster_kills,
    }
    items = campaign.within(_items(wanted, names, results))
    for item, result in forks.map_forked(one, items, asked.jobs):
        key = " | ".join(map(str, item))
        result.setdefault("kills", 0)
        result.setdefault("failures", [result["error"]] if "error" in result else [])
        campaign.add(key, result)
        for failure in result["failures"]:
            print(f"FAILED {key}: {failure}", flush=True)
    return results


def _items(wanted: dict[str, int], names: list[str], results: dict[str, dict[str, Any]]) -> Iterator[Item]:
    """Tries, the kinds alternating, until the results so far contain enough kills."""
    on_processes = [name for name in names if name in ON_PROCESSES]
    on_threads = [name for name in names if name not in ON_PROCESSES]
    places = {
        "driver": lambda n: _turn(on_threads, on_processes, n),
        "worker": lambda n: on_processes[n % len(on_processes)],
        "stopped worker": lambda n: on_processes[n % len(on_processes)],
        "worker of a cluster": lambda n: "train --lanes on processes",
    }
    for killed, n_wanted in wanted.items():
        number = 0
        while _n_kills(results, killed) < n_wanted:
            item = (killed, places[killed](number), number)
            number += 1
            if " | ".join(map(str, item)) not in results:
                yield item


def _turn(on_threads: list[str], on_processes: list[str], number: int) -> str:
    """The commands on threads in turn, and now and then one on processes."""
    turn, place = divmod(number, _SHARE_ON_PROCESSES)
    if on_processes and (place == 0 or not on_threads):
        return on_processes[turn % len(on_processes)]
    return on_threads[(number - turn - 1) % len(on_threads)]


def _n_kills(results: dict[str, dict[str, Any]], killed: str) -> int:
    return sum(result["kills"] for key, result in results.items() if key.startswith(f"{killed} |"))


def _driver_try(
    command: Command, reference: Reference, inputs: Inputs, base: Path, generator: random.Random
) -> dict[str, Any]:
    """Kill the driver repeatedly, then let it end."""
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=base))
    begin(command, inputs, folder)
    arguments, kills, failures = command.arguments(inputs, folder), 0, []
    for number in range(generator.randint(1, _DRIVER_KILLS)):
        pid = forks.fork(lambda arguments=arguments: call(arguments, folder), folder / "run")
        if forks.ends_within(pid, generator.uniform(0, 1.0) * reference.seconds):
            forks.wait(pid, HANG_SECONDS)
            break
        forks.kill(pid)
        code = forks.wait(pid, HANG_SECONDS)
        kills += code == -signal.SIGKILL
        failures += [*wrong_end(command, folder, code, reference, killed=code == -signal.SIGKILL)]
        failures += [*wrong_left(command, folder, reference)]
        age(folder)
        arguments = command.again(inputs, folder, number)
    failures += [*_orphans(folder), *wrong_again(command, folder, inputs, 0, reference), *_orphans(folder)]
    shutil.rmtree(folder, ignore_errors=True)
    return {"kills": kills, "failures": failures}


def _worker_try(
    command: Command,
    reference: Reference,
    inputs: Inputs,
    base: Path,
    generator: random.Random,
    how: signal.Signals,
) -> dict[str, Any]:
    """Kill or stop workers of a driver, which must end as without the fault."""
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=base))
    begin(command, inputs, folder)
    arguments = command.arguments(inputs, folder) + (_STALL if how == signal.SIGSTOP else [])
    pid = forks.fork(lambda: call(arguments, folder), folder / "run")
    kills, failures = 0, []
    for _ in range(_WORKER_KILLS if how == signal.SIGKILL else 1):
        while not (found := _workers(pid)) and not forks.ends_within(pid, 0.02):
            pass
        if forks.ends_within(pid, generator.uniform(0, 0.7) * reference.seconds):
            break
        if found := _workers(pid):
            with suppress(ProcessLookupError):
                os.kill(generator.choice(found), how)
                kills += 1
    code = forks.wait(pid, HANG_SECONDS)
    stderr = said(folder)
    if code != 0:
        failures.append(f"ended with {code}: {stderr.strip()[-300:]!r}")
    failures += [*lies(command, folder, reference, stderr), *wrong_left(command, folder, reference)]
    failures += [*_orphans(folder)]
    shutil.rmtree(folder, ignore_errors=True)
    return {"kills": kills, "failures": failures}


def _workers(driver: int) -> list[int]:
    """The worker processes of a driver."""
    import psutil

    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(driver).children():
            with suppress(psutil.Error):
                if any("popen_loky" in word for word in child.cmdline()):
                    found.append(child.pid)
    return sorted(found)


def _orphans(folder: Path) -> Iterator[str]:
    """Processes that outlive their try: its folder is in their environment."""
    end = time.monotonic() + _ORPHAN_SECONDS
    while (left := _of_try(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        yield "a process of it lives on"


def _of_try(folder: Path) -> list[int]:
    mark, found = f"HOME={folder / 'home'}\0".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
    return found


def _cluster_try(
    command: Command, reference: Reference, inputs: Inputs, base: Path, generator: random.Random
) -> dict[str, Any]:
    """Kill a worker of a Dask cluster of two during a training."""
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=base))
    begin(command, inputs, folder)
    address = folder / "cluster.json"
    nannies = folder / "pids"
    cluster = forks.fork(lambda: _serve(address, nannies), folder / "cluster")
    failures, kills = [], 0
    try:
        while not nannies.exists():
            if forks.ends_within(cluster, 0.05):
                return {"kills": 0, "failures": ["the cluster did not start"]}
        arguments = command.arguments(inputs, folder)
        arguments[arguments.index("--engine") + 1] = f"dask://{address}"
        pid = forks.fork(lambda: call(arguments, folder), folder / "run")
        if not forks.ends_within(pid, generator.uniform(0.3, 1.0) * reference.seconds):
            with suppress(ProcessLookupError):
                os.kill(generator.choice(json.loads(nannies.read_text())), signal.SIGKILL)
                kills = 1
        code = forks.wait(pid, HANG_SECONDS)
        stderr = said(folder)
        if code != 0:
            failures.append(f"ended with {code}: {stderr.strip()[-300:]!r}")
        failures += [*lies(command, folder, reference, stderr), *wrong_left(command, folder, reference)]
    finally:
        os.kill(cluster, signal.SIGTERM)
        forks.wait(cluster, 20)
        shutil.rmtree(folder, ignore_errors=True)
    return {"kills": kills, "failures": failures}


def _serve(address: Path, pids: Path) -> int:
    """Run a cluster of two workers until SIGTERM; reports the scheduler's address and the worker processes."""
    import dask
    from distributed import LocalCluster

    forks.forget_program()
    # A worker that is being restarted so long after a loss is closed for good.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        address.write_text(json.dumps({"address": cluster.scheduler_address}))
        partial = pids.with_suffix(".partial")
        partial.write_text(json.dumps([worker.pid for worker in cluster.workers.values()]))
        partial.rename(pids)
        while True:
            time.sleep(1)


def tally(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Kills, runs and failures of each kind."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    failures = []
    for key, result in sorted(results.items()):
        killed, name, _ = key.split(" | ")
        row = rows.setdefault((killed, name), dict.fromkeys(("kills", "runs", *_FAILURES, "others"), 0))
        row["kills"] += result["kills"]
        row["runs"] += 1
        for failure in result["failures"]:
            row[next((kind for kind, words in _FAILURES.items() if words in failure), "others")] += 1
            failures.append({"try": key, "failure": failure})
    total = {f"{killed} kills": 0 for killed, _ in rows}
    for (killed, _), row in rows.items():
        total[f"{killed} kills"] += row["kills"]
    total["runs"] = sum(row["runs"] for row in rows.values())
    total["failures"] = len(failures)
    return {
        "total": total,
        "kinds": [{"killed": killed, "kind": name, **row} for (killed, name), row in rows.items()],
        "failures": failures[:200],
    }


_FAILURES = {
    "other_bytes": "other bytes",
    "broken_models": "broken model",
    "tracebacks": "traceback",
    "left_behind": "left behind",
    "processes_left": "lives on",
    "hung": "hung",
}


if __name__ == "__main__":
    main()
