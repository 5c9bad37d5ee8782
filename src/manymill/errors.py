"""The errors of manymill: each is also a builtin, so that existing ``except`` clauses work.

::

    ManymillError
    ├── SourceError(OSError)        a file is missing, empty, unreadable, cut off, or changed while being read
    ├── RowError(ValueError)        a row is bad and the run is strict
    ├── SchemaError(ValueError)     no such column, or a column of the wrong type
    ├── PlanError(ValueError)       the plan cannot work: no rows, one class, too little memory
    │   ├── SettingsError           a parameter has a value that is not allowed, whatever the data
    │   └── MemoryLimitError(MemoryError)   more memory is needed than was promised, or than there is
    ├── ModelError(ValueError)      a model folder is corrupt, hostile, or of another version
    ├── RunFolderError(OSError)     a run folder is in use, or cannot be written
    └── EngineError(RuntimeError)   workers cannot be had, or died too often, or what travels cannot

A message says what happened, where (file, and row or byte), and after ``Hint:`` what to do. It is safe to print and to
log: control characters, which come from data or from file names, are escaped, and URLs have lost their credentials.
"""

from __future__ import annotations

from manymill.display import escaped, public_url


class ManymillError(Exception):
    """Any error that manymill raises on purpose.

    Parameters
    ----------
    what : str
        What happened and where, without a final full stop.
    hint : str, optional
        What the user can do about it.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = escaped(public_url(what))
        self.hint = escaped(public_url(hint))
        super().__init__(f"{self.what}. Hint: {self.hint}" if hint else self.what)

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is rebuilt from its message alone otherwise; errors come back from other processes.
        return type(self), (self.what, self.hint), self.__dict__


class SourceError(ManymillError, OSError):
    """A file is missing, empty, unreadable, cut off, or changed while being read."""


class RowError(ManymillError, ValueError):
    """A row is bad and the run is strict."""


class SchemaError(ManymillError, ValueError):
    """No such column, or a column of the wrong type."""


class PlanError(ManymillError, ValueError):
    """The plan cannot work: no rows, one class, too little memory."""


class SettingsError(PlanError):
    """A parameter has a value that is not allowed, whatever the data.

    Attributes
    ----------
    parameter : tuple or None
        Name of the parameter, its value as shown, and what was expected, if the error is about one value; the
        command line makes the message of its option from it.
    """

    parameter: tuple[str, str, str] | None = None

    @classmethod
    def invalid(cls, name: str, value: object, expected: str) -> SettingsError:
        """The error of one value: ``name=value is invalid: expected ...``."""
        error = cls(f"{name}={value!r} is invalid: expected {expected}")
        error.parameter = (name, repr(value), expected)
        return error


class MemoryLimitError(PlanError, MemoryError):
    """More memory is needed than was promised, since the plan's sample lacked classes, or than there is."""


class ModelError(ManymillError, ValueError):
    """A model folder is corrupt, hostile, or of another version."""


class RunFolderError(ManymillError, OSError):
    """A run folder is in use, or cannot be written."""


class EngineError(ManymillError, RuntimeError):
    """Workers cannot be had, died too often, or what would travel between processes cannot."""
