"""Memory and speed as the input grows: the same text again and again, to 30 MB, 300 MB, 3 GB of JSON lines.

Replicated text has no new words, so it says nothing about accuracy; memory and bytes a second are what it is
for.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import Cost, run

CORPORA = {"imdb": 20, "reddit": 18}  # name → bits of features
SIZES = (30_000_000, 300_000_000, 3_000_000_000)
VW_SIZE = 300_000_000
COLUMNS = ["corpus", "program", "file_mb", "wall_seconds", "cpu_seconds", "peak_mb", "mb_per_second"]


def replicate(source: Path, target: Path, size: int) -> None:
    """Write the lines of ``source`` again and again until ``target`` has ``size`` bytes, whole lines only."""
    with target.open("wb") as out:
        while out.tell() < size:
            with source.open("rb") as lines:
                for line in lines:
                    out.write(line)
                    if out.tell() >= size:
                        break


def row(corpus: str, program: str, size: int, cost: Cost) -> dict[str, Any]:
    """One line of the results."""
    return {
        "corpus": corpus,
        "replicated": True,
        "program": program,
        "file_mb": round(size / 1e6, 1),
        "wall_seconds": round(cost.wall_seconds, 2),
        "cpu_seconds": round(cost.cpu_seconds, 2),
        "peak_mb": round(cost.peak_bytes / 1e6, 1),
        "mb_per_second": round(size / 1e6 / cost.wall_seconds, 1),
    }


def measure(work: Path, manymill: Path) -> list[dict[str, Any]]:
    """Manymill on every size, Vowpal Wabbit on its own format at one; a file is deleted after its use."""
    rows = []
    for corpus, bits in CORPORA.items():
        for size in SIZES:
            with tempfile.TemporaryDirectory(dir=work) as temporary:
                rows.append(measure_manymill(work / corpus, Path(temporary), manymill, corpus, bits, size))
        with tempfile.TemporaryDirectory(dir=work) as temporary:
            rows.append(measure_vw(work / corpus, Path(temporary), corpus))
    return rows


def measure_manymill(
    source: Path, folder: Path, manymill: Path, corpus: str, bits: int, size: int
) -> dict[str, Any]:
    file = folder / "train.jsonl"
    replicate(source / "shuffled.jsonl", file, size)
    options = [
        "--text",
        "text",
        "--label",
        "label",
        "--threads",
        "2",
        "--passes",
        "1",
        "--ngram-range",
        "1",
        "2",
    ]
    command = [str(manymill), "train", str(file), "--out", str(folder / "run"), *options]
    cost = run([*command, "--n-features", str(2**bits), "--seed", "0"])
    return row(corpus, "manymill", file.stat().st_size, cost)


def measure_vw(source: Path, folder: Path, corpus: str) -> dict[str, Any]:
    file = folder / "train.vw"
    replicate(source / "train.vw", file, VW_SIZE)
    shutil.copy(source / "info.json", folder)
    peers = Path(__file__).with_name("peers.py")
    bits = "20" if corpus == "imdb" else "22"
    command = [
        sys.executable,
        str(peers),
        "train",
        "vw",
        "--folder",
        str(folder),
        "--model",
        str(folder / "model"),
    ]
    return row(
        corpus, "vw", file.stat().st_size, run([*command, "--ngrams", "2", "--passes", "1", "--bits", bits])
    )
