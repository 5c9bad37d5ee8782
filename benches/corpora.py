"""Make the inputs of the training benchmark: ``python benches/corpora.py --data FOLDER --work FOLDER NAME``.

From ``NAME-train.jsonl.zst`` and ``NAME-test.jsonl.zst`` it makes, in ``WORK/NAME``:

``train.jsonl``, ``test.jsonl``
    Decompressed, in the order of the source (some are sorted by class).
``shuffled.jsonl``
    The training rows shuffled once, for programs that do not shuffle.
``sorted.jsonl``
    The training rows sorted by label: the worst case for partitions.
``{train,test}.vw``, ``{train,test}.ft``
    Input of Vowpal Wabbit and fastText in the same order as ``shuffled.jsonl``, with the tokens that scikit-learn's
    default pattern finds in lower-cased text. No program's time includes making them.
``info.json``
    Rows, bytes, classes, and the seconds for tokenising in Python.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from pathlib import Path

import zstandard

TOKEN = re.compile(r"(?u)\b\w\w+\b")
SHUFFLE_SEED = 1

# LinearSVC takes seconds for each of reddit's 512 classes: programs are compared on one row in so many.
PART = 10


def read_rows(path: Path) -> list[bytes]:
    """The lines of a compressed file of JSON lines."""
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()


def write_tokenised(lines: list[bytes], classes: dict[str, int], out: Path) -> float:
    """Write ``out.vw`` and ``out.ft``; returns the seconds for tokenising."""
    seconds = 0.0
    with (
        out.with_suffix(".vw").open("w", encoding="utf-8") as vw,
        out.with_suffix(".ft").open("w", encoding="utf-8") as fasttext,
    ):
        for line in lines:
            row = json.loads(line)
            number = classes[row["label"]]
            start = time.perf_counter()
            words = " ".join(TOKEN.findall(row["text"].lower()))
            seconds += time.perf_counter() - start
            # Two classes are -1 and 1 to Vowpal Wabbit, more are 1, 2, ...
            vw.write(f"{2 * number - 1 if len(classes) == 2 else number + 1} | {words}\n")
            fasttext.write(f"__label__{number} {words}\n")
    return seconds


def write_rows(path: Path, rows: list[bytes]) -> None:
    """Write lines to a file."""
    path.write_bytes(b"\n".join(rows) + b"\n")


def unpack(data: Path, work: Path, name: str) -> Path:
    """Write the JSON lines of one corpus, unless they exist; returns their folder."""
    folder = work / name
    if (folder / "shuffled.jsonl").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    train = read_rows(data / f"{name}-train.jsonl.zst")
    write_rows(folder / "train.jsonl", train)
    write_rows(folder / "test.jsonl", read_rows(data / f"{name}-test.jsonl.zst"))
    write_rows(folder / "sorted.jsonl", sorted(train, key=lambda line: str(json.loads(line)["label"])))
    random.Random(SHUFFLE_SEED).shuffle(train)
    write_rows(folder / "shuffled.jsonl", train)  # the last one: it says that all are there
    return folder


def part(folder: Path) -> Path:
    """Every tenth training row of a corpus, and all test rows."""
    out = folder.with_name(f"{folder.name}-tenth")
    out.mkdir(exist_ok=True)
    lines = (folder / "train.jsonl").read_bytes().splitlines()
    write_rows(out / "train.jsonl", lines[::PART])
    write_rows(out / "test.jsonl", (folder / "test.jsonl").read_bytes().splitlines())
    return out


def stripped(folder: Path) -> Path:
    """Mails without headers, footers and quotes, as ``fetch_20newsgroups(remove=...)`` removes them."""
    from sklearn.datasets import _twenty_newsgroups as newsgroups

    out = folder.with_name(f"{folder.name}-stripped")
    out.mkdir(exist_ok=True)
    for split in ("train", "test"):
        rows = []
        for line in (folder / f"{split}.jsonl").read_bytes().splitlines():
            row = json.loads(line)
            text = newsgroups.strip_newsgroup_header(row["text"])
            text = newsgroups.strip_newsgroup_footer(newsgroups.strip_newsgroup_quoting(text))
            rows.append(json.dumps({"label": row["label"], "text": text}).encode())
        write_rows(out / f"{split}.jsonl", rows)
    return out


def prepare(data: Path, work: Path, name: str) -> None:
    """Make all inputs of one corpus, unless they exist."""
    folder = work / name
    if (folder / "info.json").exists():
        return
    unpack(data, work, name)
    train = (folder / "shuffled.jsonl").read_bytes().splitlines()
    test = (folder / "test.jsonl").read_bytes().splitlines()
    # A class that only the test rows have costs everyone the same few errors.
    labels = sorted({json.loads(line)["label"] for line in train + test})
    classes = {label: i for i, label in enumerate(labels)}
    seconds = write_tokenised(train, classes, folder / "train")
    write_tokenised(test, classes, folder / "test")
    info = {
        "rows": len(train),
        "test_rows": len(test),
        "text_bytes": sum(len(json.loads(line)["text"].encode()) for line in train),
        "jsonl_bytes": (folder / "train.jsonl").stat().st_size,
        "classes": labels,
        "tokenise_seconds": round(seconds, 2),
    }
    (folder / "info.json").write_text(json.dumps(info))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("name")
    arguments = parser.parse_args()
    prepare(arguments.data, arguments.work, arguments.name)


if __name__ == "__main__":
    main()
