"""Exception classes of manymill; each is also a builtin exception, so that existing ``except`` clauses work.

::

    ManymillError
    ├── SourceError(OSError)        a file is missing, empty, unreadable, truncated, or changed while it was read
    ├── RowError(ValueError)        a row is invalid and the run is strict
    ├── SchemaError(ValueError)     a column is missing or has the wrong type
    ├── PlanError(ValueError)       the run cannot succeed: no rows, one class, too little memory
    │   ├── SettingsError           the value of a parameter is invalid for any data
    │   └── MemoryLimitError(MemoryError)   the run needs more memory than planned, or than there is
    ├── ModelError(ValueError)      a model folder is corrupt, malicious, or of another version
    ├── RunFolderError(OSError)     a run folder is in use, or cannot be written
    └── EngineError(RuntimeError)   workers cannot be started, died too often, or cannot exchange an object

A message says what happened, where (file, and row or byte), and after ``Hint:`` what to do. It is safe to print and to
log: control characters from data and file names are escaped, and credentials are removed from URLs.
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
        What the user can do.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = escaped(public_url(what))
        self.hint = escaped(public_url(hint))
        super().__init__(f"{self.what}. Hint: {self.hint}" if hint else self.what)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors come back from other processes; by default an exception is pickled with its message only.
        return type(self), (self.what, self.hint), self.__dict__


class SourceError(ManymillError, OSError):
    """A file is missing, empty, unreadable, truncated, or changed while it was read."""


class RowError(ManymillError, ValueError):
    """A row is invalid and the run is strict."""


class SchemaError(ManymillError, ValueError):
    """A column is missing or has the wrong type."""


class PlanError(ManymillError, ValueError):
    """The run cannot succeed: no rows, one class, too little memory."""


class SettingsError(PlanError):
    """The value of a parameter is invalid for any data.

    Attributes
    ----------
    parameter : tuple or None
        Name of the parameter and what was expected, if the error is about one value; the command line turns them into
        a message about its option.
    """

    parameter: tuple[str, str] | None = None

    @classmethod
    def invalid(cls, name: str, value: object, expected: str, hint: str = "") -> SettingsError:
        """Return the error of one value: ``name=value is invalid: expected ...``."""
        error = cls(f"{name}={value!r} is invalid: expected {expected}", hint)
        error.parameter = (name, expected)
        return error


class MemoryLimitError(PlanError, MemoryError):
    """The run needs more memory than planned, since the plan's sample lacked classes, or than there is."""


class ModelError(ManymillError, ValueError):
    """A model folder is corrupt, malicious, or of another version."""


class RunFolderError(ManymillError, OSError):
    """A run folder is in use, or cannot be written."""


class EngineError(ManymillError, RuntimeError):
    """Workers cannot be started, died too often, or cannot exchange an object with the driver."""
