"""The commands of `manymill`, and the options that stand before them."""

from __future__ import annotations

import os

import click

from manymill.cli.abort import abort
from manymill.cli.evaluate import evaluate
from manymill.cli.hash import hash
from manymill.cli.plan import plan
from manymill.cli.predict import predict
from manymill.cli.resume import resume
from manymill.cli.search import search
from manymill.cli.train import train
from manymill.cli.watch import watch


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
    from manymill.log import warnings_told

    # A command that shows events tells warnings among them.
    context.with_resource(warnings_told(lambda message: say(f"warning {message}"), instead=True))


for _command in (train, resume, watch, evaluate, predict, plan, hash, search, abort):
    app.add_command(_command)
