"""Where the data is cut never changes a row, and who reads it never changes the order."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manymill import _core
from manymill.data.batches import row_keys
from manymill.data.dataset import scan
from manymill.data.ledger import Ledger
from manymill.data.reader import read, windows
from manymill.errors import SourceError

LAX = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def _rows(batches):
    return [row for batch in batches for row in zip(batch.labels(), batch.texts(), strict=True)]


def _reference(lines):
    """What Python's json makes of lines: rows, and the number of bad records."""
    rows, n_bad = [], 0
    for line in lines.split(b"\n"):
        line = line.removesuffix(b"\r")
        if not line.strip(b" \t\r"):
            continue
        try:
            row = json.loads(line.decode(), parse_constant=_refuse)
            text, label = row["text"], row["label"]
            text.encode(), label.encode()
            if not label:
                raise ValueError("empty")
            rows.append((label, text))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            n_bad += 1
    return rows, n_bad


def _refuse(constant):
    raise ValueError(constant)


def _parse(lines):
    parsed = _core.parse_json_lines(lines, 0, 1 << 30, text="text", label="label")
    data, ends = parsed.data.tobytes(), parsed.offsets.tolist()
    texts = [data[a:b].decode() for a, b in pairwise(ends)]
    return [(parsed.classes[code], text) for code, text in zip(parsed.codes, texts, strict=True)], parsed


@LAX
@given(
    rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=30),
    block_bytes=st.integers(1, 400),
    crlf=st.booleans(),
)
def test_cutting_json_lines_anywhere_gives_the_same_rows(tmp_path, rows, block_bytes, crlf):
    end = "\r\n" if crlf else "\n"
    lines = end.join(
        json.dumps({"text": text, "label": "a" + label}, ensure_ascii=False) for text, label in rows
    )
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines.encode())
    got = _rows(read(scan(path).plan(block_bytes=block_bytes)))
    assert got == [("a" + label, text) for text, label in rows]


@LAX
@given(seed=st.integers(0, 2**63), pass_number=st.integers(0, 9), block_bytes=st.integers(50, 3000))
def test_a_pass_reads_every_row_once_in_any_order(tmp_path, seed, pass_number, block_bytes):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "row {i}", "label": "x"}}\n' for i in range(100)))
    rows = _rows(read(scan(path).plan(block_bytes=block_bytes), seed=seed, pass_number=pass_number))
    assert sorted(rows) == sorted(("x", f"row {i}") for i in range(100))


def test_passes_and_seeds_have_orders_of_their_own(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "row {i}", "label": "x"}}\n' for i in range(1000)))
    plan = scan(path).plan(block_bytes=500)
    orders = {str(_rows(read(plan, seed=seed, pass_number=n))) for seed in (1, 2) for n in (0, 1)}
    assert len(orders) == 4
    assert _rows(read(plan, seed=1)) == _rows(read(plan, seed=1))


@pytest.mark.parametrize("n_threads", [1, 4])
def test_threads_do_not_change_the_sequence_of_mixed_sources(tmp_path, n_threads):
    for i in range(5):
        lines = "".join(f'{{"text": "{i} {j}", "label": "{i}"}}\n' for j in range(i * 20_000 + 10)).encode()
        (tmp_path / f"{i}.jsonl{'.gz' if i % 2 else ''}").write_bytes(
            gzip.compress(lines, 1) if i % 2 else lines
        )
    plan = scan(tmp_path).plan(block_bytes=100_000)
    alone = [(batch.file, len(batch)) for batch in read(plan, seed=5)]
    with ThreadPoolExecutor(n_threads) as executor:
        assert [(batch.file, len(batch)) for batch in read(plan, seed=5, executor=executor)] == alone


@LAX
@given(st.lists(st.binary(max_size=40) | TEXT.map(str.encode), max_size=12))
def test_no_bytes_break_the_parser(lines):
    block = b"\n".join(lines)
    rows, n_bad = _reference(block)
    got, parsed = _parse(block)
    assert got == rows
    assert n_bad == sum(n for _, n in parsed.bad_counts)


def test_2000_malformed_lines_are_judged_as_by_python():
    chance = random.Random(0)
    lines = []
    for i in range(2000):
        line = list(json.dumps({"id": i, "text": f'é "{i}" \\ \n', "label": "b", "tags": [1, {"a": None}]}))
        for _ in range(chance.randrange(4)):
            line[chance.randrange(len(line))] = chance.choice('{}[]",:\\u0tn1eE.-+ \x00é')
        lines.append("".join(line))
    block = "\n".join(lines).encode()
    rows, n_bad = _reference(block)
    got, parsed = _parse(block)
    assert n_bad > 500
    assert got == rows
    assert sum(n for _, n in parsed.bad_counts) == n_bad == len(lines) - len(rows)


