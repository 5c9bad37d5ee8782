"""The commands of `manymill`, and the options that stand before them.

One run of the command line: what a command raises becomes a message and an exit code.
"""

from __future__ import annotations

import io
import os
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
from manymill.errors import ManymillError, SettingsError


def _show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
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
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
@click.pass_context
def app(context: click.Context, debug: bool) -> None:
    """Turn labelled text too large for one process into a good linear model, cheaply, on CPUs."""
    if debug:
        os.environ["MANYMILL_DEBUG"] = "1"
    from manymill.cli.output import say
    from manymill.log import forward_warnings

    # A command that shows events tells warnings among them.
    context.with_resource(forward_warnings(lambda message: say(f"warning {message}"), exclusive=True))


for _command in (train, resume, watch, evaluate, predict, plan, hash, search, abort):
    app.add_command(_command)


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
        _say(_by_option(error, arguments), hint=error.hint)
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


def _by_option(error: ManymillError, arguments: list[str]) -> str:
    """The message of an error; an invalid parameter is named by the option of the command that it came from."""
    invalid = error.parameter if isinstance(error, SettingsError) else None
    command = next((app.commands[word] for word in arguments if word in app.commands), None)
    if invalid is not None and command is not None:
        name, value, expected = invalid
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name == name:
                return f"{max(parameter.opts, key=len)}={value} is invalid: expected {expected}"
    return error.what


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
