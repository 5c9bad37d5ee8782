"""Generate the tables of ``docs/reliability.md`` from the results of the last campaigns.

    python benches/reliability/report.py          # write the tables
    python benches/reliability/report.py --check  # fail if the page differs from the results

``<!-- figures: NAME -->`` and ``<!-- end -->`` delimit the table of ``benches/results/NAME.json``.
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


def torture(results: dict[str, Any]) -> list[list[Any]]:
    """A row per command: its calls, and the tries and failures over all modes."""
    rows: dict[str, list[Any]] = {}
    for kind in results["kinds"]:
        row = rows.setdefault(kind["command"], [f"`{kind['command']}`", kind["calls"], 0, 0, 0])
        row[2] += kind["hits"] if kind["mode"] == "kill" else 0
        row[3] += kind["tries"] if kind["mode"] != "kill" else 0
        row[4] += kind["failures"]
    return [["command", "calls", "kills", "injected errors", "failures"], *rows.values(), _sum(rows)]


def faults(results: dict[str, Any]) -> list[list[Any]]:
    """A row per kind: kills, runs and failures."""
    failures = (
        "other_bytes",
        "broken_models",
        "tracebacks",
        "left_behind",
        "processes_left",
        "hung",
        "others",
    )
    rows = {
        f"{kind['killed']} {kind['kind']}": [
            kind["killed"],
            f"`{kind['kind']}`",
            kind["kills"],
            kind["runs"],
            sum(kind.get(name, 0) for name in failures),
        ]
        for kind in results["kinds"]
    }
    return [["killed", "command", "kills", "runs", "failures"], *rows.values(), _sum(rows)]


def damage(results: dict[str, Any]) -> list[list[Any]]:
    """A row per kind of file: number of damages, and their outcomes."""
    rows = {
        kind["kind"]: [
            kind["kind"],
            kind["tries"],
            kind["refused"],
            kind["same"],
            kind["other"],
            kind["traceback"] + kind["crash"] + kind["unnamed"],
        ]
        for kind in results["kinds"]
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


def fuzz(results: dict[str, Any]) -> list[list[Any]]:
    """A row per target: executions and failures."""
    rows = {
        kind["target"]: [kind["target"], kind["executions"], kind["failures"]] for kind in results["kinds"]
    }
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
    """The table of a results file, with its command."""
    path = RESULTS / f"{name}.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "command" not in results:
        return "Not run yet.\n"
    head, *rows = TABLES[name](results)
    lines = [f"`{results['command']}`: {results['total']['seconds']:,} s.\n"]
    lines += [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    lines += [
        f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """The page with its tables replaced by those of the results files."""
    return _BLOCK.sub(lambda block: block[1] + figures(block[2]) + block[3], page)


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if options.check:
        sys.exit(f"{PAGE.name} differs from the files in {RESULTS}" if filled(page) != page else 0)
    PAGE.write_text(filled(page), encoding="utf-8")


if __name__ == "__main__":
    main()
