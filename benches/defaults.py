"""Accuracy with default settings and words and pairs of words: ``python benches/defaults.py --data FOLDER``.

Each corpus is trained on from its compressed file, sorted as it is, and evaluated on its test rows. The defaults were
chosen on parts of the training rows, without the test rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import machine, run, versions, write_json

HERE = Path(__file__).parent
MANYMILL = str(Path(sys.executable).with_name("manymill"))
CORPORA = ("imdb", "20news-bydate", "debian-sections", "spamassassin", "bible-languages")


def measure(data: Path, name: str) -> dict[str, Any]:
    """Train and evaluate once on the command line."""
    with tempfile.TemporaryDirectory() as folder:
        train = data / f"{name}-train.jsonl.zst"
        cost = run(
            [
                MANYMILL,
                "train",
                str(train),
                "--recipe",
                "fast",
                "--passes",
                "3",
                "--ngram-range",
                "1",
                "2",
                "--out",
                folder + "/run",
            ]
        )
        output = run(
            [MANYMILL, "evaluate", folder + "/run", str(data / f"{name}-test.jsonl.zst"), "--json"]
        ).output
    return {
        "corpus": name,
        "accuracy": round(float(json.loads(output)["accuracy"]), 4),
        "train_wall_seconds": round(cost.wall_seconds, 2),
        "command": f"manymill train {train.name} --ngram-range 1 2 --out RUN",
    }


def main() -> None:
    """Measure all corpora, print and save the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    data = parser.parse_args().data
    rows = [measure(data, name) for name in CORPORA]
    for row in rows:
        print(f"{row['corpus']:18} {row['accuracy']:.4f}  {row['train_wall_seconds']:6.2f} s")
    content = {"machine": machine(), "versions": versions("manymill", "numpy"), "results": rows}
    write_json(HERE / "results" / "defaults.json", content)


if __name__ == "__main__":
    main()
