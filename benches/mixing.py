"""Lanes and merging: accuracy, best settings, equal bytes on every engine, throughput.

    python benches/mixing.py --data FOLDER [--sections accuracy rules bar bytes speed] [--corpora imdb ...] [--seeds 5]

``accuracy``
    16 and 64 lanes against one lane, one-shot mixing, rows sorted by label: see :mod:`lane_accuracy`.
``rules``
    Each merge rule alone, 16 lanes: see :mod:`lane_accuracy`.
``bar``
    Settings chosen on a part of the training rows, against ``TfidfVectorizer`` and ``LinearSVC``: see :mod:`bar`.
``bytes``
    A digest of the weights on threads, processes and Dask: see :mod:`engine_runs`.
``speed``
    Two lanes on two threads against one lane on one, and Dask against threads: see :mod:`engine_runs`.

Each section has a file of its own in ``results``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bar
import corpora
import engine_runs
import lane_accuracy
import measure

RESULTS = Path(__file__).parent / "results"
CORPORA = ("imdb", "20news-bydate", "debian-sections", "reddit")

# Lanes of 512 classes take minutes a pass: one seed, and fewer cases.
REDDIT_SEEDS = 1
REDDIT_CASES = ("one lane", "16 lanes")

Rows = list[dict[str, Any]]


def accuracy(options: argparse.Namespace, folder: Path) -> Iterator[Rows]:
    if folder.name != "reddit":
        return lane_accuracy.measure(folder, options.seeds, options.threads, lane_accuracy.CASES)
    cases = tuple(case for case in lane_accuracy.CASES if case.name in REDDIT_CASES)
    return lane_accuracy.measure(folder, REDDIT_SEEDS, options.threads, cases)


SECTIONS: dict[str, Callable[[argparse.Namespace, Path], Iterator[Rows]]] = {
    "accuracy": accuracy,
    "rules": lambda options, folder: lane_accuracy.measure(
        folder, options.seeds, options.threads, lane_accuracy.RULES
    ),
    "bar": lambda options, folder: bar.measure(folder, options.seeds, options.threads),
    "bytes": lambda options, folder: engine_runs.digests(folder),
    "speed": lambda options, folder: engine_runs.speeds(folder, options.repeats),
}
# Which corpora a section is about, where not all.
ONLY = {"rules": ("imdb", "20news-bydate"), "bytes": ("imdb", "20news-bydate"), "speed": ("imdb",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    parser.add_argument("--work", type=Path, help="folder for inputs; a temporary one by default")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        for section in options.sections:
            for name in options.corpora:
                if name in ONLY.get(section, CORPORA):
                    folder = corpora.unpack(options.data, work, name)
                    for rows in SECTIONS[section](options, folder):
                        keep(section, name, rows)


def keep(section: str, name: str, rows: Rows) -> None:
    """Print the rows of a corpus and replace its saved ones."""
    for row in rows:
        print("  ".join(str(value) for value in row.values() if not isinstance(value, list | dict)))
    path = RESULTS / f"mixing-{section}.json"
    content = measure.read_json(path) if path.exists() else {"corpora": {}}
    content["corpora"][name] = {
        "command": shlex.join(["python", "benches/mixing.py", "--data", "DATA", *_asked(sys.argv[1:])]),
        "machine": measure.machine(),
        "versions": measure.versions("manymill", "scikit-learn", "numpy", "distributed"),
        "rows": rows,
    }
    measure.write_json(path, content)


def _asked(words: list[str]) -> list[str]:
    """The command without the folders of this machine."""
    kept = []
    for i, word in enumerate(words):
        if word not in ("--data", "--work") and (i == 0 or words[i - 1] not in ("--data", "--work")):
            kept.append(word)
    return kept


if __name__ == "__main__":
    main()
