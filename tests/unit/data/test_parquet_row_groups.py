"""A Parquet file of one large row group is planned and read in little memory."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manymill.data.dataset import scan
from manymill.data.reader import read


@pytest.fixture
def file(tmp_path):
    words = np.random.default_rng(0).integers(97, 122, (8_000, 4_000), np.uint8)
    table = pa.table(
        {"text": [row.tobytes().decode() for row in words], "label": ["a"] * 4000 + ["b"] * 4000}
    )
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=["label"], compression="none")
    return tmp_path / "a.parquet"


class _Watched(io.FileIO):
    """A file that remembers the most bytes it was asked for at once."""

    most = 0

    def read(self, n=-1):
        _Watched.most = max(_Watched.most, n)
        return super().read(n)


def test_a_large_row_group_is_planned_and_read_in_small_pieces(file, monkeypatch):
    monkeypatch.setattr("manymill.data.parquet.open_file", lambda file, options: _Watched(file.path))
    monkeypatch.setattr(_Watched, "most", 0)
    assert sum(len(batch) for batch in read(scan(file).plan())) == 8_000
    assert 0 < _Watched.most <= 4 << 20  # a page, not the column of 32 MB


def test_the_head_of_large_rows_is_few_rows(file, monkeypatch):
    from manymill.data.dataset import SourceFile
    from manymill.data.parquet import head_rows, open_parquet

    monkeypatch.setattr("manymill.data.parquet._HEAD_BYTES", 40_000)
    status = file.stat()
    source = SourceFile(str(file), status.st_size, str(status.st_mtime_ns), "")
    parquet, raw = open_parquet(source, None)
    with raw:
        assert 1 <= len(head_rows(parquet, raw, source)) <= 10


def test_a_sorted_row_group_is_told_to_be_written_smaller(file, monkeypatch):
    monkeypatch.setattr("manymill.data.sampling.WINDOW_BYTES", 1 << 20)
    monkeypatch.setattr("manymill.data.sampling._COMPLETE_STREAMS_BYTES", 1 << 20)
    (warning,) = scan(file).plan(sample_bytes=1 << 20).warnings
    assert warning.endswith("Shuffle it, or write smaller row groups.")
