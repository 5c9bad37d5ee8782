"""Memory and speed for growing inputs: one text replicated to 30 MB, 300 MB and 3 GB of JSON lines.

Replicated text has no new words, so only memory and throughput are meaningful, not accuracy.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Cost, run

MB = 1_000_000


@dataclass(frozen=True)
class Case:
    """One corpus with its settings, at growing sizes."""

    corpus: str
    bits: int
    vw_bits: int
    ngrams: int
    sizes: tuple[int, ...]


CASES = (
    Case("imdb", 20, 20, 1, (30 * MB, 300 * MB, 3000 * MB)),
    Case("imdb", 20, 20, 2, (30 * MB, 300 * MB, 3000 * MB)),
    # 512 classes: the learner has most of the work.
    Case("reddit", 17, 22, 1, (30 * MB, 300 * MB)),
)
VW_SIZE = 300 * MB
COLUMNS = [
    "corpus",
    "program",
    "ngram_range",
    "file_mb",
    "wall_seconds",
    "cpu_seconds",
    "peak_mb",
    "mb_per_second",
]


def replicate(source: Path, target: Path, size: int) -> None:
    """Write the lines of ``source`` repeatedly until ``target`` has ``size`` bytes, whole lines only."""
    with target.open("wb") as out:
        while out.tell() < size:
            with source.open("rb") as lines:
                for line in lines:
                    out.write(line)
                    if out.tell() >= size:
                        break


def row(case: Case, program: str, size: int, cost: Cost) -> dict[str, Any]:
    """One line of the results."""
    return {
        "corpus": case.corpus,
        "replicated": True,
        "program": program,
        "ngram_range": [1, case.ngrams],
        "file_mb": round(size / 1e6, 1),
        "wall_seconds": round(cost.wall_seconds, 2),
        "cpu_seconds": round(cost.cpu_seconds, 2),
        "peak_mb": round(cost.peak_bytes / 1e6, 1),
        "mb_per_second": round(size / 1e6 / cost.wall_seconds, 1),
    }


def measure(work: Path, manymill: Path) -> list[dict[str, Any]]:
    """Manymill on every size, Vowpal Wabbit on its own format at one; a file is deleted after its use."""
    rows = []
    for case in CASES:
        for size in case.sizes:
            with tempfile.TemporaryDirectory(dir=work) as temporary:
                rows.append(measure_manymill(work / case.corpus, Path(temporary), manymill, case, size))
        with tempfile.TemporaryDirectory(dir=work) as temporary:
            rows.append(measure_vw(work / case.corpus, Path(temporary), case))
    return rows


def measure_manymill(source: Path, folder: Path, manymill: Path, case: Case, size: int) -> dict[str, Any]:
    """One training on a file of this size."""
    file = folder / "train.jsonl"
    replicate(source / "shuffled.jsonl", file, size)
    command = [
        *(
            str(manymill),
            "train",
            str(file),
            "--text",
            "text",
            "--label",
            "label",
            "--out",
            str(folder / "run"),
        ),
        *("--threads", "2", "--recipe", "fast", "--passes", "1", "--ngram-range", "1", str(case.ngrams)),
        *("--n-features", str(2**case.bits), "--seed", "0"),
    ]
    return row(case, "manymill", file.stat().st_size, run(command))


def measure_vw(source: Path, folder: Path, case: Case) -> dict[str, Any]:
    """One training of Vowpal Wabbit on the same text, tokenised beforehand."""
    file = folder / "train.vw"
    replicate(source / "train.vw", file, VW_SIZE)
    shutil.copy(source / "info.json", folder)
    command = [
        *(sys.executable, str(Path(__file__).with_name("peers.py")), "train", "vw"),
        *("--folder", str(folder), "--model", str(folder / "model"), "--ngrams", str(case.ngrams)),
        *("--passes", "1", "--bits", str(case.vw_bits)),
    ]
    return row(case, "vw", file.stat().st_size, run(command))
