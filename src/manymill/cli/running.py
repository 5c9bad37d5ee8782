"""One run of the command line: what a command raises becomes a message and an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import IO

import click

from manymill.cli.app import app
from manymill.cli.output import say, say_lines
from manymill.errors import ManymillError, SettingsError


def run(arguments: list[str]) -> int:
    """Run a command; gives its exit code. ``KeyboardInterrupt`` is left to the caller."""
    if os.environ.get("_MANYMILL_COMPLETE"):
        app(prog_name="manymill")  # the shell asks what may stand here; click answers and exits
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
        return code
    except click.ClickException as error:
        try:
            shown = io.StringIO()
            error.show(shown)
            say_lines(shown.getvalue().rstrip("\n"))
        except OSError:
            _drop(sys.stderr)
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing is left to say, nor for Python's flush at exit.
        _drop(sys.stdout)
        _drop(sys.stderr)
        return 141
    except ManymillError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        _say(error.what, hint=error.hint)
        return 2 if isinstance(error, SettingsError) else 1
    except MemoryError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        _say(
            f"there is not enough memory: {error}",
            hint="use smaller settings, for example --n-features, or a larger machine",
        )
        return 1
    except OSError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        # With a name it is some file; without, it is a stream: nearly always a full disk behind `> file`.
        where = f"{error.filename}" if error.filename else "cannot write the output"
        _drop(sys.stdout)
        _say(f"{where}: {error.strerror or error}")
        return 1


def _invoke(arguments: list[str]) -> int:
    # Not by calling the group: click would turn a closed pipe into exit code 1.
    try:
        with app.make_context("manymill", arguments) as context:
            app.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _say(what: str, *, hint: str = "") -> None:
    """Tell people on stderr, if that can still be written."""
    try:
        say(f"error: {what}")
        if hint:
            say(f"hint:  {hint}")
    except OSError:
        _drop(sys.stderr)


def _drop(stream: IO[str]) -> None:
    """Let what is still buffered go nowhere, so that Python's own flush at exit cannot fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:
        return  # no file of the system's stands behind it
