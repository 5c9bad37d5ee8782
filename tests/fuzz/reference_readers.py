"""Expected results of readers, by Python's own parsers. Intended differences are those of docs/formats.md.

Each difference is named here by the sentence of docs/formats.md that promises it, see `DIFFERENCES`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# A row is (byte, text, label, weight); a record that is no row is its byte alone.
Row = tuple[int, bytes, str | None, float | None]

DIFFERENCES = {
    "constants": "`NaN` and `Infinity` are not valid JSON",
    "surrogates": "lone surrogates in a text, label, weight or field name are refused",
    "range": "a label that is a number must be a finite double",
    "return": "A carriage return alone does not end a record",
    "quote": "A quote that never closes makes its record a bad row",
}

csv.field_size_limit(1 << 40)


@dataclass(frozen=True)
class Wanted:
    """What is read: names of fields for JSON lines, numbers of columns for CSV."""

    format: str
    text: int = 0
    label: int | None = None
    weight: int | None = None
    n_columns: int = 1
    max_record_bytes: int = 64 << 20


class TooDeepError(Exception):
    """Python's parser cannot say what the record is: it recurses."""


def lines(data: bytes, most: int) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, by their first byte; one that is too long is a bad record whatever it is of."""
    at = 0
    for line in data.split(b"\n"):
        record = line.removesuffix(b"\r")
        if record.strip(b" \t\r") or len(record) > most:
            yield at, record
        at += len(line) + 1


def expected(data: bytes, wanted: Wanted) -> list[Row | int]:
    """Rows and bad records in the order of the block."""
    if wanted.format in ("csv", "tsv"):
        return [_csv_row(at, record, wanted) for at, record in csv_records(data, wanted)]
    if wanted.format == "reviews":
        return list(_reviews(data, wanted))
    parse = _json_row if wanted.format == "jsonl" else _fasttext_row
    out: list[Row | int] = []
    for at, line in lines(data, wanted.max_record_bytes):
        try:
            if len(line) > wanted.max_record_bytes:
                raise ValueError("too long")
            out.append((at, *parse(line.decode(), wanted)))
        except RecursionError as error:
            raise TooDeepError from error
        except ValueError:
            out.append(at)
    return out


# ---- JSON lines ---------------------------------------------------------------------------------------------


class _Number(str):
    """A number or a boolean: its literal."""


def _refuse(constant: str) -> None:
    raise ValueError(DIFFERENCES["constants"], constant)


class _Pairs(list[tuple[str, object]]):
    """An object: its fields in order, those of the same name too."""


_DECODER = json.JSONDecoder(
    parse_int=_Number, parse_float=_Number, parse_constant=_refuse, object_pairs_hook=_Pairs
)


def _json_row(line: str, wanted: Wanted) -> tuple[bytes, str | None, float | None]:
    # Not json.loads: that makes a decoder for each call.
    pairs = _DECODER.decode(line)
    if not isinstance(pairs, _Pairs):
        raise ValueError("no object")
    for name, value in pairs:
        name.encode()  # DIFFERENCES["surrogates"]
        # A text that a later one replaces must be one that can be read.
        if name == "text" and isinstance(value, str):
            value.encode()
        if name == "text" and isinstance(value, _Number):
            _finite(value)
    record = dict(pairs)
    text = record.get("text")
    if type(text) is not str:
        raise ValueError("no text")
    label = weight = None
    if wanted.label is not None:
        label = _scalar(record.get("label"))
        if isinstance(label, _Number) and label not in ("true", "false"):
            _finite(label)
        if not label:
            raise ValueError("an empty label")
        label.encode()  # DIFFERENCES["surrogates"]
    if wanted.weight is not None:
        literal = _scalar(record.get("weight"))
        literal.encode()  # DIFFERENCES["surrogates"]
        weight = weight_of(literal)
    return text.encode(), label, weight


def _finite(number: str) -> None:
    if not np.isfinite(float(number)):
        raise ValueError(DIFFERENCES["range"])


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return _Number("true" if value else "false")
    if isinstance(value, str):
        return value
    raise ValueError("neither a string nor a number")


# Unicode's White_Space: what `str.strip` strips, without the separators of tables.
_SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and not "\x1c" <= c <= "\x1f")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def weight_of(literal: str) -> float:
    """The float32 next to a decimal number, which must be finite and not negative."""
    literal = literal.strip(_SPACES)
    if not _DECIMAL.fullmatch(literal):
        raise ValueError("no decimal number")
    with np.errstate(over="ignore"):
        weight = np.float32(float(literal))
    # Rounded twice it may be a neighbour of the nearest; which is only asked where that is near.
    exact = float(literal)
    if np.isfinite(weight) and abs(exact) > 1e-60 and float(weight) != exact:
        near = [weight, np.nextafter(weight, np.float32(0)), np.nextafter(weight, np.float32(np.inf))]
        number = Fraction(literal)
        weight = min(
            (w for w in near if np.isfinite(w)),
            key=lambda w: (abs(Fraction(float(w)) - number), int(w.view(np.uint32)) & 1),
        )
    if not np.isfinite(weight) or weight < 0:
        raise ValueError("no weight")
    return float(weight)


# ---- CSV ----------------------------------------------------------------------------------------------------


@dataclass
class CsvRecord:
    fields: list[str]
    n_bytes: int
    is_open: bool


# A carriage return that ends nothing is this while Python reads; no UTF-8 decodes to it.
_RETURN = "\udc00"


def csv_records(data: bytes, wanted: Wanted) -> Iterator[tuple[int, CsvRecord]]:
    """The records as Python's csv module reads the lines of a file, and where they start."""
    # DIFFERENCES["return"]
    text = re.sub("\r(?!\n|\\Z)", _RETURN, data.decode("utf-8", "surrogateescape"))
    given: list[str] = []
    # What is no UTF-8 in the file does not become it by leaving out quotes: `surrogateescape` keeps such bytes apart.
    source = (line for line in re.findall("[^\n]*\n|[^\n]+", text))
    at_end = False

    def feed() -> Iterator[str]:
        nonlocal at_end
        for line in source:
            given.append(line)
            yield line
        at_end = True

    at = 0
    for fields in csv.reader(feed(), delimiter="," if wanted.format == "csv" else "\t"):
        raw = "".join(given).replace(_RETURN, "\r").encode("utf-8", "surrogateescape")
        given.clear()
        if fields:
            n_bytes = len(raw.removesuffix(b"\n").removesuffix(b"\r"))
            whole = [field.replace(_RETURN, "\r") for field in fields]
            yield at, CsvRecord(whole, n_bytes, at_end)
        at += len(raw)


