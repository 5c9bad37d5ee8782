"""Accuracy of several lanes against one lane: the cost of merging parameters.

A training of six passes also gives the result of three: after each pass the best state so far on the held-out rows is
scored on test, as a training of that many passes would save it. Nothing is tuned: settings are the defaults with
words and pairs of words, and no choice depends on the test rows.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manymill import scan
from manymill.linear.settings import Settings
from manymill.linear.state import LinearState
from manymill.linear.text_estimator import accuracy_on
from manymill.linear.training import train


@dataclass(frozen=True)
class Case:
    """One way to train."""

    name: str
    file: str
    settings: dict[str, Any]
    told: tuple[int, ...]  # the passes after which the accuracy is told


CASES = (
    Case("one lane", "shuffled.jsonl", {"lanes": 1, "passes": 6}, (1, 3, 6)),
    Case("16 lanes", "shuffled.jsonl", {"lanes": 16, "passes": 3}, (3,)),
    Case("64 lanes", "shuffled.jsonl", {"lanes": 64, "passes": 6}, (3, 6)),
    Case("16 lanes, one-shot", "shuffled.jsonl", {"lanes": 16, "passes": 1, "rounds_per_pass": 1}, (1,)),
    Case("16 lanes, sorted by label, interleaved", "sorted.jsonl", {"lanes": 16, "passes": 3}, (3,)),
    Case(
        "16 lanes, sorted by label, not interleaved",
        "sorted.jsonl",
        {"lanes": 16, "passes": 3, "interleaved": False},
        (3,),
    ),
)

# Each rule of merging for itself, and what chooses among them.
RULES = (
    Case("one lane", "shuffled.jsonl", {"lanes": 1, "passes": 3}, (1, 3)),
    *(
        Case(f"16 lanes, {merge}", "shuffled.jsonl", {"lanes": 16, "passes": 3, "merge": merge}, (1, 3))
        for merge in ("uniform", "damped", "mass", "magnitude", "auto")
    ),
)

# What the accuracy of a case is held against: (case, passes) of one lane, and the points it may lose.
GOALS = {
    ("16 lanes", 3): (3, 0.3),
    ("64 lanes", 6): (6, 0.8),
    ("16 lanes, one-shot", 1): (3, 1.5),
    ("16 lanes, sorted by label, interleaved", 3): (3, 0.3),
    ("16 lanes, sorted by label, not interleaved", 3): (3, 2.0),
}


def trained(folder: Path, case: Case, seed: int, threads: int) -> dict[str, Any]:
    """Test accuracy in % by passes, from one training, and its seconds without scoring."""
    test = scan(folder / "test.jsonl")
    kept: dict[int, float] = {}
    scoring = 0.0

    def keep(state: LinearState, number: int, measured: object) -> None:
        nonlocal scoring
        start = time.perf_counter()
        kept[number] = 100 * accuracy_on(test, state, np.array(state.classes), threads=threads)
        scoring += time.perf_counter() - start

    start = time.perf_counter()
    settings = Settings(**{"recipe": "fast", "ngram_range": (1, 2), "seed": seed, **case.settings})
    done = train(scan(folder / case.file).plan(), settings, on_best=keep, threads=threads)
    return {
        "seconds": round(time.perf_counter() - start - scoring, 2),
        "passes_made": done.passes,
        "accuracy": {n: kept[max(k for k in kept if k <= n)] for n in case.told},
    }


def measure(
    folder: Path, seeds: int, threads: int, cases: tuple[Case, ...]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the table of one corpus after each seed, so that an interrupted measurement keeps its results."""
    runs: dict[str, list[dict[str, Any]]] = {case.name: [] for case in cases}
    for seed in range(seeds):
        for case in cases:
            runs[case.name].append(trained(folder, case, seed, threads))
            print(folder.name, case.name, seed, runs[case.name][-1], file=sys.stderr, flush=True)
        yield table(folder.name, cases, runs)


def table(
    corpus: str, cases: tuple[Case, ...], runs: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds."""
    rows = []
    one_lane: dict[int, float] = {}
    for case in cases:
        for passes in case.told:
            found = [run["accuracy"][passes] for run in runs[case.name]]
            if case.name == "one lane":
                one_lane[passes] = statistics.mean(found)
            rows.append(
                {
                    "corpus": corpus,
                    "case": case.name,
                    "passes": passes,
                    "seeds": len(found),
                    "accuracy": round(statistics.mean(found), 2),
                    "sd": round(statistics.stdev(found), 2) if len(found) > 1 else None,
                    **against(one_lane, case.name, passes, statistics.mean(found)),
                    "all": [round(accuracy, 2) for accuracy in found],
                    "passes_made": [run["passes_made"] for run in runs[case.name]],
                }
            )
    return rows


def against(one_lane: dict[int, float], name: str, passes: int, accuracy: float) -> dict[str, Any]:
    """The loss against one lane, and whether it is within the limit."""
    if (name, passes) not in GOALS:
        return {"lost": None, "may_lose": None, "reached": None}
    beside, most = GOALS[name, passes]
    lost = one_lane[beside] - accuracy
    return {"lost": round(lost, 2), "may_lose": most, "reached": lost <= most}
