"""Settings of HashingVectorizer against scikit-learn's, one thread, in one run.

    python benches/vectorizer.py [--data FOLDER] [--corpus imdb] [--megabytes 2] [--repeats 5]

Documents are a list of ``str`` for both. Times are CPU seconds of the thread, alternating; the ratio is that of the
least times. The matrices must be equal to the bit.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from measure import machine, versions, write_json
from sklearn.feature_extraction.text import HashingVectorizer as Original

from manymill import HashingVectorizer

ROOT = Path(__file__).resolve().parents[1]
TOKENS = re.compile(r"\w+").findall

SETTINGS: dict[str, dict[str, Any]] = {
    "words": {},
    "words (1, 2)": {"ngram_range": (1, 2)},
    "stop words": {"stop_words": "english"},
    "char (2, 4)": {"analyzer": "char", "ngram_range": (2, 4)},
    "char_wb (3, 5)": {"analyzer": "char_wb", "ngram_range": (3, 5)},
    "dtype int64, no norm": {"dtype": np.int64, "norm": None},
    "dtype int8, l2": {"dtype": np.int8},
    "strip_accents unicode": {"strip_accents": "unicode"},
    "strip_accents ascii, (1, 2)": {"strip_accents": "ascii", "ngram_range": (1, 2)},
    "preprocessor": {"preprocessor": str.casefold},
    "token_pattern": {"token_pattern": r"(?u)\b\w+\b"},
    "token_pattern, (1, 2)": {"token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)},
    "tokenizer": {"tokenizer": str.split, "token_pattern": None},
    "tokenizer, (1, 3)": {"tokenizer": str.split, "token_pattern": None, "ngram_range": (1, 3)},
    "tokenizer, stop words, (1, 2)": {
        "tokenizer": str.split,
        "token_pattern": None,
        "ngram_range": (1, 2),
        "stop_words": ["the", "a", "of"],
    },
    "analyzer": {"analyzer": TOKENS},
    "analyzer, a generator": {"analyzer": lambda text: (token for token in TOKENS(text))},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--corpus", default="imdb")
    parser.add_argument("--megabytes", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benches" / "results" / "vectorizer.json")
    arguments = parser.parse_args()
    texts = _texts(arguments.data / f"{arguments.corpus}-train.jsonl.zst", arguments.megabytes * 1e6)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{'setting':<30}{'MB/s':>8}{'theirs':>8}{'ratio':>8}")
    results = []
    for name, setting in SETTINGS.items():
        result = {"setting": name, **_compared(setting, texts, megabytes, arguments.repeats)}
        results.append(result)
        speeds = f"{result['megabytes_per_second']:>8.1f}{result['scikit_learn_megabytes_per_second']:>8.1f}"
        print(f"{name:<30}{speeds}{result['ratio']:>7.1f}x", flush=True)
    conditions = {
        "command": " ".join(["python", "benches/vectorizer.py", *sys.argv[1:]]),
        **machine(),
        "versions": versions("manymill", "scikit-learn", "numpy", "scipy"),
        "corpus": arguments.corpus,
        "megabytes": round(megabytes, 3),
    }
    write_json(arguments.out, {**conditions, "results": results})


def _texts(path: Path, most_bytes: float) -> list[str]:
    """Documents from the whole file, which may be sorted by class."""
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    step = max(1, round(sum(map(len, texts)) / most_bytes))
    return texts[::step]


def _compared(setting: dict[str, Any], texts: list[str], megabytes: float, repeats: int) -> dict[str, Any]:
    ours, theirs = HashingVectorizer(**setting), Original(**setting)
    X, Y = ours.transform(texts), theirs.transform(texts)
    for name in ("data", "indices", "indptr"):
        a, b = getattr(X, name), getattr(Y, name)
        if a.dtype != b.dtype or a.tobytes() != b.tobytes():
            sys.exit(f"{setting}: {name} differs")
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(repeats):
        times["theirs"].append(_cpu_seconds(lambda: theirs.transform(texts)))
        times["ours"] += [_cpu_seconds(lambda: ours.transform(texts)) for _ in range(2)]
    fast, slow = min(times["ours"]), min(times["theirs"])
    return {
        "megabytes_per_second": round(megabytes / fast, 1),
        "scikit_learn_megabytes_per_second": round(megabytes / slow, 1),
        "ratio": round(slow / fast, 1),
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.thread_time()
    work()
    return time.thread_time() - start


if __name__ == "__main__":
    main()