def _record_ends(pieces):
    cutter, at, ends = _core.CsvCutter(delimiter=ord(",")), 0, set()
    for piece in pieces:
        found = cutter.feed(piece)
        ends |= {at + end for end in found or ()}
        at += len(piece)
    return ends


def test_a_csv_stream_split_at_any_byte_has_the_same_record_ends():
    block = b'a,"b\nb",c\r\n"q""\n",x"y,\n,,"\n""\n"\nlast,"a"b,c\n'
    ends = _record_ends([block[i : i + 1] for i in range(len(block))])
    assert sorted(ends) == [11, 23, 32, 44]
    for split in range(1, len(block)):
        assert {11, 44} <= _record_ends([block[:split], block[split:]]) <= ends


@LAX
@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=20), piece=st.integers(1, 50))
def test_csv_is_read_as_by_python(rows, piece):
    out = io.StringIO()
    csv.writer(out).writerows((text, "a" + label) for text, label in rows)
    block = out.getvalue().encode()
    parsed = _core.parse_csv(block, 0, 1 << 20, delimiter=44, n_columns=2, text=0, label=1)
    data, ends = parsed.data.tobytes(), parsed.offsets.tolist()
    texts = [data[a:b].decode() for a, b in pairwise(ends)]
    assert texts == [text for text, _ in rows]
    assert [parsed.classes[code] for code in parsed.codes] == ["a" + label for _, label in rows]


COMPRESS = {"gz": gzip.compress, "zst": zstandard.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_file_that_is_cut_off_anywhere_is_an_error_that_names_the_byte(tmp_path, compression):
    rows = [("ab"[i % 2], f"row {i}") for i in range(40)]
    lines = b"".join(json.dumps({"label": label, "text": text}).encode() + b"\n" for label, text in rows)
    members = [COMPRESS[compression](lines[i : i + 600]) for i in range(0, len(lines), 600)]
    whole = b"".join(members)
    # A file cut between two members is a whole one.
    between = set(np.cumsum([len(member) for member in members]))
    path = tmp_path / f"a.jsonl.{compression}"
    for n_bytes in sorted(set(range(30, len(whole))) - between):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(SourceError, match=rf"at byte {n_bytes:,}\b"):
            list(read(scan(path, text="text", label="label").plan()))


def test_windows_mix_a_file_sorted_by_class(tmp_path):
    path = tmp_path / "sorted.jsonl"
    path.write_text(
        "".join(f'{{"text": "document number {i}", "label": "{i // 20000}"}}\n' for i in range(40000))
    )
    plan = scan(path).plan(block_bytes=20_000)
    for window in windows(read(plan, seed=0), window_bytes=200_000, seed=0, pass_number=0):
        codes = [np.array(batch.labels()) for batch in window.batches]
        labels = np.concatenate(codes)
        if len(labels) > 5000:
            assert 0.2 < (labels == "0").mean() < 0.8


def test_files_of_one_class_each_are_read_side_by_side(tmp_path):
    for label in ("neg", "pos"):
        lines = "".join(f'{{"text": "{i} {"x" * 100}", "label": "{label}"}}\n' for i in range(60_000))
        (tmp_path / f"{label}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 1))
    order = [batch.file for batch in read(scan(tmp_path).plan(), seed=0)]
    assert len(order) > 12
    assert all(abs(2 * sum(order[:n]) - n) <= 2 for n in range(len(order)))


def test_a_window_holds_every_row_once(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "{"y" * (i % 50)}", "label": "x"}}\n' for i in range(5000)))
    plan = scan(path).plan(block_bytes=10_000)
    seen = 0
    for window in windows(read(plan, seed=0), window_bytes=30_000, seed=0, pass_number=1):
        rows = list(zip(window.chunk_of.tolist(), window.row_of.tolist(), strict=True))
        assert len(set(rows)) == len(rows) == len(window) == sum(len(batch) for batch in window.batches)
        seen += len(rows)
    assert seen == 5000


def test_equal_texts_have_equal_keys_and_keys_are_uniform(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "{i % 5000}", "label": "x"}}\n' for i in range(10_000)))
    (batch,) = read(scan(path).plan())
    keys = row_keys(batch)
    assert (keys[:5000] == keys[5000:]).all()
    assert 0.08 < (keys < 0.1 * 2**64).mean() < 0.12


def test_the_ledger_adds_up(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": "x"}\nbroken\n{"text": 1, "label": "x"}\n{"text": "b"}\n')
    ledger = Ledger(tmp_path / "bad.jsonl", max_listed=2)
    for batch in read(scan(path).plan()):
        ledger.add(batch)
    assert (ledger.n_read, ledger.n_used, ledger.n_rejected) == (4, 1, 3)
    assert ledger.counts == {"broken JSON": 1, "wrong type": 1, "missing label": 1}
    assert [json.loads(line)["where"] for line in (tmp_path / "bad.jsonl").read_text().splitlines()] == [
        "byte 28",
        "byte 35",
    ]
