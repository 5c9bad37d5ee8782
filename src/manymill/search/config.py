"""The file that describes a search, checked before any data is read.

::

    search.toml ──► tables of known names and kinds ──► [data] [estimator] [space] [search]

What is wrong is told with the file, the table and the name, and with what may stand there.

Distributions that a file can name.

::

    [distributions]                              in TOML, and the same in JSON
    l2 = { loguniform = [1e-8, 1e-2] }
    dropout = { uniform = [0.0, 0.5] }
    passes = { integers = [1, 10] }              both ends included
    n_features = { logintegers = [4096, 4194304] }
    loss = ["log", "hinge"]                      a list of values
    norm = ["l2", "none"]                        "none" is None
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymill.errors import SettingsError, SourceError

# A file has no None: this word stands for it, among the parameters of an estimator and what is searched.
NONE = "none"


def _is_whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_word(value: Any) -> bool:
    return isinstance(value, str)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


_Kind = tuple[str, Callable[[Any], bool]]
_WORD: _Kind = ("give a word in quotes", _is_word)
_WORDS: _Kind = (
    "give a word in quotes, or a list of those",
    lambda value: _is_word(value) or _is_words(value),
)
_LIST: _Kind = ("give a list of words in quotes", _is_words)
_YES: _Kind = ("give true or false", lambda value: isinstance(value, bool))
_COUNT: _Kind = ("give a whole number of 1 or more", _is_whole(1))
_SEVERAL: _Kind = ("give a whole number of 2 or more", _is_whole(2))
_SEED: _Kind = ("give a whole number of 0 or more", _is_whole(0))
_AMOUNT: _Kind = (
    'give a whole number of 1 or more, or "auto"', lambda value: value == "auto" or _is_whole(1)(value),
)  # fmt: skip
_SECONDS: _Kind = ("give a number of seconds above 0", _is_seconds)

_TABLES: dict[str, dict[str, _Kind]] = {
    "data": {
        "source": _WORDS, "text": _WORD, "label": _WORD, "format": _WORD, "encoding": _WORD, "classes": _LIST,
        "strict": _YES, "max_record_bytes": _COUNT, "max_decompressed_bytes": _COUNT,
    },
    "search": {
        "n_trials": _COUNT, "sampler": _WORD, "cv": _SEVERAL, "scoring": _WORDS, "refit": _WORD, "halving": _YES,
        "resource": _WORD, "min_resource": _AMOUNT, "max_resource": _AMOUNT, "eta": _SEVERAL, "max_evaluations": _COUNT,
        "seconds": _SECONDS, "timeout": _SECONDS, "random_state": _SEED, "storage": _WORD,
    },
}  # fmt: skip
_ALL = ("data", "estimator", "search", "space")


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file asks for.

    Raises
    ------
    SourceError
        If it cannot be read, or is no TOML.
    SettingsError
        If it has what is not known, or lacks what is needed.
    """
    try:
        with open(path, "rb") as file:
            config = tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", "name a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is no TOML: {error}", "see docs/search.md for an example") from error
    for name in config:
        if name not in _ALL:
            raise SettingsError(f"{path}: there is no table [{name}]", meant(name, _ALL))
    if "data" not in config:
        raise SettingsError(f"{path}: the table [data] is missing", "see docs/search.md for an example")
    for table, kinds in _TABLES.items():
        _check(path, table, config.get(table, {}), kinds)
    for table in ("estimator", "space"):
        told = config.get(table, {})
        if not isinstance(told, Mapping) and not (table == "space" and isinstance(told, list)):
            raise SettingsError(f"{path}: {table} = {told!r} is no table", f"write [{table}]")
    if "source" not in config["data"]:
        raise SettingsError(f"{path}: [data] has no source", 'give source = "reviews.jsonl", for example')
    return config


