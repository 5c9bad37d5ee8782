"""File on disk to saved model, against other programs: ``python benches/train.py --data FOLDER``.

Every training is a process of its own; the arms alternate, so that a busy machine affects all of them. manymill and
scikit-learn read JSON lines. fastText and Vowpal Wabbit read files that were lower-cased and tokenised beforehand
(their best case: tokenising in Python takes longer than their training). The other programs read shuffled rows,
manymill reads them in the order of the source. Every program learns from every row in every pass: nothing is held
out. The accuracy of the same models is measured on the test rows.

``--memory`` instead replicates two corpora to 30 MB, 300 MB and 3 GB of JSON lines and records manymill's time and
memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scaling
from measure import Cost, machine, run, versions, write_json

HERE = Path(__file__).parent
MANYMILL = Path(sys.executable).with_name("manymill")
PACKAGES = ("manymill", "numpy", "pyarrow", "scikit-learn", "vowpalwabbit", "fasttext-community")

PROGRAMS = ("manymill", "vw", "vw-wide", "sklearn", "fasttext")
CORPORA = ("imdb", "20news-bydate", "debian-sections", "reddit")

# Bits of features. 512 outputs of 2^20 features would be gigabytes for everyone that keeps them apart.
BITS = {"imdb": 20, "20news-bydate": 20, "debian-sections": 20, "reddit": 18}
# Vowpal Wabbit hashes pairs of feature and class into one table: "vw" is its fast size, "vw-wide" is its
# accurate one.
VW_BITS = {"imdb": 20, "20news-bydate": 22, "debian-sections": 22, "reddit": 22}
VW_WIDE_BITS = {"imdb": 22, "20news-bydate": 25, "debian-sections": 26, "reddit": 26}


@dataclass(frozen=True)
class Arm:
    """One program with its settings on one corpus."""

    corpus: str
    program: str
    ngrams: int
    passes: int

    @property
    def bits(self) -> int:
        """Binary logarithm of the number of features."""
        return {"vw": VW_BITS, "vw-wide": VW_WIDE_BITS}.get(self.program, BITS)[self.corpus]

    @property
    def peer(self) -> str:
        """The name of the program for ``peers.py``."""
        return self.program.removesuffix("-wide")

    def train_command(self, folder: Path, model: Path) -> list[str]:
        """The command that trains on the inputs in ``folder`` and saves to ``model``."""
        if self.program == "manymill":
            return [
                *(str(MANYMILL), "train", str(folder / "train.jsonl"), "--text", "text", "--label", "label"),
                *("--out", str(model), "--threads", "2", "--passes", str(self.passes), "--ngram-range", "1"),
                *(str(self.ngrams), "--n-features", str(2**self.bits), "--seed", "0", "--holdout", "0"),
            ]
        return [
            *(sys.executable, str(HERE / "peers.py"), "train", self.peer, "--folder", str(folder)),
            *("--model", str(model), "--ngrams", str(self.ngrams), "--passes", str(self.passes)),
            *("--bits", str(self.bits)),
        ]

    def evaluate_command(self, folder: Path, model: Path) -> list[str]:
        """The command that prints JSON with the accuracy on the test rows."""
        if self.program == "manymill":
            return [str(MANYMILL), "evaluate", str(model), str(folder / "test.jsonl"), "--json"]
        return [
            *(sys.executable, str(HERE / "peers.py"), "evaluate", self.peer),
            *("--folder", str(folder), "--model", str(model)),
        ]


def arms(corpora: list[str], programs: list[str]) -> Iterator[Arm]:
    """All affordable combinations."""
    for corpus in corpora:
        for ngrams in (1, 2):
            for passes in (1, 5):
                for program in programs:
                    arm = Arm(corpus, program, ngrams, passes)
                    if not too_dear(arm):
                        yield arm


def too_dear(arm: Arm) -> bool:
    """Whether an arm would take minutes, or (fastText with one pass) learn nothing."""
    if arm.program == "fasttext":
        return arm.passes == 1
    if arm.program == "sklearn":
        return (arm.passes > 1 and arm.corpus != "imdb") or (arm.corpus, arm.ngrams) == ("reddit", 2)
    return arm.corpus == "reddit" and arm.passes > 1


def measure(corpora: list[str], programs: list[str], repeats: int, work: Path) -> list[dict[str, Any]]:
    """Train every arm ``repeats`` times, alternating, and evaluate it once."""
    startup = startup_seconds() if "manymill" in programs else 0.0
    todo = list(arms(corpora, programs))
    costs: dict[Arm, list[Cost]] = {arm: [] for arm in todo}
    accuracy: dict[Arm, float] = {}
    for repeat in range(repeats):
        for arm in todo:
            folder = work / arm.corpus
            with tempfile.TemporaryDirectory(dir=work) as temporary:
                model = Path(temporary) / "model"
                costs[arm].append(run(arm.train_command(folder, model)))
                if repeat == 0:
                    output = run(arm.evaluate_command(folder, model)).output
                    accuracy[arm] = float(json.loads(output)["accuracy"])
            print(
                f"{repeat + 1}/{repeats} {arm} {costs[arm][-1].wall_seconds:.2f} s",
                file=sys.stderr,
                flush=True,
            )
    return [
        summary(
            arm, costs[arm], startup, accuracy[arm], json.loads((work / arm.corpus / "info.json").read_text())
        )
        for arm in todo
    ]


def startup_seconds() -> float:
    """Seconds for manymill to start and import what training imports, which the other programs' time excludes."""
    command = [sys.executable, "-c", "import manymill.cli.app, manymill.linear.run, numpy.random"]
    return statistics.median(run(command).wall_seconds for _ in range(7))


