"""Read and validate the TOML file of a search, before any data is read.

::

    [distributions]                              in TOML; JSON has the same structure
    l2 = { loguniform = [1e-8, 1e-2] }
    dropout = { uniform = [0.0, 0.5] }
    passes = { integers = [1, 10] }              both bounds included
    n_features = { logintegers = [4096, 4194304] }
    loss = ["log", "hinge"]                      a list of values
    norm = ["l2", "none"]                        "none" means None
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from manymill.errors import SettingsError, SourceError
from manymill.search.distributions import Distribution, Integers, LogUniform, Uniform
from manymill.validation import is_integer, is_number

# TOML has no None: this string stands for it, among parameters of the estimator and in the search space.
NONE = "none"


def _integer_from(least: int) -> Callable[[Any], bool]:
    return lambda value: is_integer(value) and value >= least


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


_Kind = tuple[str, Callable[[Any], bool]]
_STRING: _Kind = ("a string", _is_string)
_STRING_OR_LIST: _Kind = (
    "a string or a list of strings",
    lambda value: _is_string(value) or _is_strings(value),
)
_STRINGS: _Kind = ("a list of strings", _is_strings)
_BOOL: _Kind = ("true or false", lambda value: isinstance(value, bool))
_FROM_0: _Kind = ("an integer of 0 or more", _integer_from(0))
_FROM_1: _Kind = ("an integer of 1 or more", _integer_from(1))
_FROM_2: _Kind = ("an integer of 2 or more", _integer_from(2))
_AMOUNT: _Kind = (
    'an integer of 1 or more, or "auto"', lambda value: value == "auto" or _integer_from(1)(value),
)  # fmt: skip
_SECONDS: _Kind = (
    "a number of seconds above 0", lambda value: is_number(value) and 0 < value < math.inf,
)  # fmt: skip

_TABLES: dict[str, dict[str, _Kind]] = {
    "data": {
        "source": _STRING_OR_LIST, "text": _STRING, "label": _STRING, "format": _STRING, "encoding": _STRING,
        "classes": _STRINGS, "strict": _BOOL, "max_record_bytes": _FROM_1, "max_decompressed_bytes": _FROM_1,
    },
    "search": {
        "n_trials": _FROM_1, "sampler": _STRING, "cv": _FROM_2, "scoring": _STRING_OR_LIST, "refit": _STRING,
        "halving": _BOOL, "resource": _STRING, "min_resource": _AMOUNT, "max_resource": _AMOUNT, "eta": _FROM_2,
        "max_evaluations": _FROM_1, "seconds": _SECONDS, "timeout": _SECONDS, "random_state": _FROM_0,
        "storage": _STRING,
    },
}  # fmt: skip
_TABLE_NAMES = ("data", "estimator", "search", "space")
_SEE_DOCS = "see docs/search.md for an example"


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and validate a configuration file.

    Raises
    ------
    SourceError
        If the file cannot be read or is not valid TOML.
    SettingsError
        If a table or key is unknown, missing, or has an invalid value.
    """
    try:
        with open(path, "rb") as file:
            config = tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", "give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not valid TOML: {error}", _SEE_DOCS) from error
    for name in config:
        if name not in _TABLE_NAMES:
            raise SettingsError(f"{path}: unknown table [{name}]", suggestion(name, _TABLE_NAMES))
    if "data" not in config:
        raise SettingsError(f"{path}: [data] is missing", _SEE_DOCS)
    for table in _TABLE_NAMES:
        _check_table(path, table, config.get(table, {}))
    if "source" not in config["data"]:
        raise SettingsError(
            f"{path}: source is missing from [data]", 'add source = "reviews.jsonl", for example'
        )
    return config


def suggestion(name: Any, known: Collection[str]) -> str:
    """A hint for an unknown name: the known name that resembles it, or the list of all."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known names are {', '.join(sorted(known))}"


def parse_value(value: Any) -> Any:
    """Convert a TOML value to a parameter: lists become tuples, ``"none"`` becomes None."""
    if isinstance(value, list):
        return tuple(parse_value(item) for item in value)
    return None if value == NONE else value


def _check_table(path: Any, table: str, content: Any) -> None:
    if table == "space" and isinstance(content, list):  # one table for each space
        return
    if not isinstance(content, Mapping):
        raise SettingsError(f"{path}: [{table}] is invalid: expected a table")
    keys = _TABLES.get(table)
    if keys is None:  # keys are parameters of the estimator
        return
    for name, value in content.items():
        if name not in keys:
            raise SettingsError(f"{path}: unknown key {name!r} in [{table}]", suggestion(name, keys))
        expected, is_valid = keys[name]
        if not is_valid(value):
            raise SettingsError(f"{path}: [{table}] {name} = {value!r} is invalid: expected {expected}")


_DISTRIBUTIONS: dict[str, Callable[[Any, Any], Distribution]] = {
    "uniform": lambda low, high: Uniform(float(low), float(high)),
    "loguniform": lambda low, high: LogUniform(float(low), float(high)),
    "integers": lambda low, high: Integers(low, high),
    "logintegers": lambda low, high: Integers(low, high, log=True),
}


def parse_spaces(content: Any) -> list[dict[str, Any]]:
    """Parse the search spaces of a configuration file; the module shows the format.

    Parameters
    ----------
    content : mapping, or list of mappings
        As parsed from TOML or JSON.

    Raises
    ------
    SettingsError
        If the content is not a space, or a distribution is invalid.
    """
    tables = content if isinstance(content, list) else [content]
    spaces = []
    for table in tables:
        if not isinstance(table, Mapping):
            raise SettingsError("[space] is invalid: expected a table, or a list of tables")
        spaces.append({name: _parse_values(name, values) for name, values in table.items()})
    return spaces


def _parse_values(name: str, values: Any) -> Any:
    if isinstance(values, list):
        # TOML has no tuples, which parameters such as ngram_range require.
        return [parse_value(value) for value in values]
    kinds = ", ".join(f"{kind} = [low, high]" for kind in _DISTRIBUTIONS)
    invalid = SettingsError.invalid(name, values, f"a list of values, or one of {kinds}")
    if not isinstance(values, Mapping) or len(values) != 1:
        raise invalid
    kind, bounds = next(iter(values.items()))
    if kind not in _DISTRIBUTIONS or not isinstance(bounds, list) or len(bounds) != 2:
        raise invalid
    try:
        return _DISTRIBUTIONS[kind](*bounds)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name}={dict(values)!r} is invalid: {error}") from None
