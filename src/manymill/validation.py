"""Validation of parameters, with one form of error for every invalid value."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

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


def check_bool(value: object, name: str) -> None:
    """Check that a value is a bool of Python or NumPy.

    Raises
    ------
    SettingsError
        If it is not.
    """
    numpy_bool = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    check(isinstance(value, bool) or numpy_bool, name, value, "True or False")


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
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is a real number of Python or NumPy; a bool is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def any_of(choices: Iterable[str]) -> str:
    """Return the choices as a message lists them: ``'a', 'b' or 'c'``."""
    return _listed([repr(choice) for choice in choices])


def _listed(shown: list[str]) -> str:
    return " or ".join([part for part in (", ".join(shown[:-1]), shown[-1]) if part])
