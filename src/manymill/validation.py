"""Validation of parameters, and their declaration: one place for the default, the valid values and the option.

Every invalid value raises one form of error, ``name=value is invalid: expected ...``.

A field of a settings dataclass carries a :class:`Parameter` in its metadata: the settings validate themselves with it,
and the command line makes its options from it. Importing this module costs nothing: ``manymill --help`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from manymill.constants import AUTO
from manymill.errors import SettingsError


def check(valid: bool, name: str, value: object, expected: str) -> None:
    """Raise ``name=value is invalid: expected ...`` unless the value is valid.

    Parameters
    ----------
    valid : bool
        Whether the value is valid.
    name : str
        Name of the parameter in Python; the command line shows its option instead.
    value : object
    expected : str
        Description of valid values, which follows the word "expected".

    Raises
    ------
    SettingsError
        If it is invalid.
    """
    if not valid:
        raise SettingsError.invalid(name, value, expected)


def check_integer(value: Any, name: str, least: int, greatest: int | None = None, also: str = "") -> None:
    """Check that a value is an integer from ``least`` to ``greatest``; ``also`` is appended to the expected values.

    Raises
    ------
    SettingsError
        If it is not.
    """
    above = greatest is not None and is_integer(value) and value > greatest
    allowed = (
        f"an integer of {least} or more" if greatest is None else f"an integer from {least} to {greatest:,}"
    )
    check(is_integer(value) and value >= least and not above, name, value, allowed + also)


def check_bool(value: object, name: str, also: str = "") -> None:
    """Check that a value is a bool of Python or NumPy; ``also`` is appended to the expected values.

    Raises
    ------
    SettingsError
        If it is not.
    """
    numpy_bool = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    check(isinstance(value, bool) or numpy_bool, name, value, f"True{(also and ',') or ' or'} False{also}")


def check_ngram_range(value: Any, name: str, greatest: int, *, also: str = "") -> None:
    """Check that a value is a tuple of two integers, the least and the greatest length of an n-gram.

    Raises
    ------
    SettingsError
        If it is not.
    """
    integers = isinstance(value, tuple) and len(value) == 2 and all(map(is_integer, value))
    valid = integers and 1 <= value[0] <= value[1] <= greatest
    check(valid, name, value, f"two integers with 1 <= least <= greatest <= {greatest:,}{also}")


def check_choice(value: object, name: str, choices: Iterable[str], *, optional: bool = False) -> None:
    """Check that a value is one of the choices, or None if it is ``optional``.

    Raises
    ------
    SettingsError
        If it is not.
    """
    known = tuple(choices)
    valid = isinstance(value, str) and value in known
    shown = [*map(repr, known), *(["None"] if optional else [])]
    check(valid or (optional and value is None), name, value, _listed(shown))


def is_integer(value: object) -> bool:
    """Return whether a value is an integer of Python or NumPy; a bool is not."""
    from numbers import Integral  # every command imports this module at its start, and few check a value

    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is a real number of Python or NumPy; a bool is not."""
    from numbers import Real

    return isinstance(value, Real) and not isinstance(value, bool)


def any_of(choices: Iterable[str]) -> str:
    """Return the choices as a message lists them: ``'a', 'b' or 'c'``."""
    return _listed([repr(choice) for choice in choices])


def _listed(shown: list[str]) -> str:
    return " or ".join([part for part in (", ".join(shown[:-1]), shown[-1]) if part])


# ---- declaration


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


class Strength(Number):
    """A number for each row, or a multiple of 1 / the number of rows, such as ``"0.3/rows"``."""

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        if times_rows(value) is None:
            super().check(value, name)


def times_rows(value: object) -> float | None:
    """Return the number of ``"NUMBER/rows"``; None for any other value."""
    if not isinstance(value, str) or not value.endswith("/rows"):
        return None
    try:
        number = float(value.removesuffix("/rows"))
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


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
    """Two integers, ``1 <= least <= greatest``; None without n-grams of this kind.

    Model folders allow up to 2^16 - 1.
    """

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        if value is not None:
            check_ngram_range(value, name, 2**16 - 1, also=", or None")


class StopWords:
    """``"english"``, a tuple of words, or None."""

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        words = isinstance(value, tuple) and all(isinstance(word, str) for word in value)
        check(words or value in (None, "english"), name, value, "'english', words, or None")


@dataclass(eq=False, repr=False)
class Auto:
    """A value of another rule, or ``"auto"``; the rule says so in what it expects."""

    rule: Rule

    def check(self, value: Any, name: str) -> None:
        """Raise ``SettingsError`` unless the value is valid."""
        if not is_auto(value):
            self.rule.check(value, name)


def is_auto(value: object) -> bool:
    """Return whether a value is ``"auto"``."""
    return isinstance(value, str) and value == AUTO


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
