"""A campaign: a time limit, a state file to continue from, and a tally at the end."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def options(description: str | None) -> argparse.ArgumentParser:
    """The options of all campaigns."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=60, help="nothing is begun after so long")
    parser.add_argument("--state", type=Path, help="tries that were made, a line each: they are not repeated")
    parser.add_argument("--json", type=Path, help="write the tally here")
    return parser


class Campaign:
    """The tries so far, and the time left.

    Parameters
    ----------
    asked : Namespace
        Result of `options`.

    Attributes
    ----------
    made : dict
        The outcome of each try by its key, including earlier runs with the same product, seed and test code.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked, self._start = asked, time.monotonic()
        self.made: dict[str, Any] = {}
        self._state: Path | None = asked.state
        if self._state is None:
            return
        first = json.dumps({"product": _product(), "seed": asked.seed})
        lines = self._state.read_text().splitlines() if self._state.exists() else []
        if lines and lines[0] == first:
            self.made = dict(json.loads(line) for line in lines[1:])
        else:
            self._state.parent.mkdir(parents=True, exist_ok=True)
            self._state.write_text(first + "\n")

    def add(self, key: str, result: Any) -> None:
        """Record the outcome of a try."""
        self.made[key] = result
        if self._state is not None:
            with self._state.open("a") as state:
                state.write(json.dumps([key, result]) + "\n")

    def within(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, until the time is over."""
        for item in items:
            if time.monotonic() - self._start > 60 * self._asked.minutes:
                print("out of time: the same command goes on", flush=True)
                return
            yield item

    def end(self, told: dict[str, Any]) -> None:
        """Print the totals, write the tally, and exit with 1 if anything failed."""
        told["total"]["seconds"] = round(time.monotonic() - self._start)
        command = f"python {Path(sys.argv[0]).resolve().relative_to(ROOT)} {' '.join(sys.argv[1:])}"
        print(json.dumps(told["total"]))
        if self._asked.json:
            content = {"command": command, **told}
            self._asked.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        sys.exit(told["total"]["failures"] > 0)


def _product() -> str:
    """A digest of the product and of the test code; results of other versions do not count."""
    digest = hashlib.sha256()
    for folder in (ROOT / "src", Path(__file__).parent):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".so", ".c"}:
                digest.update(path.read_bytes())
    return digest.hexdigest()