def _csv_row(at: int, record: CsvRecord, wanted: Wanted) -> Row | int:
    try:
        # DIFFERENCES["quote"]
        if record.is_open or record.n_bytes > wanted.max_record_bytes:
            return at
        if len(record.fields) != wanted.n_columns:
            return at
        text = record.fields[wanted.text].encode()
        label = weight = None
        if wanted.weight is not None:
            record.fields[wanted.weight].encode()
            weight = weight_of(record.fields[wanted.weight])
        if wanted.label is not None:
            label = record.fields[wanted.label]
            if not label.encode():
                return at
        return at, text, label, weight
    except ValueError:
        return at


# ---- fastText and reviews, of which there is no parser in Python --------------------------------------------

_LABELS = re.compile("[ \t]*((?:__label__[^ \t]*[ \t]*)*)(.*)", re.DOTALL)


def _fasttext_row(line: str, wanted: Wanted) -> tuple[bytes, str | None, float | None]:
    match = _LABELS.fullmatch(line)
    assert match is not None
    labels, text = match.groups()
    label = None
    if wanted.label is not None:
        if not labels:
            raise ValueError("no label")
        label = re.split("[ \t]", labels.removeprefix("__label__"), maxsplit=1)[0]
        if not label:
            raise ValueError("an empty label")
    return text.encode(), label, None


_ENTITY = re.compile(r"&([^;&]{0,10});|&")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": "\xa0"}


def _reviews(data: bytes, wanted: Wanted) -> Iterator[Row | int]:
    start = 0
    for match in re.finditer(b"</review>|\\Z", data):
        end = match.end()
        chunk = data[start:end]
        begins = [start + found.start() for found in re.finditer(b"<review>", chunk)]
        if not begins and (rest := chunk.lstrip(b" \t\n\r\x0c")):
            begins = [end - len(rest)]
        for number, at in enumerate(begins):
            whole = number == len(begins) - 1 and bool(match.group())
            yield _review(at, data[at:end], wanted) if whole else at
        start = end


def _review(at: int, data: bytes, wanted: Wanted) -> Row | int:
    if len(data) > wanted.max_record_bytes:
        return at
    try:
        review = data.decode()
        text = _element(review, "review_text")
        if wanted.label is None:
            return at, _unescape(text).encode(), None, None
        rating = _element(review, "rating")
        if not _DECIMAL.fullmatch(rating):
            return at
        stars = float(rating)
    except ValueError:
        return at
    if not np.isfinite(stars) or 2 < stars < 4:
        return at
    return at, _unescape(text).encode(), "negative" if stars <= 2 else "positive", None


def _element(review: str, name: str) -> str:
    inside = review.split(f"<{name}>", 1)[1:]
    if not inside or f"</{name}>" not in inside[0]:
        raise ValueError(f"no <{name}>")
    return inside[0].split(f"</{name}>", 1)[0].strip(_SPACES)


def _unescape(text: str) -> str:
    out, at = [], 0
    while (start := text.find("&", at)) >= 0:
        out.append(text[at:start])
        # No entity is longer than ten bytes.
        window = text[start:].encode()[:12]
        end = window.find(b";")
        character = _character(window[1:end].decode()) if end > 0 else None
        out.append("&" if character is None else character)
        at = start + 1 if character is None else start + len(window[: end + 1].decode())
    return "".join(out) + text[at:]


def _character(name: str) -> str | None:
    if name in _NAMED:
        return _NAMED[name]
    match = re.fullmatch(r"#(?:[xX](\+?[0-9a-fA-F]+)|(\+?[0-9]+))", name)
    if not match:
        return None
    code = int(match[1], 16) if match[1] else int(match[2])
    return None if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code)
