"""The limit of ``--memory`` on hostile shapes of data: peak memory of the process tree relative to the plan.

Each shape is generated in a temporary folder, planned, and trained on with ``--memory`` set to the plan's figure. A
shape that is refused with an error also passes (if ``plan`` refuses it: against the memory of an ordinary training).
``--scale 0.1`` makes the shapes a tenth as large and scales ``--max-record``; ``--shapes NAME ...`` runs some of them
and keeps the results of the others. Results go to ``benches/results/memory-shapes.json``.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import lzma
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import psutil

SEED_ROW = b'{"text": "good fun %d", "label": "%s"}\n'
Make = Callable[[Path, float], list[str]]


def _rows(n: int) -> bytes:
    return b"".join(SEED_ROW % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(n))


def _file(folder: Path, name: str, *parts: bytes) -> list[str]:
    with open(folder / name, "wb") as out:
        out.writelines(parts)
    return [str(folder / name)]


def normal(folder: Path, scale: float) -> list[str]:
    words = " ".join(f"word{i}" for i in range(40))
    return _file(folder, "a.jsonl", *(_rows(1)[:-1].replace(b"fun", words.encode()) + b"\n" + _rows(2)
                                      for _ in range(int(100_000 * scale))))  # fmt: skip


def one_line(folder: Path, scale: float) -> list[str]:
    return _file(
        folder, "a.jsonl", _rows(100), b'{"text": "', b"x y " * int(125e6 * scale), b'"}\n', _rows(100)
    )


def zeros(folder: Path, scale: float) -> list[str]:
    return _file(folder, "a.jsonl", _rows(100), *([bytes(1 << 20)] * int(2000 * scale)), b"\n", _rows(100))


def tiny_rows(folder: Path, scale: float) -> list[str]:
    line = b'{"text":"a","label":"x"}\n{"text":"b","label":"y"}\n' * 1000
    return _file(folder, "a.jsonl", *([line] * int(5000 * scale)))


def brackets(folder: Path, scale: float) -> list[str]:
    return _file(folder, "a.jsonl", _rows(100), b"[" * int(1e7 * scale), b"\n", _rows(100))


def long_key(folder: Path, scale: float) -> list[str]:
    return _file(folder, "a.jsonl", _rows(100), b'{"', b"k" * int(1e8 * scale), b'": 1}\n', _rows(100))


def many_keys(folder: Path, scale: float) -> list[str]:
    keys = b", ".join(b'"key%d": %d' % (i, i) for i in range(int(1e6 * scale)))
    line = b'{"text": "a b", "label": "x", ' + keys + b"}\n"
    return _file(folder, "a.jsonl", _rows(100), line, line, line, line, _rows(100))


def many_files(folder: Path, scale: float) -> list[str]:
    for name in "ab":
        (folder / name).mkdir()
        for i in range(int(25_000 * scale)):
            (folder / name / f"{i}.txt").write_text(f"text {i}")
    return [str(folder)]


def many_jsonl(folder: Path, scale: float) -> list[str]:
    for i in range(int(20_000 * scale)):
        (folder / f"{i}.jsonl").write_bytes(_rows(2))
    return [str(folder)]


def many_labels(folder: Path, scale: float) -> list[str]:
    line = b"__label__a " * int(3e6 * scale) + b"good fun\n"
    return _file(folder, "a.ft", b"__label__a x\n__label__b y\n" * 50, line, line)


def open_reviews(folder: Path, scale: float) -> list[str]:
    review = b"<review>\n<rating>\n5.0\n</rating>\n<review_text>\ngood\n</review_text>\n</review>\n"
    begun = b"<review>\n<rating>\n1.0\n</rating>\n<review_text>\n" + b"bad words " * 1000
    n = int(63e6 * scale) // len(begun)
    return _file(folder, "a.review", review * 50, review.replace(b"5.0", b"1.0") * 50, *([begun] * n))


def open_quote(folder: Path, scale: float) -> list[str]:
    head = b"text,label\n" + b"good,a\nbad,b\n" * 50
    return _file(folder, "a.csv", head, b'"', *([b"x y z " * 100_000] * int(1600 * scale)))


def bomb(folder: Path, scale: float) -> list[str]:
    with gzip.open(folder / "a.jsonl.gz", "wb", 1) as out:
        _bomb(out, int(2000 * scale))
    return [str(folder / "a.jsonl.gz")]


def _bomb(out: Any, n_mebibytes: int) -> None:
    out.write(_rows(100))
    for _ in range(n_mebibytes):
        out.write(bytes(1 << 20))
    out.write(b"\n" + _rows(100))


def xz_bomb(folder: Path, scale: float) -> list[str]:
    with lzma.open(folder / "a.jsonl.xz", "wb", preset=0) as out:
        _bomb(out, int(1000 * scale))
    return [str(folder / "a.jsonl.xz")]


def zstd_bomb(folder: Path, scale: float) -> list[str]:
    import zstandard

    with open(folder / "a.jsonl.zst", "wb") as raw:
        parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
        with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(raw) as out:
            _bomb(out, int(2000 * scale))
    return [str(folder / "a.jsonl.zst")]


def bz2_bomb(folder: Path, scale: float) -> list[str]:
    with bz2.open(folder / "a.jsonl.bz2", "wb", 9) as out:
        _bomb(out, int(500 * scale))
    return [str(folder / "a.jsonl.bz2")]


def allowed_line(folder: Path, scale: float) -> list[str]:
    """A record as long as a ``--max-record`` of 1 GiB allows."""
    return one_line(folder, scale)


def late_classes(folder: Path, scale: float) -> list[str]:
    """Two classes for longer than the sample, then thousands of classes of one row each."""
    pick = random.Random(0)
    words = [f"word{i}" for i in range(5000)]
    with gzip.open(folder / "a.jsonl.gz", "wb", 1) as out:
        for i in range(int(1_000_000 * scale)):
            out.write(
                SEED_ROW.replace(b"fun", " ".join(pick.choices(words, k=40)).encode())
                % (i, b"ab"[i % 2 : i % 2 + 1])
            )
        for i in range(int(20_000 * scale)):
            out.write(SEED_ROW % (i, b"late%d" % i))
    return [str(folder / "a.jsonl.gz")]


def rare_record(folder: Path, scale: float) -> list[str]:
    """One record just below ``--max-record`` that no sample contains."""
    words = " ".join(f"word{i}" for i in range(40)).encode()
    line = b'{"text": "' + b"good fun " * int(6.6e6 * scale) + b'", "label": "a"}\n'
    rows = [_rows(1)[:-1].replace(b"fun", words) + b"\n" + _rows(2) for _ in range(int(300_000 * scale))]
    return _file(folder, "a.jsonl", *rows, line, *rows)


def wide_csv(folder: Path, scale: float) -> list[str]:
    n = int(1e6 * scale)
    header = b",".join(b"c%d" % i for i in range(n)) + b",text,label\n"
    row = b"1," * n + b"good fun,%s\n"
    return _file(folder, "a.csv", header, *[row % b"ab"[i % 2 : i % 2 + 1] for i in range(6)])


def wide_first_line(folder: Path, scale: float) -> list[str]:
    keys = b", ".join(b'"key%d": %d' % (i, i) for i in range(int(5e5 * scale)))
    line = b'{"text": "a b", "label": "a", ' + keys + b"}\n"
    return _file(folder, "a.jsonl", line, _rows(100))


def long_first_line(folder: Path, scale: float) -> list[str]:
    return _file(
        folder, "a.jsonl", b'{"text": "', b"x y " * int(17.5e6 * scale), b'", "label": "a"}\n', _rows(100)
    )


def long_folder(folder: Path, scale: float) -> list[str]:
    for name in "ab":
        (folder / name).mkdir()
        for i in range(3):
            (folder / name / f"{i}.txt").write_bytes("добрый день ".encode() * int(2.8e6 * scale))
    return [str(folder)]


def long_unicode(folder: Path, scale: float) -> list[str]:
    words = "書を読む。добрый день, é ".encode()
    line = b'{"text": "' + words * int(60e6 * scale / len(words)) + b'", "label": "%s"}\n'
    return _file(
        folder, "a.jsonl", _rows(100), *(line % b"ab"[i % 2 : i % 2 + 1] for i in range(6)), _rows(100)
    )


def long_distinct(folder: Path, scale: float) -> list[str]:
    """Long records of random words of two letters: the most words for their size."""
    pick = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = " ".join(a + b for a, b in (pick.choices(letters, k=2) for _ in range(300_000)))
    text = (words + " ").encode() * int(60e6 * scale / len(words))
    return _file(
        folder, "a.jsonl", _rows(100), *([b'{"text": "' + text + b'", "label": "a"}\n'] * 6), _rows(100)
    )


def long_csv_gz(folder: Path, scale: float) -> list[str]:
    with gzip.open(folder / "a.csv.gz", "wb", 1) as out:
        out.write(b"text,label\n" + b"good,a\nbad,b\n" * 50)
        for _ in range(4):
            out.write(b'"' + b'good ""fun"" x, ' * int(3.9e6 * scale) + b'",a\n')
        out.write(b"good,a\nbad,b\n" * 50)
    return [str(folder / "a.csv.gz")]


def long_records(folder: Path, scale: float) -> list[str]:
    line = b'{"text": "' + b"good fun " * int(6.6e6 * scale) + b'", "label": "a"}\n'
    return _file(folder, "a.jsonl", _rows(100), *([line] * 6), _rows(100))


def _parquet(folder: Path, text: Any, **options: Any) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = ["a", "b"] * (len(text) // 2)
    pq.write_table(pa.table({"text": text, "label": labels}), folder / "a.parquet", **options)
    return [str(folder / "a.parquet")]


def row_group(folder: Path, scale: float) -> list[str]:
    text = [f"{i} " + "good fun bad plot " * 50 for i in range(2 * int(550_000 * scale))]
    return _parquet(folder, text, row_group_size=len(text), use_dictionary=False)


def dictionary(folder: Path, scale: float) -> list[str]:
    import pyarrow as pa

    value = ("ab cde " * 300_000)[: int(2e6 * min(1.0, 4 * scale))]
    indices = pa.array([0] * 2 * int(450 * max(scale, 0.2)), pa.int32())
    return _parquet(folder, pa.DictionaryArray.from_arrays(indices, pa.array([value])), compression="zstd")


def delta(folder: Path, scale: float) -> list[str]:
    value = ("ab cde " * 300_000)[: int(2e6 * min(1.0, 4 * scale))]
    return _parquet(folder, [value] * 2 * int(450 * max(scale, 0.2)), compression="zstd", use_dictionary=False,
                    column_encoding={"text": "DELTA_BYTE_ARRAY", "label": "PLAIN"})  # fmt: skip


def large_pages(folder: Path, scale: float) -> list[str]:
    value = ("ab cde " * 300_000)[: int(2e6 * min(1.0, 4 * scale))]
    return _parquet(folder, ["x"] * 60_000 + [f"{value}{i}" for i in range(200)], use_dictionary=False)


SHAPES: dict[str, Make] = {
    make.__name__: make
    for make in (
        normal, one_line, zeros, tiny_rows, brackets, long_key, many_keys, many_files, many_jsonl, many_labels,
        open_reviews, open_quote, bomb, xz_bomb, zstd_bomb, bz2_bomb, allowed_line, late_classes, long_records,
        rare_record, long_unicode, long_distinct, long_folder, long_csv_gz, wide_csv, wide_first_line,
        long_first_line, row_group, dictionary, delta, large_pages,
    )
}  # fmt: skip
# Shapes that ask for more than the rest.
MAX_RECORD = {"allowed_line": 1 << 30, "long_first_line": 128 << 20}
# What an ordinary small training is promised: a shape that ``plan`` refuses has to stay below it.
ORDINARY_BYTES = 240_000_000


def watched(command: list[str], to: str) -> tuple[int, int, str]:
    """Exit code, peak resident bytes of the process tree, and last output of a command that writes to a file."""
    with tempfile.TemporaryFile() as out, open(to, "wb") as printed:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=out)
        root, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                tree = [root, *root.children(recursive=True)]
                peak = max(peak, sum(one.memory_info().rss for one in tree))
            except psutil.Error:
                continue
            time.sleep(0.01)
        out.seek(0)
        return process.returncode, peak, out.read().decode(errors="replace")[-2000:]


def measured(name: str, scale: float) -> dict[str, Any]:
    """The plan's figure for a shape, and the peaks of planning and of training with it."""
    with tempfile.TemporaryDirectory(prefix="manymill-shape-") as folder:
        inputs = Path(folder) / "in"
        inputs.mkdir()
        files = SHAPES[name](inputs, scale)
        most = MAX_RECORD.get(name, 64 << 20)
        options = ["--max-record", str(int(most * min(1.0, scale))), "--threads", "2"]
        program = [sys.executable, "-m", "manymill"]
        plan_code, plan_peak, told = watched([*program, "plan", *files, *options, "--json"], f"{folder}/plan")
        if plan_code:
            return {
                "shape": name, "scale": scale, "plan_exit": plan_code, "plan_peak_bytes": plan_peak,
                "promise_bytes": ORDINARY_BYTES, "peak_bytes": plan_peak, "exit": plan_code,
                "share": round(plan_peak / ORDINARY_BYTES, 3), "words": told[-300:].replace(str(folder), "…"),
            }  # fmt: skip
        promise = json.loads(Path(f"{folder}/plan").read_text())["memory_bytes"]
        code, peak, words = watched(
            [*program, "train", *files, *options, "--memory", str(promise), "--out", f"{folder}/run"],
            f"{folder}/out",
        )
    return {
        "shape": name, "scale": scale, "promise_bytes": promise, "plan_exit": plan_code,
        "plan_peak_bytes": plan_peak, "exit": code, "peak_bytes": peak,
        "share": round(max(peak, plan_peak) / promise, 3), "words": words[-300:].replace(str(folder), "…"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory-shapes.json")
    asked = parser.parse_args()
    known = json.loads(asked.out.read_text())["shapes"] if asked.out.exists() else []
    rows = {row["shape"]: row for row in known if row["shape"] in SHAPES}
    for name in asked.shapes:
        rows[name] = row = measured(name, asked.scale)
        print(
            f"{name:16} plan {row['plan_peak_bytes'] / 1e6:6.0f}  peak {row['peak_bytes'] / 1e6:6.0f}  "
            f"promise {row['promise_bytes'] / 1e6:6.0f} MB  share {row['share']:.2f}  exit {row['exit']}",
            flush=True,
        )
        shapes = [rows[shape] for shape in SHAPES if shape in rows]
        asked.out.write_text(json.dumps({"machine": measure.machine(), "shapes": shapes}, indent=1) + "\n")
    sys.exit(any(rows[name]["share"] > 1 for name in asked.shapes))


if __name__ == "__main__":
    main()
