"""Journals: records are read back, and damage is found line by line."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymill.errors import RunFolderError
from manymill.storage.journal import Journal, encode_line, read_journal, read_line

RECORDS = [{"n": 1}, {"text": "süß \udcff \n"}, {"nested": {"check": [None, True, 0.5]}}]


def written(path, records=RECORDS):
    with Journal(path) as journal:
        for record in records:
            journal.append(record)
    return path


def test_records_are_read_back_and_are_plain_json(tmp_path):
    path = written(tmp_path / "a.jsonl")
    assert [(line.number, line.record, line.damage) for line in read_journal(path)] == [
        (number, record, "") for number, record in enumerate(RECORDS, 1)
    ]
    for line, record in zip(path.read_bytes().splitlines(), RECORDS, strict=True):
        assert {**record, "check": json.loads(line)["check"]} == json.loads(line)


def test_a_journal_is_gone_on_with_or_begun_again(tmp_path):
    path = written(written(tmp_path / "a.jsonl"))
    assert len(list(read_journal(path))) == 2 * len(RECORDS)
    Journal(path, fresh=True).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("torn", [b"{", b"x" * 200_000, b"\0"])
def test_a_torn_last_line_is_passed_over_and_cut_off_by_the_next_writer(tmp_path, torn):
    path = written(tmp_path / "a.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert [line.record for line in read_journal(path)] == RECORDS
    assert written(path, [{"n": 2}]).read_bytes() == whole + encode_line({"n": 2})


def test_a_file_of_one_torn_line_is_empty(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"{" + b"x" * 100_000)
    assert written(tmp_path / "a.jsonl", []).read_bytes() == b""


def test_a_journal_that_was_zeroed_is_refused_and_not_begun_again(tmp_path):
    path = written(tmp_path / "a.jsonl")
    path.write_bytes(zeros := bytes(path.stat().st_size))
    with pytest.raises(RunFolderError, match=r"a\.jsonl is damaged: it has no complete line"):
        Journal(path)
    assert path.read_bytes() == zeros


@given(st.data())
def test_no_line_that_was_changed_is_believed(data):
    record = data.draw(
        st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(), min_size=1)
    )
    line = bytearray(encode_line(record))
    assert read_line(bytes(line), 1).record == {k: v for k, v in record.items() if k != "check"}
    line[data.draw(st.integers(0, len(line) - 2))] ^= 1 << data.draw(st.integers(0, 7))
    assert read_line(bytes(line), 1).damage
    cut = data.draw(st.integers(0, len(line) - 2))
    assert read_line(bytes(line[:cut]) + b"\n", 1).damage


@given(st.binary(max_size=60))
def test_other_bytes_with_a_right_checksum_are_no_error(body):
    read_line(sealed_bytes(body), 1)


def sealed_bytes(body):
    """A line that has the checksum of bytes which nothing of ours wrote."""
    from hashlib import blake2b

    return body + b', "check": "' + blake2b(body, digest_size=8).hexdigest().encode() + b'"}\n'


def test_what_cannot_be_written_leaves_no_part_of_a_line(tmp_path, monkeypatch):
    path = written(tmp_path / "a.jsonl")
    whole, write = path.read_bytes(), os.write
    with Journal(path) as journal:

        def short(descriptor, data):
            if len(data) < 5:
                raise OSError(28, "No space left on device")
            return write(descriptor, data[: len(data) - 3])

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", short)
            with pytest.raises(OSError, match="No space"):
                journal.append({"n": 2})
        assert path.read_bytes() == whole
        journal.append({"n": 3})
    assert [line.damage for line in read_journal(path)] == [""] * 4
