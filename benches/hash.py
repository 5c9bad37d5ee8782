"""Text to a matrix: manymill's HashingVectorizer against scikit-learn's, one thread, in one run.

    python benches/hash.py [--quick] [--data FOLDER] [--corpora 20news imdb ...]

Times are CPU seconds of the thread on a sample of the training documents, the two libraries alternating; manymill
reads an Arrow column into fresh arrays, scikit-learn its ``list`` of ``str``. Differing bits are counted over all
documents of train and test (n-grams of characters: over the timed sample).

For words there are also: every kernel tier of the processor, each in a process of its own; ``list[str]`` instead of
Arrow; and two threads instead of one, in wall seconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.ipc
import pyarrow.json
import sklearn
from sklearn.feature_extraction.text import HashingVectorizer as Original

import manymill._core
from manymill.text.hashing import HashingVectorizer

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "20news": "20news-bydate",
    "imdb": "imdb",
    "reddit": "reddit",
    "debian": "debian-sections",
    "spamassassin": "spamassassin",
    "bible": "bible-languages",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "words": {},
    "words (1, 2)": {"ngram_range": (1, 2)},
    "char_wb (3, 5)": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}
BLOCK = 10_000  # documents compared at a time
# Text of one timed call: two seconds of scikit-learn's time at most.
TIMED_BYTES = {"words": 12_000_000, "words (1, 2)": 12_000_000, "char_wb (3, 5)": 2_000_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--corpora", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="compare and time 2 MB of each corpus, once")
    parser.add_argument("--out", type=Path, default=ROOT / "benches" / "results" / "hash.json")
    parser.add_argument("--alone", nargs=2, metavar=("SAMPLE", "SETTING"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        return _alone(*arguments.alone, arguments.repeats)
    if arguments.quick:
        arguments.repeats = 1
    heads = f"{'MB':>7}{'nnz':>12}{'bits off':>9}{'MB/s':>8}{'theirs':>8}{'ratio':>8}"
    print(f"{'corpus':<14}{'setting':<14}{heads}")
    results = []
    for corpus in arguments.corpora:
        column = _column(arguments.data, FILES[corpus], quick=arguments.quick)
        for name, setting in SETTINGS.items():
            result = {"corpus": corpus, "setting": name, **_measure(column, name, setting, arguments)}
            results.append(result)
            print(
                f"{corpus:<14}{name:<14}{result['megabytes']:>7.1f}{result['nnz']:>12,}"
                f"{result['differing_bits']:>9}{result['megabytes_per_second']:>8.1f}"
                f"{result['scikit_learn_megabytes_per_second']:>8.1f}{result['ratio']:>7.1f}x",
                flush=True,
            )
            if name == "words":
                print(f"{'':<14}{_others(result)}", flush=True)
    if not arguments.quick:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({**_conditions(), "results": results}, indent=1) + "\n")
        print(arguments.out)
    if any(result["differing_bits"] for result in results):
        sys.exit("there are differing bits")


def _column(folder: Path, name: str, *, quick: bool) -> pa.ChunkedArray:
    """The texts of a corpus, train and then test."""
    columns = []
    for split in ("train", "test"):
        with pa.input_stream(str(folder / f"{name}-{split}.jsonl.zst"), compression="zstd") as stream:
            options = pa.json.ReadOptions(block_size=1 << 25)
            columns.append(pa.json.read_json(stream, read_options=options)["text"])
    column = pa.chunked_array([chunk for part in columns for chunk in part.chunks])
    return column.slice(0, _documents(column, 2_000_000)) if quick else column


def _documents(column: pa.ChunkedArray, most_bytes: int) -> int:
    """How many of the first documents have this many bytes."""
    lengths = np.cumsum(pa.compute.binary_length(column).to_numpy())
    return max(1, int(np.searchsorted(lengths, most_bytes)))


def _measure(
    column: pa.ChunkedArray, name: str, setting: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    ours, theirs = HashingVectorizer(**setting), Original(**setting)
    # Documents of the whole corpus, evenly: files are sorted by class or source.
    step = max(1, round(column.nbytes / TIMED_BYTES[name]))
    sample = pa.chunked_array([column.take(np.arange(0, len(column), step)).combine_chunks()])
    compared = sample if name.startswith("char") else column
    differing, nnz = 0, 0
    for start in range(0, len(compared), BLOCK):
        block = compared.slice(start, BLOCK)
        X = ours.transform(block)
        nnz += X.nnz
        differing += _differing_bits(X, theirs.transform(block.to_pylist()))
    texts = sample.to_pylist()
    megabytes = _megabytes(sample)
    times: dict[str, list[float]] = {"ours": [], "list": [], "theirs": []}
    for _ in range(arguments.repeats):
        times["theirs"].append(_cpu_seconds(lambda: theirs.transform(texts)))
        # Ours is so short that one call would measure the clock's neighbours.
        for _ in range(3):
            times["ours"].append(_cpu_seconds(lambda: ours.transform(sample)))
            if name == "words":
                times["list"].append(_cpu_seconds(lambda: ours.transform(texts)))
    fast, slow = median(times["ours"]), median(times["theirs"])
    result = {
        "documents": len(column),
        "megabytes": round(_megabytes(column), 3),
        "compared_megabytes": round(_megabytes(compared), 3),
        "nnz": nnz,
        "differing_bits": differing,
        "timed_megabytes": round(megabytes, 3),
        "megabytes_per_second": round(megabytes / fast, 1),
        "scikit_learn_megabytes_per_second": round(megabytes / slow, 1),
        "ratio": round(slow / fast, 1),
        "seconds": times["ours"],
        "scikit_learn_seconds": times["theirs"],
    }
    if name == "words":
        result["list_costs"] = round(median(times["list"]) / fast - 1, 3)
        result["two_threads"] = _two_threads(sample, setting, arguments.repeats)
        result["tiers"] = {
            tier: round(slow / median(_in_tier(tier, sample, name, arguments.repeats)), 1)
            for tier in manymill._core.kernel_tiers()
        }
    return result


def _others(result: dict[str, Any]) -> str:
    tiers = ", ".join(f"{tier} {ratio}x" for tier, ratio in result["tiers"].items())
    return f"{tiers}; list[str] {result['list_costs']:+.0%}; two threads {result['two_threads']}x"


def _megabytes(column: pa.ChunkedArray) -> float:
    return float(pa.compute.sum(pa.compute.binary_length(column)).as_py()) / 1e6


def _two_threads(sample: pa.ChunkedArray, setting: dict[str, Any], repeats: int) -> float:
    """Speed of two threads relative to one, by the least wall seconds of both."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(5 * repeats):
        for n_jobs, taken in seconds.items():
            start = time.perf_counter()
            HashingVectorizer(**setting, n_jobs=n_jobs).transform(sample)
            taken.append(time.perf_counter() - start)
    return round(min(seconds[1]) / min(seconds[2]), 2)


