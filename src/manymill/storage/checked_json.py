"""JSON files with a checksum: one object whose last entry is a checksum of all the others, parsed strictly.

Any flipped bit is found. Files are untrusted: duplicate names and infinite numbers are rejected. There are two checks:
:func:`verify` requires exactly the text that :func:`dump` writes, and is used for models; :func:`read` compares the
checksum of the text, which is fast for large files.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from manymill.errors import ModelError
from manymill.storage.durable import replace_file
from manymill.storage.own_files import open_regular

# Lists and objects take many times the memory of their text; a model needs few of them.
_MAX_CONTAINERS = 10_000
# Bytes of a file that are read at a time.
_PIECE_BYTES = 2**20
_SEPARATOR = b',\n "checksum": "'

NO_CHECKSUM = "it has no checksum: an older version of manymill wrote it, or another program"


def checksum(pieces: Iterable[bytes | memoryview]) -> str:
    """Return the checksum of bytes: ``blake2b-256:`` and 64 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=32)
    for piece in pieces:
        digest.update(piece)
    return format_checksum(digest)


def file_checksum(path: Path) -> str:
    """Return the checksum of a regular file.

    Raises
    ------
    OSError
        If it cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        return checksum(iter(lambda: file.read(_PIECE_BYTES), b""))


def format_checksum(digest: hashlib.blake2b) -> str:
    """Return the text of a checksum."""
    return f"blake2b-256:{digest.hexdigest()}"


def dump(content: dict[str, Any]) -> bytes:
    """Return the canonical text of a model's object, with its checksum.

    Raises
    ------
    ModelError
        If it cannot be represented in JSON.
    """
    try:
        return _with_checksum(_canonical(content))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"the model cannot be represented in JSON: {error}") from error


def write(path: Path, content: dict[str, Any]) -> None:
    """Replace a file durably by an object of JSON types; :func:`read` reads it.

    Raises
    ------
    OSError
        If it cannot be written; the old file stays.
    """
    replace_file(path, [encode(content)])


def encode(content: dict[str, Any]) -> bytes:
    """Return the bytes that :func:`write` writes."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    # Bytes of file names that are not UTF-8 are lone surrogates, which JSON can only represent as escapes.
    return _with_checksum(text.encode(errors="backslashreplace"))


def read(path: Path) -> dict[str, Any]:
    """Read an object that :func:`write` wrote, without its checksum.

    Raises
    ------
    OSError
        If it cannot be read, or is not a regular file.
    ValueError
        If it is damaged, was changed, or has no checksum.
    """
    with open_regular(path) as file:
        text = file.read()
    body, separator, _ = text.rpartition(_SEPARATOR)
    if not separator or not body:
        content = _loaded(text)
        raise ValueError("it was changed or damaged" if "checksum" in content else NO_CHECKSUM)
    if _seal(body) != text:
        raise ValueError("its text does not match its checksum: it was changed or damaged")
    content = _loaded(text)
    del content["checksum"]
    return content


def parse(text: bytes, max_bytes: int) -> dict[str, Any]:
    """Parse the text of an object; :func:`verify` checks its checksum.

    Raises
    ------
    ModelError
        If it is too large, or not a JSON object.
    """
    if len(text) > max_bytes or text.count(b"[") + text.count(b"{") > _MAX_CONTAINERS:
        raise ModelError("it is too large to be a manymill model")
    try:
        return _loaded(text)
    except ValueError as error:
        raise ModelError(str(error)) from error


def check_format(content: dict[str, Any], name: str, newest: int, oldest: int | None = None) -> None:
    """Raise ``ModelError`` unless the object has this format, in a version from the oldest (the newest) on."""
    if content.get("format") != name:
        raise ModelError(f"it is not a {name}", "give a folder that manymill saved")
    version = content.get("format_version")
    if type(version) is int and version > newest:
        needed = content.get("requires_manymill")
        raise ModelError(f"it needs manymill >= {str(needed)[:20]}", "install a newer manymill")
    if type(version) is not int or version < (newest if oldest is None else oldest):
        refuse("format_version", version)


def verify(content: dict[str, Any], text: bytes) -> None:
    """Raise ``ModelError`` unless the text is exactly what :func:`dump` writes for the object.

    The checksum is removed from the object.
    """
    content.pop("checksum", None)
    try:
        rewritten = _with_checksum(_canonical(content))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"it is not JSON as manymill writes it: {error}") from error
    if rewritten != text:
        raise ModelError("its text does not match its checksum", "it was changed or damaged: copy it again")


def same_text(left: Any, right: Any) -> bool:
    """Return whether two values have the same JSON text."""
    return _canonical(left) == _canonical(right)


def check_keys(where: str, value: Any, expected: set[str]) -> None:
    """Raise ``ModelError`` unless the value is an object with exactly these names."""
    if not isinstance(value, dict) or set(value) != expected:
        raise ModelError(f"{where} must have exactly the entries {', '.join(sorted(expected))}")


def require(name: str, value: Any, valid: bool) -> None:
    """Raise ``ModelError`` with the name and value of an entry unless it is valid."""
    if not valid:
        refuse(name, value)


def refuse(name: str, value: Any) -> NoReturn:
    """Raise ``ModelError`` for the invalid value of an entry."""
    raise ModelError(f"{name}={str(value)[:60]!r} is invalid")


def _canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _loaded(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(
            text.decode(),
            object_pairs_hook=_object_without_repeats,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON as manymill writes it: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    return content


def _with_checksum(canonical: bytes) -> bytes:
    return _seal(canonical.removesuffix(b"\n}"))


def _seal(body: bytes) -> bytes:
    return body + _SEPARATOR + checksum([body]).encode() + b'"\n}\n'


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has a name twice")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number
