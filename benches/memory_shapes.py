"""The promise of ``--memory`` on hostile shapes: peak memory of the process tree, over what ``plan`` said.

Each shape is made in a temporary folder, planned, and trained on with ``--memory`` set to the promise; a shape that is
refused in order holds the promise as well. ``--scale 0.1`` makes the shapes a tenth as large, with ``--max-record``
scaled likewise; ``--shapes NAME ...`` runs some of them. Results go to ``benches/results/memory-shapes.json``.
"""

from __future__ import annotations

import argparse
import gzip
import json
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
        out.write(_rows(100))
        for _ in range(int(2000 * scale)):
            out.write(bytes(1 << 20))
        out.write(b"\n" + _rows(100))
    return [str(folder / "a.jsonl.gz")]


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
        open_reviews, open_quote, bomb, long_records, row_group, dictionary, delta, large_pages,
    )
}  # fmt: skip


def watched(command: list[str]) -> tuple[int, int, str]:
    """Exit code, peak resident bytes of the process tree, and the last words of a command."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
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
    """The promise for a shape, and the peak of planning and of training with it."""
    with tempfile.TemporaryDirectory(prefix="manymill-shape-") as folder:
        inputs = Path(folder) / "in"
        inputs.mkdir()
        files = SHAPES[name](inputs, scale)
        options = ["--max-record", str(int((64 << 20) * min(1.0, scale))), "--threads", "2", "--passes", "1"]
        program = [sys.executable, "-m", "manymill"]
        planned = subprocess.run(
            [*program, "plan", *files, *options, "--json"], capture_output=True, text=True
        )
        if planned.returncode:
            return {"shape": name, "refused": planned.stderr[-300:]}
        promise = json.loads(planned.stdout)["memory_bytes"]
        plan_code, plan_peak, _ = watched([*program, "plan", *files, *options])
        code, peak, words = watched(
            [*program, "train", *files, *options, "--memory", str(promise), "--out", f"{folder}/run"]
        )
    return {
        "shape": name, "promise_bytes": promise, "plan_exit": plan_code, "plan_peak_bytes": plan_peak, "exit": code,
        "peak_bytes": peak, "share": round(max(peak, plan_peak) / promise, 3), "words": words[-200:] if code else "",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory-shapes.json")
    asked = parser.parse_args()
    rows = []
    for name in asked.shapes:
        rows.append(measured(name, asked.scale))
        print(rows[-1], flush=True)
    asked.out.write_text(
        json.dumps({"machine": measure.machine(), "scale": asked.scale, "shapes": rows}, indent=1) + "\n"
    )
    sys.exit(any(row.get("share", 0) > 1 for row in rows))


if __name__ == "__main__":
    main()
