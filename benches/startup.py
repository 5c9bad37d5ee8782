"""Start-up time of manymill: ``python benches/startup.py``.

Medians of fresh processes with a warm file cache, alternating: ``manymill --version``, ``import manymill``, and
``import numpy`` for comparison. All include the start of the interpreter.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from measure import machine, run, versions, write_json

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import manymill": [sys.executable, "-c", "import manymill"],
    "manymill --version": [str(Path(sys.executable).with_name("manymill")), "--version"],
}
RESULTS = Path(__file__).parent / "results" / "startup.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for command in COMMANDS.values():
        run(command)
    walls: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.repeats):
        for name, command in COMMANDS.items():
            walls[name].append(run(command).wall_seconds)
    medians = {name: round(statistics.median(seconds), 4) for name, seconds in walls.items()}
    ratio = round(medians["import manymill"] / medians["import numpy"], 2)
    write_json(
        arguments.out,
        {
            "machine": machine(),
            "versions": versions("manymill", "numpy"),
            "repeats": arguments.repeats,
            "median_wall_seconds": medians,
            "import_ratio_to_numpy": ratio,
        },
    )
    for name, seconds in medians.items():
        print(f"{name:20} {seconds * 1000:7.1f} ms")
    print(f"import manymill / import numpy = {ratio}")


if __name__ == "__main__":
    main()
