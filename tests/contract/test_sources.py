"""Every format, compression and place gives the same rows, and every one refuses what is no source."""

import bz2
import csv
import functools
import gzip
import io
import json
import lzma
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from manymill.data.dataset import Plan, scan
from manymill.data.reader import read
from manymill.errors import SourceError

# Texts that every format can hold: no line ends, no outer blanks.
ROWS = [
    (["good", "bad", "ugly"][i % 3], f'row {i} said "naïve, <ok>" & 日本 {"x" * (i % 40)}')
    for i in range(600)
]


def _jsonl(rows):
    return b"".join(json.dumps({"label": label, "text": text}).encode() + b"\n" for label, text in rows)


def _csv(rows, delimiter=","):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["id", "text", "label"])
    writer.writerows([i, text, label] for i, (label, text) in enumerate(rows))
    return out.getvalue().encode()


def _parquet(rows):
    out = io.BytesIO()
    table = pa.table({"label": [label for label, _ in rows], "text": [text for _, text in rows]})
    pq.write_table(table, out, row_group_size=100)
    return out.getvalue()


def _fasttext(rows):
    return "".join(f"__label__{label} {text}\n" for label, text in rows).encode()


FORMATS = {
    "jsonl": _jsonl,
    "csv": _csv,
    "tsv": lambda rows: _csv(rows, "\t"),
    "parquet": _parquet,
    "txt": _fasttext,
}
COMPRESSIONS = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
CASES = [
    (format, compression)
    for format in FORMATS
    for compression in COMPRESSIONS
    if not (format == "parquet" and compression)
]


@functools.cache
def _encoded(format, compression):
    return COMPRESSIONS[compression](FORMATS[format](ROWS))


@pytest.fixture(params=["path", "memory://"])
def place(request, tmp_path):
    if request.param == "path":
        return str(tmp_path)
    return f"memory://{tmp_path.name}"


def _put(place, name, data):
    path = f"{place}/{name}"
    with fsspec.open(path, "wb") as out:
        out.write(data)
    return path


def _rows(batches):
    return [row for batch in batches for row in zip(batch.labels(), batch.texts(), strict=True)]


@pytest.fixture(params=CASES, ids=lambda case: case[0] + case[1])
def source(request, place):
    format, compression = request.param
    return _put(place, f"data.{format}{compression}", _encoded(format, compression))


def test_all_rows_come_in_the_order_of_the_source(source):
    plan = scan(source).plan(block_bytes=5_000)
    assert _rows(read(plan)) == ROWS


def test_every_row_comes_once_in_a_random_order(source):
    plan = scan(source).plan(block_bytes=5_000)
    assert sorted(_rows(read(plan, seed=7))) == sorted(ROWS)


def test_threads_do_not_change_the_order(source):
    plan = scan(source).plan(block_bytes=5_000)
    alone = _rows(read(plan, seed=3))
    with ThreadPoolExecutor(4) as executor:
        assert _rows(read(plan, seed=3, executor=executor, look_ahead=3)) == alone


def test_the_plan_of_a_small_source_is_exact(source):
    plan = scan(source).plan()
    assert plan.exact
    assert plan.n_rows == len(ROWS)
    assert plan.class_counts == {"bad": 200, "good": 200, "ugly": 200}
    assert plan.text_bytes == sum(len(text.encode()) for _, text in ROWS)


def test_a_plan_survives_json(source):
    plan = scan(source).plan()
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert _rows(read(again)) == ROWS


def test_unlabelled_reading_needs_no_label(source):
    plan = scan(source, labelled=False).plan()
    batches = list(read(plan))
    assert all(batch.label is None for batch in batches)
    assert plan.columns.label is None


def test_the_bytes_of_the_batches_are_those_of_the_source(source):
    plan = scan(source).plan(block_bytes=5_000)
    n_bytes = sum(batch.n_bytes for batch in read(plan))
    assert n_bytes == pytest.approx(plan.source_bytes, abs=100)


def test_a_list_of_files_is_read_file_by_file(place):
    paths = [_put(place, f"{i}.jsonl", _jsonl(ROWS[i::2])) for i in range(2)]
    plan = scan(paths).plan()
    assert _rows(read(plan)) == ROWS[0::2] + ROWS[1::2]


def test_a_glob_is_sorted_and_each_file_comes_once(place):
    for name in ("b.jsonl", "a.jsonl.gz", "c.jsonl"):
        data = _jsonl([("x", name), ("y", name)])
        _put(place, name, gzip.compress(data) if name.endswith("gz") else data)
    plan = scan([f"{place}/*.jsonl*", f"{place}/b.jsonl"]).plan()
    assert [file.path.rsplit("/", 1)[1] for file in plan.files] == ["a.jsonl.gz", "b.jsonl", "c.jsonl"]


@pytest.mark.parametrize("name", ["none.jsonl", "*.jsonl"])
def test_a_missing_file_is_named(place, name):
    with pytest.raises(SourceError, match=r"none\.jsonl|nothing matches"):
        scan(f"{place}/{name}").plan()


def test_an_empty_file_is_refused(place):
    with pytest.raises(SourceError, match="is empty"):
        scan(_put(place, "a.jsonl", b"")).plan()


def test_a_file_that_shrank_since_the_plan_is_refused(place):
    path = _put(place, "a.jsonl", _jsonl(ROWS))
    plan = scan(path).plan()
    _put(place, "a.jsonl", _jsonl(ROWS[:10]))
    with pytest.raises(SourceError, match=r"a\.jsonl shrank .* bytes instead of"):
        list(read(plan))


def test_a_file_that_vanished_since_the_plan_is_named(place):
    path = _put(place, "a.jsonl", _jsonl(ROWS))
    plan = scan(path).plan()
    fs, inner = fsspec.core.url_to_fs(path)
    fs.rm(inner)
    with pytest.raises(SourceError, match=r"a\.jsonl does not exist"):
        list(read(plan))
