"""Puts the figures of the last campaigns into ``docs/reliability.md``: nobody types them.

    python benches/reliability/report.py          # writes the tables anew
    python benches/reliability/report.py --check  # says whether they are those of the files

A table stands between ``<!-- figures: NAME -->`` and ``<!-- end -->``; NAME is that of a file in ``benches/results``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "benches" / "results"
_BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def torture(told: dict[str, Any]) -> list[list[Any]]:
    """A row for each command: its calls, and tries and failures over all modes."""
    rows: dict[str, list[Any]] = {}
    for kind in told["kinds"]:
        row = rows.setdefault(kind["command"], [f"`{kind['command']}`", kind["calls"], 0, 0, 0])
        row[2] += kind["hits"] if kind["mode"] == "kill" else 0
        row[3] += kind["tries"] if kind["mode"] != "kill" else 0
        row[4] += kind["failures"]
    return [["command", "calls", "killed at", "made to fail at", "failures"], *rows.values(), _sum(rows)]


def faults(told: dict[str, Any]) -> list[list[Any]]:
    """A row for each kind: kills, runs, and what went wrong."""
    wrong = ("other_bytes", "broken_models", "tracebacks", "left_behind", "processes_left", "hung", "others")
    rows = {
        f"{kind['killed']} {kind['kind']}": [
            kind["killed"],
            f"`{kind['kind']}`",
            kind["kills"],
            kind["runs"],
            sum(kind.get(name, 0) for name in wrong),
        ]
        for kind in told["kinds"]
    }
    return [["killed", "command", "kills", "runs", "failures"], *rows.values(), _sum(rows)]


def damage(told: dict[str, Any]) -> list[list[Any]]:
    """A row for each kind of file: damages, and what came of them."""
    rows = {
        kind["kind"]: [
            kind["kind"],
            kind["tries"],
            kind["refused"],
            kind["same"],
            kind["other"],
            kind["traceback"] + kind["crash"] + kind["unnamed"],
        ]
        for kind in told["kinds"]
    }
    head = [
        "file",
        "damages",
        "refused by name",
        "same result",
        "another result",
        "traceback, crash, no name",
    ]
    return [head, *rows.values(), _sum(rows)]


def fuzz(told: dict[str, Any]) -> list[list[Any]]:
    """A row for each target: executions and failures."""
    rows = {kind["target"]: [kind["target"], kind["executions"], kind["failures"]] for kind in told["kinds"]}
    return [["target", "executions", "failures"], *rows.values(), _sum(rows)]


TABLES: dict[str, Callable[[dict[str, Any]], list[list[Any]]]] = {
    "torture": torture,
    "faults": faults,
    "damage": damage,
    "fuzz": fuzz,
}


def _sum(rows: dict[str, list[Any]]) -> list[Any]:
    columns = list(zip(*rows.values(), strict=True))
    return ["all", *(sum(column) if isinstance(column[0], int) else "" for column in columns[1:])]


def figures(name: str) -> str:
    """The table of a file of results, with its command."""
    path = RESULTS / f"{name}.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "command" not in told:
        return "Not run yet.\n"
    head, *rows = TABLES[name](told)
    lines = [f"`{told['command']}`: {told['total']['seconds']:,} s.\n"]
    lines += [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    lines += [
        f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """The page with the tables of the files."""
    return _BLOCK.sub(lambda block: block[1] + figures(block[2]) + block[3], page)


def main() -> None:
    """Write, or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if asked.check:
        sys.exit(f"{PAGE.name} has other figures than {RESULTS}" if filled(page) != page else 0)
    PAGE.write_text(filled(page), encoding="utf-8")


if __name__ == "__main__":
    main()
