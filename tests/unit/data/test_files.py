"""Files that are missing, unreadable, or changed while they are read."""

import bz2
import gzip
import io
import lzma
import os
import socket
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from manymill.data.chunks import LineCutter, cut_stream
from manymill.data.compression import open_stream
from manymill.data.dataset import Dataset, scan
from manymill.data.reader import read
from manymill.errors import SchemaError, SourceError

LINE = b'{"text": "some text", "label": "a"}\n'


def test_a_named_pipe_is_refused_before_it_hangs(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(SourceError, match=r"pipe\.jsonl is a named pipe.*use - as the source"):
        scan(tmp_path / "pipe.jsonl").plan()


def test_a_device_and_a_socket_are_refused(tmp_path):
    with pytest.raises(SourceError, match="is a device"):
        scan("/dev/zero").plan()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(SourceError, match="is a socket"):
            scan(tmp_path / "s").plan()


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(SourceError, match=r"a\.jsonl cannot be read"):
        scan(tmp_path / "a.jsonl").plan()


def test_an_empty_directory_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no data"):
        scan(tmp_path).plan()


def test_a_url_without_its_driver_names_the_extra():
    pytest.importorskip("fsspec")
    try:
        import s3fs  # noqa: F401
    except ImportError:
        with pytest.raises(SourceError, match=r"pip install 'manymill\[s3\]'"):
            scan("s3://bucket/a.jsonl").plan()


def test_a_touched_file_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINE)
    plan = scan(path).plan()
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match="changed since the plan"):
        list(read(plan))


def test_a_file_that_promises_gzip_and_is_not_is_refused(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(LINE)
    with pytest.raises(SourceError, match="is not a gzip file"):
        scan(tmp_path / "a.jsonl.gz").plan()


def test_compression_is_told_by_content_not_by_name(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(LINE))
    assert scan(tmp_path / "a.jsonl").plan().files[0].compression == "gzip"


@pytest.mark.parametrize(
    ("suffix", "member"),
    [
        ("gz", gzip.compress(LINE)),
        ("bz2", bz2.compress(LINE)),
        ("zst", zstandard.compress(LINE)),
        ("xz", lzma.compress(LINE)),
    ],
)
def test_all_members_are_read_and_garbage_behind_them_is_an_error_that_names_the_byte(
    tmp_path, suffix, member
):
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(member * 3)
    assert sum(len(batch) for batch in read(scan(path).plan())) == 3
    path.write_bytes(member * 2 + bytes(16) + member)  # padded with zeros
    assert sum(len(batch) for batch in read(scan(path).plan())) == 3
    path.write_bytes(member * 2 + b"garbage behind the end")
    with pytest.raises(SourceError, match=f"has other bytes after its .* byte {2 * len(member)}\\b"):
        scan(path).plan()


def test_skippable_zstd_frames_are_skipped(tmp_path):
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(skippable + zstandard.compress(LINE) + skippable + zstandard.compress(LINE))
    assert sum(len(batch) for batch in read(scan(path).plan())) == 2


def test_zeros_behind_a_gzip_member_are_padding(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(LINE) + bytes(100_000) + gzip.compress(LINE) + bytes(7))
    assert sum(len(batch) for batch in read(scan(path).plan())) == 2


class _EndlessLine:
    """A stream of one line of 300 MB, and a short one."""

    def __init__(self):
        self.left = 1200

    def read(self):
        self.left -= 1
        return b"x" * 262_144 if self.left > 0 else (b"\n" + LINE) * (self.left == 0)

    def stored_bytes(self):
        return 0

    def close(self):
        pass


def test_a_line_larger_than_memory_is_skipped_in_little_memory():
    tracemalloc.start()
    pieces = cut_stream(
        _EndlessLine(), LineCutter(), path="a", data_start=0, encoding="utf-8", piece_bytes=1 << 20,
        max_record_bytes=4 << 20,
    )  # fmt: skip
    found = list(pieces)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert b"".join(piece.data for piece in found) == LINE
    assert [row.reason for piece in found for row in piece.bad] == ["record too long"]
    assert peak < 16 << 20


def test_a_bomb_is_read_in_little_memory():
    bomb = io.BytesIO(gzip.compress(bytes(200 << 20), 9))
    tracemalloc.start()
    stream = open_stream(bomb, "bomb", "gzip")
    n_bytes = 0
    while data := stream.read():
        n_bytes += len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_bytes == 200 << 20
    assert peak < 4 << 20


def test_the_standard_input_is_read_more_than_once(tmp_path, monkeypatch):
    from manymill.data import files

    monkeypatch.setattr(files, "_spools", [])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE * 100)))
    plan = scan("-").plan(block_bytes=100)
    for _ in range(2):
        assert sum(len(batch) for batch in read(plan, seed=1)) == 100
    assert any("standard input" in note for note in plan.notes)
    files._spools[0].file.close()


