"""Runs a fuzzer: case after case from a seed, a line a minute, and a failing case made small.

A fuzzer is a module with ``make(seed)``, the bytes of a case, and ``check(seed, data)``, the names of the readers or
loaders that it tried; it raises whatever is wrong. Everything but the bytes follows from the seed.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# Attempts to make a failing case smaller.
_ATTEMPTS = 3000


@dataclass(frozen=True)
class Fuzzer:
    name: str
    make: Callable[[int], bytes]
    check: Callable[[int, bytes], Iterable[str]]


@dataclass
class Report:
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(self.counts.items()))
        return f"{self.counts.total():,} executions ({kinds}), {len(self.failures)} failures"


def run(
    fuzzer: Fuzzer,
    *,
    seed: int,
    seconds: float = math.inf,
    most_cases: float = math.inf,
    most_failures: int = 1,
    log: bool = False,
) -> Report:
    """Try cases for so many seconds, until so many were tried, or so many have failed."""
    report, start, logged = Report(), time.monotonic(), 0.0
    first = seed
    # Where the process itself dies, the file names the seed.
    trace = (
        os.open(os.environ["FUZZ_TRACE"], os.O_WRONLY | os.O_CREAT) if "FUZZ_TRACE" in os.environ else None
    )
    while (elapsed := time.monotonic() - start) < seconds and seed - first < most_cases:
        if len(report.failures) >= most_failures:
            break
        if log and elapsed >= logged:
            print(f"{elapsed:5.0f} s  {fuzzer.name}: {report}, first seed {first}", flush=True)
            logged = elapsed + 60
        if trace is not None:
            os.pwrite(trace, b"%20d\n" % seed, 0)
        data = fuzzer.make(seed)
        try:
            report.counts.update(fuzzer.check(seed, data))
        except BaseException as error:  # a panic of Rust is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            report.failures.append(_explained(fuzzer, seed, data, error))
            if log:
                print(report.failures[-1], flush=True)
        seed += 1
    if log:
        print(
            f"{time.monotonic() - start:5.0f} s  {fuzzer.name}: {report}, seeds {first} to {seed}", flush=True
        )
    return report


def _explained(fuzzer: Fuzzer, seed: int, data: bytes, error: BaseException) -> str:
    smallest, last = data, error
    left = _ATTEMPTS
    size = len(data)
    while size and left > 0:
        at = 0
        while at < len(smallest) and left > 0:
            rest = smallest[:at] + smallest[at + size :]
            left -= 1
            try:
                fuzzer.check(seed, rest)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                smallest, last = rest, error
            else:
                at += size
        size //= 2
    return f"{fuzzer.name} --seed {seed}: {type(last).__name__}: {last}\n  smallest input {smallest!r}"


def main(fuzzer: Fuzzer) -> int:
    parser = argparse.ArgumentParser(description=f"Fuzz {fuzzer.name}.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="the first case that is tried")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    options = parser.parse_args()
    report = run(fuzzer, seed=options.seed, seconds=options.seconds, most_failures=options.failures, log=True)
    return 1 if report.failures else 0


def exit_with(fuzzer: Fuzzer) -> None:
    sys.exit(main(fuzzer))
