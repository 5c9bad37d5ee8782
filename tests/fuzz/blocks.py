"""Blocks of records for readers: as files have them, written at random, or soups of parts; then damaged.

The shapes are those that the fuzzer of the core uses.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from random import Random

_SHAPES = Path(__file__).parents[2] / "rust" / "tests" / "fuzz" / "readers" / "shapes.json"
SHAPES = {
    format: {kind: [string.encode() for string in strings] for kind, strings in shapes.items()}
    for format, shapes in json.loads(_SHAPES.read_text()).items()
}
SHAPES["tsv"] = {
    kind: [string.replace(b",", b"\t") for string in strings] for kind, strings in SHAPES["csv"].items()
}
SHAPES["jsonl"] = SHAPES.pop("json")

_BYTES = b'{}[]",:\\u0tn1eE.-+ \x00\x1f\t\r\n_<>&;#\x7f\x80\xbf\xc3\xe2\xed\xef\xf0\xf4\xff'
_LENGTHS = (1, 2, 3, 15, 16, 17, 30, 31, 32, 33, 63, 65)
_WORDS = (
    "",
    "a",
    "plain words",
    "thirty-two and more bytes without anything special",
    "naïve",
    "日本語",
    "😀",
    '"',
    '""',
    "\\",
    "\n",
    "\r\n",
    "\r",
    "\t",
    ",",
    "\0",
    "\u2028",
    "\x85",
    "\ufeff",
    "\x7f",
    "__label__",
    "&amp;",
    "<",
    "1",
    "-1.5e3",
)


def well_formed(chance: Random, format: str, n_columns: int) -> bytes:
    """Records as a writer of the format writes them."""
    rows = [[words(chance) for _ in range(n_columns)] for _ in range(chance.randrange(1, 6))]
    end = chance.choice(["\n", "\r\n"])
    if format == "jsonl":
        ascii_only = chance.random() < 0.5
        names = ["text", "label", "weight", "id"][:n_columns]
        lines = []
        for row in rows:
            record = dict(zip(names, row, strict=True))
            if "weight" in record:
                record["weight"] = chance.choice([1, 0.5, 2e10, "3"])
            if chance.random() < 0.2:
                record["other"] = chance.choice([None, [1, {"a": []}], {"b": {}}, True, 1.5])
            lines.append(json.dumps(record, ensure_ascii=ascii_only) + end)
        return "".join(lines).encode()
    if format in ("csv", "tsv"):
        out = io.StringIO()
        quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        csv.writer(
            out, delimiter="," if format == "csv" else "\t", lineterminator=end, quoting=quoting
        ).writerows(rows)
        return out.getvalue().encode()
    if format == "fasttext":
        return "".join(
            f"__label__{chance.choice('abc')} {' '.join(row)}".replace("\n", " ") + end for row in rows
        ).encode()
    return "".join(
        f"<review>\n<rating>\n{chance.choice(['1.0', '5.0', '3.0'])}\n</rating>\n<review_text>\n{row[0]}\n"
        "</review_text>\n</review>\n"
        for row in rows
    ).encode()


def words(chance: Random) -> str:
    return "".join(chance.choices(_WORDS, k=chance.randrange(4)))


def block(chance: Random, format: str, n_columns: int) -> bytes:
    """A block, most often a damaged one."""
    shapes = SHAPES[format]
    kind = chance.random()
    if kind < 0.001:
        data = large(chance, shapes)
    elif kind < 0.3:
        data = b"".join(chance.choices(shapes["parts"], k=chance.randrange(12)))
    elif kind < 0.65:
        data = well_formed(chance, format, n_columns)
    else:
        data = b"".join(chance.choices(shapes["records"], k=chance.randrange(1, 4)))
    damaged = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        damage(chance, damaged, shapes["parts"])
    return bytes(damaged)


def large(chance: Random, shapes: dict[str, list[bytes]]) -> bytes:
    """What is deep, long or many."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.choice(shapes["parts"]) * chance.randrange(20_000)
    if kind == 1:
        depth = chance.randrange(20_000)
        brackets = b"[" * depth + b"]" * (depth + chance.randrange(2))
        return b'{"text": "t", "label": "l", "x": ' + brackets + b"}\n"
    if kind == 2:
        return b"".join(chance.choices(shapes["records"], k=1500))
    record = bytearray(chance.choice(shapes["records"]))
    at = chance.randrange(len(record))
    record[at:at] = bytes([chance.choice(_BYTES)]) * chance.randrange(50_000)
    return bytes(record)


def damage(chance: Random, data: bytearray, parts: list[bytes]) -> None:
    """Damage bytes once, in place."""
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + chance.choice(_LENGTHS))
    kind = chance.randrange(9)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = chance.choice(_BYTES)
    elif kind == 2:
        data[at:at] = chance.choice(parts)
    elif kind == 3:
        del data[at:end]
    elif kind == 4:
        to = chance.randrange(len(data) + 1)
        data[to:to] = data[at:end]
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        data[at:at] = bytes([chance.choice(_BYTES)]) * chance.choice(_LENGTHS)
    elif kind == 7:
        data[at:end] = chance.choice(parts)
    else:
        data.insert(at, chance.randrange(256))
