"""The tally of fuzzers, from the last line of each log.

Usage::

make fuzz-readers SECONDS=3600 | tee readers.log
make fuzz-loaders SECONDS=2400 | tee loaders.log
python benches/reliability/fuzz.py readers.log loaders.log
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "fuzz.json"

# readers on avx512: 193929216 executions (json 83112274, ...) since seed 1, 0 failures, 3661 s
_OF_RUST = re.compile(r"(\w+) on (\w+): (\d+) executions .*?(\d+) failures, (\d+) s")
#  2400 s  loaders: 190,612 executions (cache 21,249, ...), 0 failures, seeds 1 to 190613
_OF_PYTHON = re.compile(r"(\d+) s +(\w+): ([\d,]+) executions .*?(\d+) failures")


def tallies(log: str) -> list[dict[str, Any]]:
    """The last tally of each fuzzer in a log."""
    found: dict[str, dict[str, Any]] = {}
    for line in log.splitlines():
        if rust := _OF_RUST.search(line):
            name = f"{rust[1]} of the core, {rust[2]}"
            found[name] = {"executions": int(rust[3]), "failures": int(rust[4]), "seconds": int(rust[5])}
        elif python := _OF_PYTHON.search(line):
            name = f"{python[2]} from Python"
            executions = int(python[3].replace(",", ""))
            found[name] = {"executions": executions, "failures": int(python[4]), "seconds": int(python[1])}
    return [{"target": name, **tally} for name, tally in found.items()]


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", nargs="+", type=Path)
    asked = parser.parse_args()
    kinds = [kind for log in asked.logs for kind in tallies(log.read_text(encoding="utf-8"))]
    total = {name: sum(kind[name] for kind in kinds) for name in ("executions", "failures", "seconds")}
    told = {
        "command": "make fuzz-readers fuzz-arrays fuzz-loaders SECONDS=…; python benches/reliability/fuzz.py LOGS",
        "kinds": kinds,
        "total": total,
    }
    RESULTS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(total))


if __name__ == "__main__":
    main()