def meant(name: Any, known: Collection[str]) -> str:
    """A hint for a name that is not known: the one that looks like it, or all there are."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"


def with_none(value: Any) -> Any:
    """A value of a file as a parameter takes it: lists are tuples, and the word for None is None."""
    if isinstance(value, list):
        return tuple(with_none(item) for item in value)
    return None if value == NONE else value


def check_scoring(scoring: str | list[str]) -> None:
    """Raise ``SettingsError`` if scikit-learn knows no such score."""
    from sklearn.metrics import get_scorer_names

    known = get_scorer_names()
    for name in [scoring] if isinstance(scoring, str) else scoring:
        if name not in known:
            raise SettingsError(f"there is no score {name!r}", meant(name, known))


def _check(path: Any, table: str, told: Any, kinds: Mapping[str, _Kind]) -> None:
    if not isinstance(told, Mapping):
        raise SettingsError(f"{path}: {table} = {told!r} is no table", f"write [{table}]")
    for name, value in told.items():
        if name not in kinds:
            raise SettingsError(f"{path}: [{table}] has no {name!r}", meant(name, kinds))
        wanted, fits = kinds[name]
        if not fits(value):
            raise SettingsError(f"{path}: [{table}] {name} = {value!r} is not possible", wanted)


@dataclass(frozen=True, slots=True)
class Uniform:
    """A number from `low` up to `high`, each as likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self, self.low, self.high)

    def rvs(self, random_state: np.random.Generator) -> float:
        """A draw."""
        return float(random_state.uniform(self.low, self.high))


@dataclass(frozen=True, slots=True)
class LogUniform:
    """A number from `low` up to `high` whose logarithm is uniform; both are above 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self, self.low, self.high, above_zero=True)

    def rvs(self, random_state: np.random.Generator) -> float:
        """A draw."""
        drawn = math.exp(random_state.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Integers:
    """A whole number from `low` to `high`, both included; with `log` small ones are as likely by their logarithm."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        whole = all(isinstance(end, int) and not isinstance(end, bool) for end in (self.low, self.high))
        if not whole:
            raise SettingsError(f"{self!r} has an end that is no whole number", "give whole numbers")
        _check_ends(self, self.low, self.high, above_zero=self.log)

    def rvs(self, random_state: np.random.Generator) -> int:
        """A draw."""
        if not self.log:
            return int(random_state.integers(self.low, self.high, endpoint=True))
        # Each whole number stands for the half below and above it, those at the ends as well.
        drawn = math.exp(random_state.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(drawn), self.low), self.high)


Distribution = Uniform | LogUniform | Integers

_KINDS: dict[str, Callable[[Any, Any], Distribution]] = {
    "uniform": lambda low, high: Uniform(float(low), float(high)),
    "loguniform": lambda low, high: LogUniform(float(low), float(high)),
    "integers": lambda low, high: Integers(low, high),
    "logintegers": lambda low, high: Integers(low, high, log=True),
}


def spaces_of_file(content: Any) -> list[dict[str, Any]]:
    """The spaces that a configuration file tells of; see the module.

    Parameters
    ----------
    content : mapping, or list of mappings
        As TOML and JSON give them.

    Raises
    ------
    SettingsError
        If it is no space, or a distribution of it cannot be.
    """
    tables = content if isinstance(content, list) else [content]
    out = []
    for table in tables:
        if not isinstance(table, Mapping):
            raise SettingsError(f"distributions={content!r} are no table", "give {parameter: values}")
        out.append({name: _of_file(name, told) for name, told in table.items()})
    return out


def _of_file(name: str, told: Any) -> Any:
    if isinstance(told, list):
        # A file has no tuples, and parameters such as ngram_range ask for one.
        return [with_none(value) for value in told]
    if isinstance(told, Mapping) and len(told) == 1:
        kind, ends = next(iter(told.items()))
        if kind in _KINDS and isinstance(ends, list) and len(ends) == 2:
            try:
                return _KINDS[kind](*ends)
            except (TypeError, ValueError) as error:
                raise SettingsError(f"{name}={dict(told)!r} is no distribution: {error}") from None
    raise SettingsError(
        f"{name}={told!r} is neither a list of values nor a distribution",
        f"give a list, or one of {', '.join(f'{kind} = [low, high]' for kind in _KINDS)}",
    )


def _check_ends(distribution: Any, low: float, high: float, *, above_zero: bool = False) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SettingsError(f"{distribution!r} has no values", "give two numbers, the greater one last")
    if above_zero and low <= 0:
        raise SettingsError(f"{distribution!r} has no logarithms", "give numbers above 0")
