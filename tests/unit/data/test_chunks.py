"""A range of a file contains the lines that start in it, wherever it is cut and however long they are."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manymill.data import chunks
from manymill.data.chunks import cut_range
from manymill.errors import SourceError

LINES = st.lists(st.sampled_from([b"", b"a", b"bc", b"def" * 9]), max_size=12)


def cut(data, start, stop, data_start=0, max_record_bytes=10**9):
    piece = cut_range(
        io.BytesIO(data), start, stop, path="a", data_start=data_start, max_record_bytes=max_record_bytes
    )
    assert piece.n_bytes == stop - start
    return piece.position, piece.data.tobytes()


def lines_that_start_in(data, start, stop):
    """The slow twin."""
    at, found, first = 0, b"", None
    for line in data.splitlines(keepends=True):
        if start <= at < stop:
            first = at if first is None else first
            found += line
        at += len(line)
    return first, found


@settings(deadline=None)
@given(lines=LINES, last_line_ends=st.booleans(), margin=st.sampled_from([0, 1, 5, 1 << 13]))
def test_every_range_holds_the_lines_that_start_in_it(lines, last_line_ends, margin):
    data = b"\n".join([*lines, b"last\n" if last_line_ends else b"last"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_MARGIN", margin)
        for start in range(0, len(data), 3):
            for stop in range(start + 1, len(data) + 1, 5):
                first, expected = lines_that_start_in(data, start, stop)
                position, found = cut(data, start, stop)
                assert found == expected
                assert first is None or position == first


@pytest.mark.parametrize("n_bytes", [8_000, 9_000, 100_000, 400_000])
def test_a_long_last_line_is_read_to_its_end(n_bytes):
    line = b"x" * n_bytes + b"\n"
    assert cut(b"first\n" + line + b"next\n", 0, 100) == (0, b"first\n" + line)
    assert cut(b"first\n" + line, 0, 100) == (0, b"first\n" + line)
    assert cut(b"first\n" + line[:-1], 3, 7) == (6, line[:-1])


def test_a_line_that_is_too_long_is_not_read_to_its_end():
    _, found = cut(b"x" * 10_000_000, 0, 100, max_record_bytes=1000)
    assert 1000 < len(found) < 100_000


def test_a_file_that_shrank_is_told():
    with pytest.raises(SourceError, match="shrank while being read: it ended at byte 10, not 11"):
        cut(b"0123456\n89", 9, 11)
