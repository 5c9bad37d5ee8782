"""JSON lines to columns: manymill's reader against pyarrow's, one thread, in one run.

    python benches/read.py [--quick] [--data FOLDER] [--corpora imdb reddit ...]

Every corpus is split into blocks of 1 MB in memory, and all blocks are parsed in turn by

manymill
    Ordinary lines by its own extractor.
serde_json
    The same lines with an escape in a field name, so that manymill parses each of them with ``serde_json``.
pyarrow
    ``pyarrow.json.read_json`` with a given schema and one thread. It does not list bad rows.

Then the whole path from the file is timed: blocks read, parsed, keyed, shuffled in windows and split into slices for
the hasher. Times are CPU seconds of the process, the least of several.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
from measure import machine, versions, write_json

from manymill import _core, scan
from manymill.data.reader import WINDOW_BYTES, read, windows
from manymill.linear.row_stream import Rows
from manymill.linear.state import ClassIndex

ROOT = Path(__file__).resolve().parents[1]
FILES = {"imdb": "imdb", "reddit": "reddit", "20news": "20news-bydate", "bible": "bible-languages"}
BLOCK_BYTES = 1 << 20
TIMED_BYTES = 33_000_000
WAYS = ("manymill", "serde_json", "pyarrow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--corpora", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="parse 4 MB of each corpus, once")
    parser.add_argument("--out", type=Path, default=ROOT / "benches" / "results" / "read.json")
    arguments = parser.parse_args()
    repeats, most = (1, 4_000_000) if arguments.quick else (arguments.repeats, TIMED_BYTES)
    print(
        f"{'corpus':<10}{'MB':>6}{'rows':>9}" + "".join(f"{way:>12}" for way in WAYS) + f"{'file':>12}   MB/s"
    )
    results = []
    for corpus in arguments.corpora:
        result = {
            "corpus": corpus,
            **_measure(arguments.data / f"{FILES[corpus]}-train.jsonl.zst", most, repeats),
        }
        results.append(result)
        speeds = [*(result["megabytes_per_second"][way] for way in WAYS), result["file_megabytes_per_second"]]
        sizes = f"{corpus:<10}{result['megabytes']:>6.1f}{result['rows']:>9,}"
        print(sizes + "".join(f"{speed:>12,.0f}" for speed in speeds), flush=True)
    if not arguments.quick:
        command = " ".join(["python", "benches/read.py", *sys.argv[1:]])
        of = versions("manymill", "numpy", "pyarrow")
        write_json(
            arguments.out, {"command": command, "machine": machine(), "versions": of, "results": results}
        )
        print(arguments.out)


def _measure(path: Path, most: int, repeats: int) -> dict[str, Any]:
    with pa.input_stream(str(path), compression="zstd") as file:
        data = file.read(most)
    data = data[: data.rfind(b"\n") + 1]
    blocks, hard = list(_blocks(data)), list(_blocks(data.replace(b'{"label":', b'{"l\\u0061bel":')))
    rows = sum(_parsed(blocks))
    if rows != sum(_parsed(hard)) or rows != sum(_by_pyarrow(blocks)):
        sys.exit(f"{path}: the ways do not find the same rows")
    seconds = {
        "manymill": _least(lambda: sum(_parsed(blocks)), repeats),
        "serde_json": _least(lambda: sum(_parsed(hard)), repeats),
        "pyarrow": _least(lambda: sum(_by_pyarrow(blocks)), repeats),
    }
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "rows.jsonl")
        copy.write_bytes(data)
        whole = _least(lambda: _to_slices(copy), repeats)
    megabytes = len(data) / 1e6
    return {
        "megabytes": round(megabytes, 3),
        "rows": rows,
        "seconds": {way: round(value, 6) for way, value in seconds.items()},
        "megabytes_per_second": {way: round(megabytes / value, 1) for way, value in seconds.items()},
        "ratio_to_pyarrow": round(seconds["pyarrow"] / seconds["manymill"], 2),
        "file_seconds": round(whole, 6),
        "file_megabytes_per_second": round(megabytes / whole, 1),
    }


def _blocks(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", min(start + BLOCK_BYTES, len(data)) - 1) + 1
        yield data[start:end]
        start = end


def _parsed(blocks: list[bytes]) -> Iterator[int]:
    for block in blocks:
        parsed = _core.parse_json_lines(block, 0, 1 << 30, text="text", label="label")
        yield len(parsed.position)


def _by_pyarrow(blocks: list[bytes]) -> Iterator[int]:
    reading = pa.json.ReadOptions(use_threads=False, block_size=2 * BLOCK_BYTES)
    schema = pa.schema([("label", pa.string()), ("text", pa.string())])
    parsing = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    for block in blocks:
        table = pa.json.read_json(pa.BufferReader(block), read_options=reading, parse_options=parsing)
        yield table.num_rows


def _to_slices(path: Path) -> None:
    plan = scan(path, text="text", label="label").plan()
    index = ClassIndex(plan.class_counts)
    with ThreadPoolExecutor(1) as executor:
        batches = read(plan, seed=0, keyed=True, executor=executor)
        for window in windows(batches, window_bytes=WINDOW_BYTES, seed=0, pass_number=0):
            rows = Rows(window, index)
            for _ in rows.slices(~rows.held_out(0.02)):
                pass


def _least(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
