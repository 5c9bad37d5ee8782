"""Distributions of numbers that a search draws candidates from: uniform, log-uniform, integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymill.errors import SettingsError
from manymill.validation import is_integer


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform distribution of floats from `low` to `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self, self.low, self.high)

    def rvs(self, random_state: np.random.Generator) -> float:
        """Draw a value."""
        return float(random_state.uniform(self.low, self.high))


@dataclass(frozen=True, slots=True)
class LogUniform:
    """Log-uniform distribution of floats from `low` to `high`, both above 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self, self.low, self.high, positive=True)

    def rvs(self, random_state: np.random.Generator) -> float:
        """Draw a value."""
        drawn = math.exp(random_state.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Integers:
    """Uniform distribution of integers from `low` to `high`, both included; log-uniform with `log`."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        integers = is_integer(self.low) and is_integer(self.high)
        if not integers:
            raise SettingsError(f"{self!r} is invalid: expected integers as bounds")
        _check_bounds(self, self.low, self.high, positive=self.log)

    def rvs(self, random_state: np.random.Generator) -> int:
        """Draw a value."""
        if not self.log:
            return int(random_state.integers(self.low, self.high, endpoint=True))
        # Each integer stands for the interval from 0.5 below to 0.5 above it, the bounds as well.
        drawn = math.exp(random_state.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(drawn), self.low), self.high)


Distribution = Uniform | LogUniform | Integers


def _check_bounds(distribution: Any, low: float, high: float, *, positive: bool = False) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SettingsError(f"{distribution!r} is invalid: expected finite numbers with low <= high")
    if positive and low <= 0:
        raise SettingsError(f"{distribution!r} is invalid: expected bounds above 0")