def summary(
    arm: Arm, costs: list[Cost], startup: float, accuracy: float, info: dict[str, Any]
) -> dict[str, Any]:
    """Medians of the repeats of an arm, with their wall seconds.

    Megabytes are those of the text (or of the JSON lines) once, for any number of passes.
    """
    wall = statistics.median(c.wall_seconds for c in costs)
    # The peers' processes say how long they worked after their imports.
    net = (
        wall - startup
        if arm.program == "manymill"
        else statistics.median(float(json.loads(c.output)["work_seconds"]) for c in costs)
    )
    return {
        "corpus": arm.corpus,
        "program": arm.program,
        "ngram_range": [1, arm.ngrams],
        "passes": arm.passes,
        "bits": arm.bits,
        "accuracy": round(accuracy, 4),
        "wall_seconds": round(wall, 3),
        "work_seconds": round(net, 3),
        "cpu_seconds": round(statistics.median(c.cpu_seconds for c in costs), 3),
        "peak_mb": round(statistics.median(c.peak_bytes for c in costs) / 1e6, 1),
        "text_mb_per_second": round(info["text_bytes"] / 1e6 / wall, 2),
        "text_mb_per_work_second": round(info["text_bytes"] / 1e6 / net, 2),
        "jsonl_mb_per_second": round(info["jsonl_bytes"] / 1e6 / wall, 2),
        "all_wall_seconds": [round(c.wall_seconds, 3) for c in costs],
        "command": shown(arm.train_command(Path("WORK") / arm.corpus, Path("MODEL"))),
    }


def shown(command: list[str]) -> str:
    """A command without the folders of this machine."""
    return " ".join(Path(word).name if Path(word).is_absolute() else word for word in command)


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Speed of manymill relative to each program with the same n-grams and passes."""
    ours = {
        (r["corpus"], tuple(r["ngram_range"]), r["passes"]): r for r in rows if r["program"] == "manymill"
    }
    found = []
    for row in rows:
        key = (row["corpus"], tuple(row["ngram_range"]), row["passes"])
        if row["program"] != "manymill" and key in ours:
            mine = ours[key]
            found.append(
                {
                    "corpus": row["corpus"],
                    "peer": row["program"],
                    "ngram_range": row["ngram_range"],
                    "passes": row["passes"],
                    "speed_ratio": round(row["wall_seconds"] / mine["wall_seconds"], 2),
                    "work_ratio": round(row["work_seconds"] / mine["work_seconds"], 2),
                    "cpu_ratio": round(row["cpu_seconds"] / mine["cpu_seconds"], 2),
                    "accuracy_difference": round(mine["accuracy"] - row["accuracy"], 4),
                }
            )
    return found


def print_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Print rows as a table, each column as wide as its widest cell."""
    cells = [columns] + [[str(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the full corpora (NAME-train.jsonl.zst)"
    )
    parser.add_argument("--work", type=Path, help="folder for inputs and models; a temporary one by default")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--memory", action="store_true", help="memory and speed at 30 MB, 300 MB and 3 GB instead"
    )
    parser.add_argument("--out", type=Path, help="where the results go (benches/results)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        corpora = sorted({case.corpus for case in scaling.CASES}) if arguments.memory else arguments.corpora
        for name in corpora:
            prepare = [sys.executable, str(HERE / "corpora.py"), "--data", str(arguments.data)]
            run([*prepare, "--work", str(work), name])
        content: dict[str, Any] = {"machine": machine(), "versions": versions(*PACKAGES)}
        if arguments.memory:
            content["arms"] = scaling.measure(work, MANYMILL)
            print_table(content["arms"], scaling.COLUMNS)
        else:
            content["repeats"] = arguments.repeats
            content["arms"] = measure(corpora, arguments.programs, arguments.repeats, work)
            content["ratios"] = ratios(content["arms"])
            print_table(content["arms"], list(content["arms"][0])[:-2])
            if content["ratios"]:
                print_table(content["ratios"], list(content["ratios"][0]))
    name = "memory.json" if arguments.memory else "train.json"
    write_json(arguments.out or HERE / "results" / name, content)


if __name__ == "__main__":
    main()
