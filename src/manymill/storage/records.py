"""Dataclasses from untrusted JSON: every value is checked against the annotation of its field.

A valid checksum shows that a file was not damaged, not that its content makes sense.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

# Larger integers fit neither into an array nor into the core.
_MAX_INTEGER = 2**63 - 1


def from_record(kind: type[T], record: object, *, finite: bool = True) -> T:
    """Create an instance of a dataclass from a JSON object.

    Parameters
    ----------
    kind : dataclass
        Its fields may be numbers, strings, bools, None, and tuples, mappings with string keys and dataclasses of them.
    record : object
        The parsed object; fields with a default may be missing.
    finite : bool
        Whether NaN and infinity are rejected.

    Raises
    ------
    ValueError
        If it is not an object, lacks a field, has an unknown one, or a value does not have the type of its field.
    """
    assert is_dataclass(kind)
    if not isinstance(record, Mapping):
        raise ValueError(f"it is not an object of {kind.__name__}")
    hints = _hints(kind)
    known = {each.name: each for each in fields(kind)}
    if unknown := sorted(set(record) - set(known)):
        raise ValueError(f"{str(unknown[0])[:40]!r} is not a field of {kind.__name__}")
    values = {}
    for name, each in known.items():
        if name in record:
            values[name] = value_of(hints[name], record[name], name, finite=finite)
        elif _is_required(each):
            raise ValueError(f"it lacks {name!r}")
    return kind(**values)


def value_of(hint: Any, value: Any, name: str, *, finite: bool = True) -> Any:
    """Convert a value to the type of an annotation: lists become tuples, objects dataclasses.

    Raises
    ------
    ValueError
        If it has another type.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _first_valid(arguments, value, name, finite)
    if origin is Literal and any(type(value) is type(each) and value == each for each in arguments):
        return value
    if origin is tuple and isinstance(value, list | tuple):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(value_of(arguments[0], each, name, finite=finite) for each in value)
        if len(arguments) == len(value):
            pairs = zip(arguments, value, strict=True)
            return tuple(value_of(kind, each, name, finite=finite) for kind, each in pairs)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping)
    if is_mapping and all(isinstance(key, str) for key in value):
        return {key: value_of(arguments[1], each, name, finite=finite) for key, each in value.items()}
    if hint is Any:
        return value
    if hint in (str, bool) and type(value) is hint:
        return value
    if hint is int and type(value) is int and abs(value) <= _MAX_INTEGER:
        return value
    if hint is float and type(value) in (int, float) and _is_number(value, finite):
        return float(value)
    if hint in (None, types.NoneType) and value is None:
        return None
    if is_dataclass(hint) and isinstance(hint, type):
        return from_record(hint, value, finite=finite)
    raise ValueError(f"{name}={str(value)[:40]!r} is invalid")


def _first_valid(kinds: tuple[Any, ...], value: Any, name: str, finite: bool) -> Any:
    # An integer stays an integer if both types are allowed.
    for kind in sorted(kinds, key=lambda kind: kind is float):
        try:
            return value_of(kind, value, name, finite=finite)
        except ValueError:
            continue
    raise ValueError(f"{name}={str(value)[:40]!r} is invalid")


def _is_number(value: float, finite: bool) -> bool:
    try:
        return math.isfinite(value) or not finite
    except OverflowError:
        return False


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
