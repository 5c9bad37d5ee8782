"""The command line: one file a command, no logic. Heavy imports are inside the commands.

stdout is data, stderr is progress and messages. Exit codes: 0 done, 1 failed, 2 misuse, 130 stopped by Ctrl-C, 141 the
reader of stdout went away.
"""

from __future__ import annotations

import os
import sys

import click

from manymill.cli.evaluate import evaluate
from manymill.cli.plan import plan
from manymill.cli.predict import predict
from manymill.cli.train import train


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
def app(debug: bool) -> None:
    """Turn labelled text too large for one process into a good linear model, cheaply, on CPUs."""
    if debug:
        os.environ["MANYMILL_DEBUG"] = "1"


for _command in (train, evaluate, predict, plan):
    app.add_command(_command)


def main() -> None:
    """Run the command line and exit."""
    from manymill.engine import stopping
    from manymill.errors import ManymillError

    # A cluster's or a system's request to end is met like Ctrl-C: what was learnt is kept.
    stopping.listen()
    try:
        sys.exit(app(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ManymillError as error:
        if os.environ.get("MANYMILL_DEBUG"):
            raise
        click.echo(f"error: {error.what}", err=True)
        if error.hint:
            click.echo(f"hint:  {error.hint}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`): nothing is left to say, nor for Python's flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
