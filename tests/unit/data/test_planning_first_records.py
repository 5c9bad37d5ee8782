"""Planning reads the first record of a file completely, however long it is."""

import bz2
import gzip
import io
import json
import lzma
import sys
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manymill import scan
from manymill.data.dataset import SourceFile
from manymill.data.files import describe
from manymill.data.formats import HEAD_BYTES, read_head
from manymill.data.reader import read
from manymill.errors import ManymillError, SchemaError, SourceError

LONG = "some good words " * (2 * HEAD_BYTES // 16)
ROWS = [(LONG + str(i), "ab"[i % 2]) for i in range(4)]
REVIEW = "<review>\n<rating>\n{}\n</rating>\n<review_text>\n{}\n</review_text>\n</review>\n"
WRITTEN = {
    "jsonl": "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS),
    "csv": "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS),
    "tsv": "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS),
    "ft": "".join(f"__label__{label} {text}\n" for text, label in ROWS),
    "review": "".join(REVIEW.format({"a": "1.0", "b": "5.0"}[label], text) for text, label in ROWS),
}
STORED = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def read_all(dataset):
    plan = dataset.plan()
    return [(text, label) for batch in read(plan) for text, label in rows_of(batch)]


def rows_of(batch):
    offsets = batch.offsets.tolist()
    data = batch.data.tobytes()
    texts = [data[i:j].decode() for i, j in pairwise(offsets)]
    return zip(texts, batch.label.to_list(), strict=True)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", WRITTEN)
def test_records_longer_than_what_is_usually_looked_at_are_read(tmp_path, kind, stored):
    path = tmp_path / f"books.{kind}{stored}"
    path.write_bytes(STORED[stored](WRITTEN[kind].encode()))
    rows = read_all(scan(path))
    assert len(rows) == len(ROWS)
    assert sorted(text.strip() for text, _ in rows) == sorted(text for text, _ in ROWS)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "ft", "review"])
def test_the_format_is_found_without_an_extension(tmp_path, kind):
    path = tmp_path / "books.dat"
    path.write_text(WRITTEN[kind])
    assert len(read_all(scan(path))) == len(ROWS)


def test_the_standard_input_is_read_as_well(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WRITTEN["jsonl"].encode())))
    plan = scan("-").plan()
    assert plan.class_counts == {"a": 2, "b": 2}


def test_text_of_another_encoding_is_measured_in_its_own_bytes(tmp_path):
    path = tmp_path / "books.jsonl"
    path.write_text(WRITTEN["jsonl"], encoding="utf-16")
    assert len(read_all(scan(path, encoding="utf-16"))) == len(ROWS)


def test_blank_lines_and_lines_that_are_no_objects_are_no_first_record(tmp_path):
    path = tmp_path / "books.jsonl"
    path.write_text("\n" * (2 * HEAD_BYTES) + "broken\n" * 500 + WRITTEN["jsonl"])
    assert len(read_all(scan(path))) == len(ROWS)


def test_a_header_of_60000_columns_is_read(tmp_path):
    names = [f"c{i}" for i in range(60_000)]
    path = tmp_path / "wide.csv"
    row = ",".join(["1"] * len(names))
    path.write_text(
        f"text,{','.join(names)},label\n" + "".join(f"word{i},{row},{'ab'[i % 2]}\n" for i in range(4))
    )
    plan = scan(path).plan()
    assert plan.files[0].column_names == ("text", *names, "label")
    assert plan.class_counts == {"a": 2, "b": 2}


def test_a_json_object_of_many_keys_is_read(tmp_path):
    path = tmp_path / "wide.jsonl"
    keys = {f"key{i}": i for i in range(50_000)}
    path.write_text("".join(json.dumps({**keys, "text": "good", "label": label}) + "\n" for label in "abab"))
    assert scan(path).plan().columns.text == "text"


