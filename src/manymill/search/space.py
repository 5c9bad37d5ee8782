"""Distributions that a file can name.

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

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymill.errors import SettingsError
from manymill.search.configuration import with_none


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
