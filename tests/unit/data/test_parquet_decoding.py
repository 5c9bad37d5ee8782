"""Parquet files whose values are far larger than the footer says are read in little memory."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manymill.data.dataset import SourceFile, scan
from manymill.data.memory import to_batch
from manymill.data.parquet import open_parquet, read_row_groups, record_batches
from manymill.data.reader import read
from manymill.errors import SourceError

VALUE = "ab cde " * 40_000  # 280 kB
WRITE = {
    "dictionary": {"compression": "zstd"},
    "delta": {
        "compression": "zstd",
        "use_dictionary": False,
        "column_encoding": {"text": "DELTA_BYTE_ARRAY", "label": "PLAIN"},
    },
    "plain": {"compression": "zstd", "use_dictionary": False, "write_batch_size": 1},
}


def _write(path, text, label, **options):
    pq.write_table(pa.table({"text": text, "label": label}), path, **options)
    return path


@pytest.mark.parametrize("encoding", WRITE)
def test_no_more_is_decoded_at_once_than_allowed(tmp_path, encoding):
    text = ["x"] * 500 + [VALUE] * 400
    path = _write(tmp_path / "a.parquet", text, ["a", "b"] * 450, **WRITE[encoding])
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in read(scan(path).plan()):
        most = max(most, pa.total_allocated_bytes() - before)
        rows += len(batch)
    assert rows == 900
    assert most < 64 << 20  # 112 MB of text in all


@pytest.mark.parametrize("encoding", WRITE)
def test_batches_of_any_size_are_the_rows_of_the_file(tmp_path, encoding):
    generator = np.random.default_rng(0)
    text = ["é" * int(n) + str(i) for i, n in enumerate(generator.integers(0, 3000, 700))]
    text[3] = None
    path = _write(tmp_path / "a.parquet", text, ["a", "b"] * 350, row_group_size=300, **WRITE[encoding])
    source = SourceFile(str(path), path.stat().st_size, str(path.stat().st_mtime_ns), "parquet")
    parquet, raw = open_parquet(source, None)
    with raw:
        for n_bytes in (1, 5000, 1 << 20):
            batches = list(
                record_batches(
                    parquet,
                    raw,
                    source,
                    range(3),
                    ["text"],
                    n_rows=64,
                    n_bytes=n_bytes,
                    decoded_bytes=n_bytes,
                )
            )
            assert [value for batch in batches for value in batch.column(0).to_pylist()] == text
            assert max(len(batch) for batch in batches) <= 64


def test_a_stored_dictionary_with_doubles_and_nulls_gives_the_labels_of_its_rows():
    label = pa.DictionaryArray.from_arrays(
        pa.array([2, 0, None, 1, 3, 4]), pa.array(["a", "b", "a", None, ""])
    )
    batch = to_batch(
        pa.array(list("uvwxyz")), label, None, path="p", file=0, first_row=0, n_bytes=0, max_record_bytes=99
    )
    assert batch.labels() == ["a", "a", "b"]
    assert batch.label.names == ("a", "b")
    assert batch.bad_counts == {"missing label": 2, "empty label": 1}


def test_values_longer_than_a_record_may_be_are_counted_as_bad(tmp_path):
    path = _write(tmp_path / "a.parquet", [VALUE, "ok", "ok"], ["a", "b", VALUE], compression="zstd")
    (batch,) = read(scan(path, max_record_bytes=1000).plan())
    assert batch.texts() == ["ok"]
    assert batch.bad_counts == {"record too long": 2}


def test_a_page_that_the_plan_does_not_know_is_refused_with_the_figure(tmp_path):
    path = _write(tmp_path / "a.parquet", ["x y" * 4_000_000], ["a"], use_dictionary=False)
    source = SourceFile(str(path), path.stat().st_size, str(path.stat().st_mtime_ns), "parquet")
    parquet, raw = open_parquet(source, None)
    with raw, pytest.raises(SourceError, match=r"row group 0 has a page of 12 MB.*takes 24 MB"):
        list(record_batches(parquet, raw, source, [0], ["text"], n_rows=1, n_bytes=1))


def test_the_footer_is_read_as_arrow_reads_it(tmp_path):
    path = _write(tmp_path / "a.parquet", ["x", "y"] * 500, ["a", "b"] * 500, row_group_size=300)
    metadata = pq.read_metadata(path)
    with open(path, "rb") as raw:
        groups = read_row_groups(raw)
    assert len(groups) == metadata.num_row_groups
    for number, group in enumerate(groups):
        theirs = metadata.row_group(number)
        assert (group.n_rows, group.n_bytes) == (theirs.num_rows, theirs.total_byte_size)
        for place, name in enumerate(("text", "label")):
            column = theirs.column(place)
            assert group.chunks[name].stored_bytes == column.total_compressed_size
            assert group.chunks[name].n_values == column.num_values


def test_a_footer_that_places_a_column_before_the_file_is_refused(tmp_path):
    whole = _write(tmp_path / "a.parquet", ["x"], ["a"]).read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for at in range(footer, len(whole) - 8):
        damaged = (
            whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        )  # the lowest bit of a number is its sign
        try:
            groups = read_row_groups(io.BytesIO(damaged))
        except ValueError:
            refused += 1
        else:
            assert all(chunk.start >= 0 for group in groups for chunk in group.chunks.values())
    assert refused
