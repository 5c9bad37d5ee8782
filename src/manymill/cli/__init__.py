"""The command line: one file a command, no logic. Heavy imports are inside the commands.

stdout is data, stderr is progress and messages. Exit codes: 0 done, 1 failed, 2 misuse, 130 stopped by
Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from manymill.cli.evaluate import evaluate
from manymill.cli.plan import plan
from manymill.cli.predict import predict
from manymill.cli.train import train

app = typer.Typer(
    name="manymill",
    help="Turn labelled text too large for one process into a good linear model, cheaply, on CPUs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(train)
app.command()(evaluate)
app.command()(predict)
app.command()(plan)


def _show_version(wanted: bool) -> None:
    if wanted:
        from manymill import __version__

        print(f"manymill {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    if debug:
        os.environ["MANYMILL_DEBUG"] = "1"


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line and exit."""
    from manymill.errors import ManymillError

    # A cluster's or a system's request to end is met like Ctrl-C: what was learnt is kept.
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except ManymillError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        print(f"error: {error.what}", file=sys.stderr)
        if error.hint:
            print(f"hint:  {error.hint}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`): nothing is left to say. Python's own flush at exit must
        # not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