def test_a_first_record_that_is_too_long_is_passed_over_where_the_format_is_known(tmp_path):
    most = HEAD_BYTES // 4
    path = tmp_path / "rows.jsonl"
    row = json.dumps({"text": "good", "label": "a"}) + "\n" + json.dumps({"text": "bad", "label": "b"}) + "\n"
    path.write_text(json.dumps({"text": LONG, "label": "a"}) + "\n" + row)
    plan = scan(path, max_record_bytes=most).plan()
    assert plan.class_counts == {"a": 1, "b": 1}
    assert "record too long" in plan.warnings[-1]


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_a_header_beyond_the_longest_record_is_refused_with_the_figure(tmp_path, name):
    path = tmp_path / name
    path.write_text(LONG + "\n" + LONG + "\n")
    with pytest.raises(SchemaError, match=r"the header is longer than 1,000 bytes") as raised:
        scan(path, max_record_bytes=1000).plan()
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("n_bytes", [1000, 3 * HEAD_BYTES])
def test_a_quote_that_is_never_closed_in_a_header_is_told_in_a_line(tmp_path, n_bytes):
    path = tmp_path / "rows.csv"
    path.write_text('"text,label\n' + "good fun,a\n" * (n_bytes // 11))
    with pytest.raises(SchemaError, match="a quote in the header is never closed") as raised:
        scan(path).plan()
    assert len(str(raised.value)) < 600


def test_a_control_character_in_a_column_name_is_escaped(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("\x1b]0;pwn\x07,other\n1,2\n3,4\n")
    with pytest.raises(SchemaError) as raised:
        scan(path, text="text", label="other").plan()
    assert str(raised.value).isprintable()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blank=st.integers(0, 3),
    sizes=st.lists(st.integers(0, 3 * HEAD_BYTES), min_size=1, max_size=4),
    most=st.sampled_from([1000, HEAD_BYTES, 4 * HEAD_BYTES]),
    named=st.booleans(),
    packed=st.booleans(),
)
def test_a_head_holds_a_whole_record_and_is_bounded(tmp_path, blank, sizes, most, named, packed):
    text = "\n" * blank + "".join(json.dumps({"text": "x" * size}) + "\n" for size in sizes)
    path = tmp_path / ("head.jsonl" if named else "head.dat")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    file = SourceFile(str(path), *describe(str(path), None), "", "gzip" if packed else None)
    head = read_head(file, None, max_record_bytes=most)
    assert len(head.data) <= most + 3 * HEAD_BYTES
    assert head.n_bytes <= len(text)
    lines = text.split("\n")
    if head.is_complete and head.n_bytes == len(head.data):
        assert head.data.decode() == text
    elif any(len(line) <= most for line in lines if line) and named:
        assert any(line.encode() + b"\n" in head.data for line in lines if line)


def test_an_object_of_too_many_values_is_refused_with_the_figure(tmp_path):
    path = tmp_path / "values.jsonl"
    path.write_text(json.dumps({"text": "good", "label": "a", "values": [0] * 4_100_000}) + "\n")
    with pytest.raises(
        SourceError, match=r"up to 4,100,\d{3} values; column inference supports up to 4,000,000"
    ):
        scan(path).plan()


@pytest.mark.parametrize("n", [1, 2])
def test_heads_of_many_files_are_not_all_held(tmp_path, monkeypatch, n):
    monkeypatch.setattr("manymill.data.planning._HEADS_BYTES", n)
    for i in range(4):
        (tmp_path / f"{i}.jsonl").write_text(WRITTEN["jsonl"])
    assert len(read_all(scan(tmp_path / "*.jsonl"))) == 4 * len(ROWS)
    (tmp_path / "3.jsonl").write_text('{"text": "good", "other": 1}\n')
    with pytest.raises(ManymillError, match=r"'label' not found in .*3\.jsonl"):
        scan(tmp_path / "*.jsonl", text="text", label="label").plan()
