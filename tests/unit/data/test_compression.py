"""Compressed files: every member, the window that they need, and a limit on what comes out."""

import bz2
import gzip
import io
import lzma

import pytest
import zstandard

from manymill.data.compression import open_stream, window_bytes
from manymill.data.dataset import scan
from manymill.data.reader import read
from manymill.errors import PlanError, SettingsError, SourceError
from manymill.linear.memory import check_memory, memory_need
from manymill.linear.settings import Settings

LINE = b'{"text": "a b", "label": "x"}\n'
WINDOWS = [20, 23, 27, 31]


def _zstd(data: bytes, window_log: int) -> bytes:
    """One frame of unknown size, so that its header names the window."""
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(data) + stream.flush()


def _xz(data: bytes, dictionary: int) -> bytes:
    return lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": dictionary}])


@pytest.mark.parametrize("log", WINDOWS)
def test_the_window_is_read_from_the_header_of_a_zstd_frame(log):
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
    assert window_bytes(_zstd(LINE, log), "zstd") == 1 << log
    assert window_bytes(skippable + _zstd(LINE, log), "zstd") == 1 << log


@pytest.mark.parametrize("n_bytes", [10, 300, 70_000])
def test_a_zstd_frame_of_known_size_needs_its_content(n_bytes):
    assert window_bytes(zstandard.compress(bytes(n_bytes)), "zstd") == n_bytes


@pytest.mark.parametrize("size", [1 << 16, 3 << 20, 64 << 20, 3 << 29])
def test_the_dictionary_is_read_from_the_header_of_an_xz_block(size):
    assert window_bytes(_xz(LINE, size), "xz") == size


@pytest.mark.parametrize("compression", ["gzip", "bz2", "xz", "zstd"])
@pytest.mark.parametrize("head", [b"", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", bytes(40), b"\xff" * 40])
def test_headers_that_are_none_are_no_crash(compression, head):
    assert window_bytes(head, compression) >= 0


@pytest.mark.parametrize("log", WINDOWS)
def test_a_zstd_file_is_read_whatever_its_window(tmp_path, log):
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(_zstd(LINE * 5, log))
    plan = scan(path).plan()
    assert plan.n_rows == sum(len(batch) for batch in read(plan)) == 5
    assert memory_need(plan, Settings(), threads=1).decoders >= 1 << log


@pytest.mark.parametrize(("suffix", "data"), [("zst", _zstd(LINE, 31)), ("xz", _xz(LINE, 3 << 29))])
def test_a_window_above_the_promise_is_refused_with_the_figure(tmp_path, suffix, data):
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(data)
    with pytest.raises(PlanError, match=r"needs (2\.1|1\.6) GB of memory for its (zstd|xz) window"):
        check_memory(scan(path).plan(), Settings(), threads=1, limit=500_000_000)


@pytest.mark.parametrize(
    ("suffix", "make"), [("zst", lambda: _zstd(LINE, 27)), ("xz", lambda: _xz(LINE, 1 << 27))]
)
def test_a_later_member_that_needs_a_larger_window_than_the_plan_knows_is_named(tmp_path, suffix, make):
    small = zstandard.compress(LINE) if suffix == "zst" else _xz(LINE, 1 << 16)
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(small + make())
    with pytest.raises(SourceError, match=f"at byte {len(small)} needs a window of 134 MB"):
        list(read(scan(path).plan()))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_file_that_holds_more_than_the_limit_is_named_with_the_option(tmp_path, compress):
    path = tmp_path / "a.jsonl"
    path.write_bytes(compress(LINE * 100))
    assert scan(path, max_decompressed_bytes=100 * len(LINE)).plan().n_rows == 100
    with pytest.raises(
        SourceError, match=r"a\.jsonl decompresses to more than 2,000 bytes.*max-decompressed"
    ):
        scan(path, max_decompressed_bytes=2000).plan()


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(
        SettingsError, match=r"max_decompressed_bytes=0 is invalid: expected an integer from 1 to .*, or None"
    ):
        scan("a", max_decompressed_bytes=0)


def test_a_bomb_without_a_row_is_sampled_with_progress_and_stopped_by_the_observer(tmp_path, monkeypatch):
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(LINE + bytes(300 << 20), 1))
    clock = iter(range(100_000))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    events = []
    plan = scan(path, max_record_bytes=1 << 20).plan(observe=events.append)
    assert [event.n_bytes for event in events] == sorted(event.n_bytes for event in events)
    # Once there is a row the rest is not needed.
    assert 100 < len(events) < 150
    assert not plan.exact
    assert plan.n_rows >= 1

    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(path).plan(observe=stop)


def test_decompression_itself_is_bounded_by_the_limit():
    stream = open_stream(io.BytesIO(gzip.compress(bytes(50 << 20))), "bomb", "gzip", max_bytes=1 << 20)
    given = []
    with pytest.raises(SourceError):
        given.extend(iter(stream.read, b""))
    assert 0 < sum(map(len, given)) <= 1 << 20