def test_a_broken_parquet_file_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no footer PAR1")
    with pytest.raises(SourceError, match=r"a\.parquet is not a Parquet file"):
        scan(tmp_path / "a.parquet").plan()


def test_a_parquet_file_with_any_byte_flipped_is_read_or_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one", "two"] * 10, "label": ["a", "b"] * 10}), path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            n_rows = sum(len(batch) + batch.n_bad for batch in read(scan(path).plan()))
        except (SourceError, SchemaError):
            continue
        assert n_rows <= 20


def test_a_parquet_column_of_the_wrong_type_is_refused(tmp_path):
    pq.write_table(pa.table({"text": [1, 2], "label": ["a", "b"]}), tmp_path / "a.parquet")
    with pytest.raises(SchemaError, match="text column has type int64"):
        scan(tmp_path / "a.parquet", text="text", label="label").plan()


def test_parquet_rows_with_nulls_go_to_the_ledger(tmp_path):
    pq.write_table(pa.table({"text": ["a", None, "c"], "label": [1, 2, None]}), tmp_path / "a.parquet")
    plan = scan(tmp_path / "a.parquet").plan()
    (batch,) = read(plan)
    assert (batch.texts(), batch.labels(), batch.position.tolist()) == (["a"], ["1"], [0])
    assert [(row.reason, row.where) for row in batch.bad] == [
        ("missing text", "row 1"),
        ("missing label", "row 2"),
    ]
    assert plan.labels_are_integers


def test_a_large_row_group_is_read_in_bounded_batches(tmp_path):
    texts = [f"{i} " + "x" * 1000 for i in range(12_000)]
    table = pa.table({"text": texts, "label": ["a", "b"] * 6000})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False)
    batches = list(read(scan(tmp_path / "a.parquet").plan(), seed=1))
    assert [text for batch in batches for text in batch.texts()] == texts
    assert max(batch.text_bytes for batch in batches) < 2 << 20
    assert [int(p) for batch in batches for p in batch.position] == list(range(12_000))


def _memories():
    import numpy as np
    import pandas as pd
    import polars as pl

    texts = ["one", "zwei", "три"]
    return [
        texts,
        tuple(texts),
        np.array(texts),
        np.array(texts, dtype=object),
        pa.array(texts),
        pa.chunked_array([texts[:1], texts[1:]]),
        pd.Series(texts, index=[5, 6, 7]),
        pl.Series(texts),
        (text for text in texts),
    ]


@pytest.mark.parametrize("number", range(9))
def test_data_in_memory_may_be_of_any_kind(number):
    plan = Dataset.from_memory(_memories()[number], [1, 2, 1], [0.5, 1, 2]).plan(block_bytes=8)
    batches = list(read(plan))
    assert [text for batch in batches for text in batch.texts()] == ["one", "zwei", "три"]
    assert [label for batch in batches for label in batch.labels()] == ["1", "2", "1"]
    assert [float(w) for batch in batches for w in batch.weight] == [0.5, 1, 2]
    assert plan.labels_are_integers


def test_a_lone_surrogate_in_memory_separates_words():
    (batch,) = read(Dataset.from_memory(["a\ud800b"]).plan())
    assert batch.texts() == ["a?b"]


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("one", None, "one string"),
        (["a", 3], None, r"texts\[1\] has type int"),
        (["a"], ["x", "y"], "1 texts, but 2 labels"),
        ([["a"]], None, r"texts\[0\] has type list"),
    ],
)
def test_wrong_data_in_memory_is_refused(texts, labels, message):
    with pytest.raises(SchemaError, match=message):
        Dataset.from_memory(texts, labels)
