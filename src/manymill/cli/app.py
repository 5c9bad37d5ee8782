"""The `manymill` command: its subcommands and global options; errors become messages and exit codes."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import IO

import click

from manymill.cli.abort import abort
from manymill.cli.evaluate import evaluate
from manymill.cli.hash import hash
from manymill.cli.output import say, say_lines
from manymill.cli.plan import plan
from manymill.cli.predict import predict
from manymill.cli.resume import resume
from manymill.cli.search import search
from manymill.cli.train import train
from manymill.cli.watch import watch
from manymill.display import escaped
from manymill.errors import ManymillError, SettingsError


def _show_version(context: click.Context, option: click.Parameter, show: bool) -> None:
    if show and not context.resilient_parsing:
        from manymill import __version__

        click.echo(f"manymill {__version__}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def app(context: click.Context, debug: bool) -> None:
    """Turn labelled text too large for one process into a good linear model, cheaply, on CPUs."""
    if debug:
        os.environ["MANYMILL_DEBUG"] = "1"
    from manymill.log import forward_warnings

    # Commands that show events show warnings among them instead.
    context.with_resource(forward_warnings(lambda message: say(f"warning {message}"), exclusive=True))


for _command in (train, resume, watch, evaluate, predict, plan, hash, search, abort):
    app.add_command(_command)


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code; ``KeyboardInterrupt`` is passed on."""
    if os.environ.get("_MANYMILL_COMPLETE"):
        app(prog_name="manymill")  # shell completion: click answers and exits
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
        # The reader closed the pipe (`| head`): also discard what Python flushes at exit.
        _drop(sys.stdout)
        _drop(sys.stderr)
        return 141
    except ManymillError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        _say(_by_option(error, arguments), hint=error.hint)
        return 2 if isinstance(error, SettingsError) else 1
    except MemoryError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        _say(
            f"there is not enough memory: {error}",
            hint="reduce the settings, for example --n-features, or use a larger machine",
        )
        return 1
    except OSError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        # Without a file name it is a stream: nearly always a full disk behind `> file`.
        where = f"{error.filename}" if error.filename else "cannot write the output"
        _drop(sys.stdout)
        _say(f"{where}: {error.strerror or error}")
        return 1


def _invoke(arguments: list[str]) -> int:
    # Not by calling the group: click would map a closed pipe to exit code 1.
    try:
        with app.make_context("manymill", arguments) as context:
            app.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _by_option(error: ManymillError, arguments: list[str]) -> str:
    """The message of an error, with the option as it was typed in place of an invalid parameter."""
    invalid = error.parameter if isinstance(error, SettingsError) else None
    command = next((app.commands[word] for word in arguments if word in app.commands), None)
    if invalid is not None and command is not None:
        name, expected = invalid
        for option in command.params:
            if option.name == name and (typed := _typed(option, arguments)) is not None:
                # An option is None if it is left out.
                expected = re.sub(r",? or None\b.*$", "", expected)
                expected = re.sub(r"^None\b", "it to be left out", expected)
                return escaped(f"{typed} is invalid: expected {expected}")
    return error.what


def _typed(option: click.Parameter, arguments: list[str]) -> str | None:
    """An option with its value as the user typed it: ``--name=value``, or ``--name 1 2``; None if it was not given."""
    for at, word in reversed(list(enumerate(arguments))):
        flag, equals, _ = word.partition("=")
        if flag in option.opts:
            values = arguments[at + 1 : at + 1 + option.nargs]
            return word if equals else f"{flag}{'=' if len(values) == 1 else ' '}{' '.join(values)}"
    return None


def _say(what: str, *, hint: str = "") -> None:
    """Print an error on stderr, if it is writable."""
    try:
        say(f"error: {what}")
        if hint:
            say(f"hint:  {hint}")
    except OSError:
        _drop(sys.stderr)


def _drop(stream: IO[str]) -> None:
    """Discard what is buffered, so that Python's flush at exit cannot fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:
        return  # the stream has no file descriptor