def _in_tier(tier: str, sample: pa.ChunkedArray, setting: str, repeats: int) -> list[float]:
    """CPU seconds in another process that uses kernels of this tier."""
    with tempfile.NamedTemporaryFile(suffix=".arrow") as file:
        table = pa.table({"text": sample})
        with pa.ipc.new_file(file.name, table.schema) as writer:
            writer.write_table(table)
        command = [sys.executable, __file__, "--alone", file.name, setting, "--repeats", str(repeats)]
        environment = {**os.environ, "MANYMILL_KERNELS": tier}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    alone = json.loads(done.stdout)
    if alone["tier"] != tier:
        raise RuntimeError(f"the kernels are {alone['tier']}, not {tier}")
    return list(alone["seconds"])


def _alone(sample: str, setting: str, repeats: int) -> None:
    """The process of :func:`_in_tier`: print the seconds as JSON."""
    with pa.ipc.open_file(sample) as reader:
        column = reader.read_all()["text"]
    vectorizer = HashingVectorizer(**SETTINGS[setting])
    seconds = [_cpu_seconds(lambda: vectorizer.transform(column)) for _ in range(3 * repeats)]
    print(json.dumps({"tier": manymill._core.kernel_tier(), "seconds": seconds}))


def _cpu_seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _differing_bits(X: Any, Y: Any) -> int:
    """Number of differing bits of data, indices and row pointers; all bits of arrays with other lengths."""
    total = 0
    for name in ("data", "indices", "indptr"):
        a, b = getattr(X, name), getattr(Y, name)
        if a.shape != b.shape or a.dtype != b.dtype:
            total += 8 * max(a.nbytes, b.nbytes)
        else:
            total += int(np.bitwise_count(a.view(np.uint8) ^ b.view(np.uint8)).sum())
    return total


def _conditions() -> dict[str, Any]:
    return {
        "command": " ".join(["python", "benches/hash.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "platform": platform.platform(),
        "kernels": manymill._core.kernel_tier(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": {
            "manymill": manymill._core.__version__,
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "pyarrow": pa.__version__,
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
