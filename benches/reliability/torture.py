"""Fail or kill each command at its n-th call that changes a file, for every n, and check the files.

    python benches/reliability/torture.py --minutes 40 --json benches/results/torture.json

For each command, an undisturbed run counts the calls. Then there is a try for each call and mode (see
``shim.MODES``): the fault is injected, the remaining files are checked, and the command (or ``resume``) runs again
without a fault. At the end everything must have the bytes of the undisturbed run, and no other files may exist. Tries
in the ``--state`` file are not repeated, so that a campaign can be continued.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import shim
from campaign import Campaign, options
from checks import Reference, prepared, reference_of, run_counted, wrong_again, wrong_end, wrong_left
from commands import COMMANDS, Command, Inputs, age, begin


@dataclass(frozen=True)
class Try:
    """A command with a fault."""

    command: str
    mode: str
    number: int

    @property
    def key(self) -> str:
        """The name of the try in the state file."""
        return f"{self.command} | {self.mode} | {self.number}"


def main() -> None:
    """Run all tries, print the totals."""
    parser = options(__doc__)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--modes", nargs="+", choices=shim.MODES, default=list(shim.MODES))
    parser.add_argument("--sample", type=int, help="so many tries of each command, drawn by --seed")
    parser.add_argument("--at", type=int, nargs="+", help="these calls alone")
    parser.add_argument("--keep", action="store_true", help="leave the folders of tries that failed")
    asked = parser.parse_args()
    shim.ensure_loaded()
    forks.preload()
    campaign = Campaign(asked)
    with forks.scratch("torture", keep=asked.keep) as base:
        told = _try_all(base, asked, campaign)
    campaign.end(told)


def _try_all(base: Path, asked: argparse.Namespace, campaign: Campaign) -> dict[str, Any]:
    inputs = prepared(base)
    references = {name: reference_of(COMMANDS[name], inputs, base) for name in asked.commands}
    for name, reference in references.items():
        print(f"{name}: {len(reference.calls)} calls", flush=True)
    tries = [item for name in asked.commands for item in _tries(name, references[name], asked)]
    results = {item.key: campaign.made[item.key] for item in tries if item.key in campaign.made}
    left = [item for item in tries if item.key not in results]

    def one(item: Try) -> dict[str, Any]:
        return _try(item, COMMANDS[item.command], references[item.command], inputs, base, asked.keep)

    for item, result in forks.map_forked(one, campaign.within(left), asked.jobs):
        result.setdefault("failures", [result["error"]] if "error" in result else [])
        results[item.key] = result
        for failure in result["failures"]:
            print(f"FAILED {item.key}, {result.get('call', '')}: {failure}", flush=True)
        campaign.add(item.key, result)
    return tally(results, {name: len(reference.calls) for name, reference in references.items()})


def _tries(name: str, reference: Reference, asked: argparse.Namespace) -> list[Try]:
    """All tries of a command, in an order drawn by the seed, so that an incomplete campaign has sampled everything."""
    found = [
        Try(name, mode, number)
        for mode in asked.modes
        for number, call_ in enumerate(reference.calls, 1)
        if shim.MODES[mode].applies(call_.split()[0])
    ]
    if asked.at:
        return [item for item in found if item.number in asked.at]
    random.Random(f"{asked.seed} {name}").shuffle(found)
    return found[: asked.sample]


def _try(
    item: Try, command: Command, reference: Reference, inputs: Inputs, base: Path, keep: bool
) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=base))
    begin(command, inputs, folder)
    mode, log = shim.MODES[item.mode], shim.Log()
    code = run_counted(command.arguments(inputs, folder), folder, log, mode, item.number)
    calls = log.calls()
    result: dict[str, Any] = {
        "hit": log.hits > 0,
        "call": calls[item.number - 1] if len(calls) >= item.number else "",
    }
    result["failures"] = [
        *wrong_end(command, folder, code, reference, killed=item.mode == "kill" and result["hit"]),
        *wrong_left(command, folder, reference),
    ]
    age(folder)
    was_killed = item.mode == "kill"
    result["failures"] += wrong_again(command, folder, inputs, item.number, reference, was_killed=was_killed)
    if not (keep and result["failures"]):
        shutil.rmtree(folder)
    else:
        result["folder"] = str(folder)
    return result


def tally(results: dict[str, dict[str, Any]], calls: dict[str, int]) -> dict[str, Any]:
    """Calls, tries, hits and failures by command and mode, and each failure with its position."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    points: dict[str, set[str]] = {}
    failures = []
    for key, result in sorted(results.items()):
        command, mode, number = key.split(" | ")
        row = rows.setdefault((command, mode), Counter(tries=0, hits=0, failures=0))
        row["tries"] += 1
        row["hits"] += bool(result.get("hit"))
        row["failures"] += bool(result["failures"])
        points.setdefault(command, set()).add(number)
        failures += [
            {"try": key, "call": result.get("call", ""), "failure": failure} for failure in result["failures"]
        ]
    total: dict[str, Any] = {
        "commands": len(points),
        "calls": sum(calls.values()),
        "points": sum(map(len, points.values())),
        "tries": sum(row["tries"] for row in rows.values()),
        "hits": sum(row["hits"] for row in rows.values()),
        "failures": sum(row["failures"] for row in rows.values()),
    }
    kinds = [{"command": c, "mode": m, "calls": calls[c], **row} for (c, m), row in rows.items()]
    return {"total": total, "kinds": kinds, "failures": failures[:200]}


if __name__ == "__main__":
    main()
