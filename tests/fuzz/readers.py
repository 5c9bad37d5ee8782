"""Readers of text formats against Python's parsers, on hostile bytes, by the product's own way.

PYTHONPATH=tests python -m fuzz.readers --seconds 60

block ─► parse_piece ─► rows, bad records      those of Python's json and csv, or of a regular expression
      ─► cut_stream in pieces of any size      the same again
      ─► cut_range at any bytes                the same again
a tame block ─► pyarrow                        the same again
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from fuzz import blocks, reference_readers, runner
from fuzz.reference_readers import Row, TooDeepError, Wanted
from manymill import _core
from manymill.data.batches import Batch
from manymill.data.blocks import parse_piece
from manymill.data.chunks import DELIMITER, Piece, cut_range, cut_stream, cutter_for
from manymill.data.dataset import ColumnNames, Dataset, Plan, SourceFile

_FORMATS = ("jsonl", "jsonl", "jsonl", "csv", "csv", "tsv", "fasttext", "reviews")


def _wanted(chance: Random) -> Wanted:
    format = chance.choice(_FORMATS)
    n_columns = chance.randrange(1, 4)
    labelled, weighted = chance.random() < 0.75, chance.random() < 0.3
    max_record_bytes = chance.randrange(200) if chance.random() < 0.15 else 64 << 20
    if format in ("csv", "tsv"):
        text, label, weight = (chance.randrange(n_columns) for _ in range(3))
        return Wanted(
            format,
            text,
            label if labelled else None,
            weight if weighted else None,
            n_columns,
            max_record_bytes,
        )
    has_weights = weighted and format == "jsonl"
    return Wanted(
        format,
        0,
        1 if labelled else None,
        2 if has_weights else None,
        4 if has_weights else 2,
        max_record_bytes,
    )


def make(seed: int) -> bytes:
    wanted = _wanted(Random(2 * seed))
    return blocks.block(Random(2 * seed + 1), wanted.format, wanted.n_columns)


def _plan(wanted: Wanted) -> Plan:
    named = wanted.format in ("csv", "tsv", "jsonl")
    header = tuple(str(number) for number in range(wanted.n_columns))
    names = ("text", "label", "weight") if wanted.format == "jsonl" else header
    if wanted.format == "jsonl":
        columns = ColumnNames(
            "text", "label" if wanted.label is not None else None, "weight" if wanted.weight else None
        )
    elif named:
        columns = ColumnNames(
            names[wanted.text],
            None if wanted.label is None else names[wanted.label],
            None if wanted.weight is None else names[wanted.weight],
        )
    else:
        columns = ColumnNames()
    return Plan(
        Dataset(("block",), labelled=wanted.label is not None, max_record_bytes=wanted.max_record_bytes),
        (SourceFile("block", 0, "", wanted.format, column_names=header),),
        (),
        columns,
    )


def _rows(batch: Batch) -> list[Row]:
    data, offsets = batch.data.tobytes(), batch.offsets.tolist()
    texts = [data[start:end] for start, end in pairwise(offsets)]
    assert len(texts) == len(batch.position)
    labels = [None] * len(texts) if batch.label is None else batch.labels()
    weights = [None] * len(texts) if batch.weight is None else batch.weight.tolist()
    return list(zip(batch.position.tolist(), texts, labels, weights, strict=True))


def _bad(batch: Batch) -> list[int]:
    assert sum(batch.bad_counts.values()) >= len(batch.bad)
    return [int(bad.where.removeprefix("byte ")) for bad in batch.bad]


def _same(what: str, found: list[Row] | list[int], expected: list[Row] | list[int]) -> None:
    if found == expected:
        return
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            raise AssertionError(f"{what} {number}: the product gives {one!r}, Python {other!r}")
    more = (found[len(expected) :] or expected[len(found) :])[0]
    who = "the product" if len(found) > len(expected) else "Python"
    raise AssertionError(f"{what}: only {who} gives {more!r}")


def check(seed: int, data: bytes) -> Iterator[str]:
    chance = Random(2 * seed)
    wanted = _wanted(chance)
    plan = _plan(wanted)
    whole = parse_piece(plan, 0, Piece(np.frombuffer(data, np.uint8), 0, len(data)))
    rows, bad = _rows(whole), _bad(whole)
    try:
        expected = reference_readers.expected(data, wanted)
    except TooDeepError:
        yield "too deep for Python"
    else:
        good = [row for row in expected if not isinstance(row, int)]
        refused = [row for row in expected if isinstance(row, int)]
        _same("row", rows, good)
        _same("bad record", bad, refused[:1000])
        if sum(whole.bad_counts.values()) != len(refused):
            raise AssertionError(f"{whole.bad_counts} bad records, {len(refused)} by Python")
        yield wanted.format
        if not refused and chance.random() < 0.5 and _with_pyarrow(data, wanted, good):
            yield f"{wanted.format} with pyarrow"
    if wanted.format in ("csv", "tsv"):
        _header(data, wanted)
        yield "header"
    _cut_stream(chance, plan, data, rows, bad)
    yield "stream"
    if wanted.format in ("jsonl", "fasttext"):
        _cut_ranges(chance, plan, data, rows, bad)
        yield "ranges"


def _header(data: bytes, wanted: Wanted) -> None:
    found = _core.csv_header(data, delimiter=DELIMITER[wanted.format])
    first = next(reference_readers.csv_records(data, wanted), None)
    if first is None or first[0] > 0:  # nothing, or an empty line
        assert found in ([], [b""]), found
        return
    expected = [field.encode("utf-8", "surrogateescape") for field in first[1].fields]
    assert found == expected, (found, expected)


class _Stream:
    """Bytes in pieces of random sizes."""

    def __init__(self, data: bytes, chance: Random) -> None:
        self._data, self._chance, self._at = data, chance, 0
        self._most = chance.choice((1, 3, 20, 200, 100_000)) if len(data) < 5000 else 10_000

    def read(self) -> bytes:
        start = self._at
        self._at = min(len(self._data), start + self._chance.randrange(1, self._most + 1))
        return self._data[start : self._at]

    def stored_bytes(self) -> int:
        return self._at

    def close(self) -> None: ...


def _cut_stream(chance: Random, plan: Plan, data: bytes, rows: list[Row], bad: list[int]) -> None:
    file = plan.files[0]
    most = plan.dataset.max_record_bytes
    pieces = cut_stream(
        _Stream(data, chance),
        cutter_for(file.format),
        path=file.path,
        data_start=0,
        encoding="utf-8",
        piece_bytes=chance.choice((1, 10, 100, 10_000)),
        max_record_bytes=most,
    )
    batches = [parse_piece(plan, 0, piece) for piece in pieces]
    assert sum(batch.n_bytes for batch in batches) == len(data)
    # What stands between two ends of reviews is one record of a stream, however many reviews begin in it: where that
    # is too long, it is skipped as it streams by.
    if file.format == "reviews" and most < len(data):
        return
    _same("row of a cut stream", [row for batch in batches for row in _rows(batch)], rows)
    found = [at for batch in batches for at in _bad(batch)]
    _same("bad record of a cut stream", found[:1000], bad)


def _cut_ranges(chance: Random, plan: Plan, data: bytes, rows: list[Row], bad: list[int]) -> None:
    places = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.randrange(5)))})
    batches = []
    for start, stop in pairwise(places):
        most = plan.dataset.max_record_bytes
        piece = cut_range(io.BytesIO(data), start, stop, path="block", data_start=0, max_record_bytes=most)
        batches.append(parse_piece(plan, 0, piece))
    _same("row of ranges", [row for batch in batches for row in _rows(batch)], rows)
    found = [at for batch in batches for at in _bad(batch)]
    _same("bad record of ranges", found[:1000], bad)


def _with_pyarrow(data: bytes, wanted: Wanted, good: list[Row]) -> bool:
    """Compare with pyarrow where it defines what a block is: as a writer of the format writes it."""
    # In carriage returns alone, NULs and byte-order marks it differs from Python's parsers.
    if data.startswith("\ufeff".encode()) or not good or wanted.weight is not None or b"\0" in data:
        return False
    if b"\r" in data.replace(b"\r\n", b""):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:  # in a column that is not read
        return False
    if wanted.format == "jsonl":
        rows = _json_by_pyarrow(data, wanted)
    elif wanted.format in ("csv", "tsv"):
        rows = _csv_by_pyarrow(data, wanted)
    else:
        return False
    if rows is None:
        return False
    assert rows == [(text, label) for _, text, label, _ in good], (rows, good)
    return True


def _json_by_pyarrow(data: bytes, wanted: Wanted) -> list[tuple[bytes, str | None]] | None:
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        record = json.loads(line)
        names = {"text", "label"} & record.keys()
        written = {json.dumps(record, ensure_ascii=ascii) for ascii in (True, False)}
        # It refuses a lone surrogate in a field that is not read, too.
        if any("\ud800" <= character <= "\udfff" for character in json.dumps(record, ensure_ascii=False)):
            return None
        if line.removesuffix(b"\r").decode() not in written or any(type(record[n]) is not str for n in names):
            return None
    names = ["text"] if wanted.label is None else ["text", "label"]
    options = pa.json.ParseOptions(
        explicit_schema=pa.schema([(name, pa.string()) for name in names]),
        unexpected_field_behavior="ignore",
    )
    table = pa.json.read_json(io.BytesIO(data), parse_options=options)
    return _pairs([table[name] for name in names])


def _csv_by_pyarrow(data: bytes, wanted: Wanted) -> list[tuple[bytes, str | None]] | None:
    delimiter = chr(DELIMITER[wanted.format])
    end = "\r\n" if data.endswith(b"\r\n") else "\n"
    records = [record.fields for _, record in reference_readers.csv_records(data, wanted)]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(records)
        if out.getvalue().encode() == data:
            break
    else:
        return None
    names = [str(number) for number in range(wanted.n_columns)]
    table = pa.csv.read_csv(
        io.BytesIO(data),
        read_options=pa.csv.ReadOptions(column_names=names),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    columns = [wanted.text] if wanted.label is None else [wanted.text, wanted.label]
    return _pairs([table[names[column]] for column in columns])


def _pairs(columns: list[pa.ChunkedArray]) -> list[tuple[bytes, str | None]]:
    texts = [text.encode() for text in columns[0].to_pylist()]
    labels = columns[1].to_pylist() if len(columns) > 1 else [None] * len(texts)
    return list(zip(texts, labels, strict=True))


FUZZER = runner.Fuzzer("readers", make, check)

if __name__ == "__main__":
    runner.exit_with(FUZZER)
