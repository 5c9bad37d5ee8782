"""How good the default text model is, against peers, with paired 95 % intervals and goals.

    python benches/recipe.py [--data FOLDER] [--sections accuracy spam ...] [--corpora imdb ...] [--seeds 3] [--quick]

``accuracy``
    Test accuracy of ``TextClassifier()``, several seeds, against LinearSVC on TF-IDF of words and pairs and of
    ``char_wb`` 3-grams beside them, and against Vowpal Wabbit and fastText where they are installed.
``mean``
    The mean over the corpora of the difference from LinearSVC on the same features, from the saved accuracies.
``spam``
    Recall at 1 % false positives, of spam as it is and with a quarter of its vowels replaced by digits and signs.
``imbalance``
    Average precision on IMDB with 50 negative reviews for each positive one.
``probabilities``
    Log loss and expected calibration error against ``loss="log"``.
``lanes``
    What 16 lanes in 3 passes and 64 lanes in 6 passes lose against the default.
``time``
    CPU and wall seconds of whole trainings, against LinearSVC and against words and pairs of words alone.

Nothing is tuned: test rows are read once by each trained model, and decide nothing. Peers' predictions are kept in
``--cache``. Results are merged into ``results/recipe.json`` by section and corpus, and printed as Markdown;
``--print`` prints what is saved. Goals: "met within the interval" says that only its better end reaches the goal. For
the meaning of the intervals see :mod:`paired`, of the corpora :mod:`recipe_data`, of the peers :mod:`recipe_arms`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
from recipe_data import FILES
from recipe_runs import Runs, default_cache
from recipe_sections import SECTIONS, Bench, Entry

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benches" / "results" / "recipe.json"
FOLDERS = ("--data", "--work", "--cache", "--out")
WHOLE = "reddit"


def tables(entries: dict[str, Entry]) -> str:
    """The figures of all entries as Markdown, one table a section."""
    parts = []
    for section in SECTIONS:
        rows = [
            _row(name.partition(" ")[2], entry["unit"], row)
            for name, entry in entries.items()
            if name.partition(" ")[0] == section
            for row in entry["figures"]
        ]
        if rows:
            heading = "| | figure | value | 95 % interval | goal | | stretch goal | |"
            parts.append("\n".join([f"### {section}", "", heading, "|---" * 8 + "|", *rows]))
    return "\n\n".join(parts)


def _row(name: str, unit: str, row: dict[str, Any]) -> str:
    decimals = 2 if unit == "%" else 3
    goal = row.get("goal") or {}
    cells = [name, row["figure"], f"{row['value']:.{decimals}f}"]
    cells.append(f"{row['low']:.{decimals}f} to {row['high']:.{decimals}f}")
    for kind in ("must", "stretch"):
        sign = {">=": "≥", "<=": "≤"}.get(goal.get("sign", ""), "")
        known = goal.get(kind) is not None
        cells += [f"{sign} {goal[kind]:g}", row[kind]] if known else ["", ""]
    return "| " + " | ".join(cells) + " |"


def shown(words: list[str]) -> str:
    """The command without the folders of this machine."""
    kept = [
        word for i, word in enumerate(words) if word not in FOLDERS and not (i and words[i - 1] in FOLDERS)
    ]
    return shlex.join(["python", "benches/recipe.py", *kept])


def keep(saved: dict[str, Entry], name: str, entry: Entry, options: argparse.Namespace) -> None:
    """Replace an entry of the results, and save them unless the run is a quick one."""
    saved[name] = {
        "command": shown(sys.argv[1:]),
        "machine": measure.machine(),
        "versions": measure.versions(
            "manymill", "scikit-learn", "numpy", "scipy", "vowpalwabbit", "fasttext-community"
        ),
        "seeds": list(range(options.seeds)),
        **entry,
    }
    if not options.quick:
        measure.write_json(options.out, {"entries": saved})


def parsed() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, help="folder for inputs; a temporary one by default")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of peers' predictions")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument(
        "--corpora", nargs="+", choices=FILES, default=[name for name in FILES if name != WHOLE]
    )
    parser.add_argument("--whole", action="store_true", help="all rows of reddit too, without peers")
    parser.add_argument(
        "--peers", choices=["all", "cached", "none"], default="all", help="which peers may run"
    )
    parser.add_argument("--fast", action="store_true", help='the recipe "fast" too')
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="threads of our trainings")
    parser.add_argument(
        "--quick", action="store_true", help="every tenth row, one seed, one repeat; nothing is saved"
    )
    parser.add_argument("--print", action="store_true", help="print the saved results and measure nothing")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    if options.quick:
        options.seeds = options.repeats = 1
    if options.whole and WHOLE not in options.corpora:
        options.corpora = [*options.corpora, WHOLE]
    return options


def main() -> None:
    """Run the sections, print and save their figures."""
    options = parsed()
    saved: dict[str, Entry] = {}
    if options.out.exists() and not options.quick:
        saved = measure.read_json(options.out)["entries"]
    if options.print:
        print(tables(saved))
        return
    # One core for the libraries of every child: times are CPU seconds.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    runs = Runs(options.cache.resolve(), options.threads, options.peers)
    done: dict[str, Entry] = {}
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(options, (options.work or Path(temporary)).resolve(), runs, saved)
        for section in options.sections:
            for name, entry in SECTIONS[section](bench):
                key = f"{section} {name}"
                keep(saved, key, entry, options)
                done[key] = saved[key]
                print(tables({key: saved[key]}), file=sys.stderr, flush=True)
    print(tables(done))
    for what, note in runs.notes.items():
        print(f"{what}: {note}")


if __name__ == "__main__":
    main()
