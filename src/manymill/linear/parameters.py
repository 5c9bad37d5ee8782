"""Declaration of training parameters: one place for the default, the valid values and the command-line option.

A declared dataclass field carries a :class:`Parameter` in its metadata. The settings validate themselves with it, and
the command line makes its options from it. Importing this module costs nothing: ``manymill --help`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from manymill.validation import check, check_bool, check_choice, check_integer, is_integer, is_number


class Rule(Protocol):
    """The values that a parameter may have."""

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""


# Without generated methods: every command imports these classes.
@dataclass(eq=False, repr=False)
class Parameter:
    """A declared parameter.

    Parameters
    ----------
    rule : Rule
        Its valid values.
    help : str
        Help text of the option.
    flags : str or None
        Declaration of the option if it is not ``--name-of-parameter``.
    requires : str or None
        Another parameter without which this one has no effect.
    """

    rule: Rule
    help: str
    flags: str | None = None
    requires: str | None = None


def declare(
    rule: Rule, help: str, *, flags: str | None = None, requires: str | None = None
) -> dict[str, Parameter]:
    """The metadata of a dataclass field that is a :class:`Parameter`."""
    return {"parameter": Parameter(rule, help, flags, requires)}


def declared(settings: Any) -> Iterator[tuple[str, Any, Parameter]]:
    """Name, default and declaration of each parameter of a settings class or object."""
    for field in fields(settings):
        yield field.name, field.default, field.metadata["parameter"]


class Boolean:
    """True or False."""

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        check_bool(value, name)


@dataclass(eq=False, repr=False)
class Integer:
    """An integer from ``least`` to ``greatest``; ``expected`` describes the range if its ends are unwieldy."""

    least: int
    greatest: int
    expected: str | None = None
    optional: bool = False

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        if self.expected is None:
            check_integer(value, name, self.least, self.greatest)
            return
        valid = is_integer(value) and self.least <= value <= self.greatest
        check(valid or (self.optional and value is None), name, value, self.expected)


class Bytes:
    """A number of bytes, 1 to 2^63 - 1."""

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        check_integer(value, name, 1, 2**63 - 1, also=" (bytes)")


@dataclass(eq=False, repr=False)
class Number:
    """A real number from ``least`` to ``greatest``, described by ``expected``."""

    least: float
    greatest: float
    expected: str
    optional: bool = False

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        valid = is_number(value) and self.least <= float(value) <= self.greatest
        check(valid or (self.optional and value is None), name, value, self.expected)


class Share(Number):
    """A share of the rows; the command line also takes a file of rows."""


@dataclass(eq=False, repr=False)
class Choice:
    """One of some strings, or None if that is ``optional``."""

    choices: tuple[str, ...]
    optional: bool = False

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        check_choice(value, name, self.choices, optional=self.optional)


class NgramRange:
    """Two integers, ``1 <= least <= greatest``."""

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        integers = isinstance(value, tuple) and len(value) == 2 and all(is_integer(n) for n in value)
        check(integers, name, value, "two integers, such as (1, 2)")
        check(1 <= value[0] <= value[1], name, value, "1 <= least <= greatest")


class ClassWeight:
    """``"balanced"``, weights by class, or None."""

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        if isinstance(value, Mapping):
            valid = all(is_number(weight) and 0 <= weight < float("inf") for weight in value.values())
            check(valid, name, dict(value), "finite weights of 0 or more")
        else:
            valid = value is None or (isinstance(value, str) and value == "balanced")
            check(valid, name, value, "'balanced', a weight for each class, or None")
