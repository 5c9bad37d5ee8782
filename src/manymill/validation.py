"""Validation of parameters: one form of the error for every value that is not allowed."""

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
        Whether the value is allowed.
    name : str
        Name of the parameter in Python; the command line shows the option in its place.
    value : object
        The value that was given.
    expected : str
        What is allowed, as it follows the word "expected".

    Raises
    ------
    SettingsError
        If it is not valid.
    """
    if not valid:
        raise SettingsError.invalid(name, value, expected)


def check_integer(value: Any, name: str, least: int, greatest: int | None = None, also: str = "") -> None:
    """Check for an integer from ``least`` to ``greatest``; ``also`` is added to what was expected.

    Raises
    ------
    SettingsError
        If the value is not one.
    """
    above = greatest is not None and is_integer(value) and value > greatest
    allowed = (
        f"an integer of {least} or more" if greatest is None else f"an integer from {least} to {greatest:,}"
    )
    check(is_integer(value) and value >= least and not above, name, value, allowed + also)


def check_bool(value: object, name: str) -> None:
    """Check for a truth value of Python or NumPy.

    Raises
    ------
    SettingsError
        If the value is not one.
    """
    numpy_bool = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    check(isinstance(value, bool) or numpy_bool, name, value, "True or False")


def check_choice(value: object, name: str, choices: Iterable[str], *, optional: bool = False) -> None:
    """Check for one of some strings, or None if that is ``optional``.

    Raises
    ------
    SettingsError
        If the value is none of them.
    """
    known = tuple(choices)
    valid = isinstance(value, str) and value in known
    shown = [*map(repr, known), *(["None"] if optional else [])]
    check(valid or (optional and value is None), name, value, _listed(shown))


def is_integer(value: object) -> bool:
    """Whether a value is an integer of Python or NumPy; a truth value is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value is a real number of Python or NumPy; a truth value is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def any_of(choices: Iterable[str]) -> str:
    """The choices as a message lists them: ``'a', 'b' or 'c'``."""
    return _listed([repr(choice) for choice in choices])


def _listed(shown: list[str]) -> str:
    return " or ".join([part for part in (", ".join(shown[:-1]), shown[-1]) if part])
