"""`manymill train`: files of labelled text to a run folder with a model."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options
from manymill.cli.request import Request, takes_request


@click.command()
@takes_request
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/latest"),
    show_default=True,
    metavar="RUN",
    help="The run folder.",
)
@options.json
def train(request: Request, out: Path, json: bool) -> None:
    """Train a model on FILES of labelled text."""
    from manymill.cli.progress import follow
    from manymill.linear.run import train_run

    with follow(json=json) as observe:
        run = train_run(
            request.dataset,
            out,
            request.settings,
            threads=request.threads,
            memory=request.memory,
            holdout=request.holdout,
            observe=observe,
        )
    if not json:
        from manymill.cli.summary import summary

        click.echo(summary(run), err=True)
    if run.trained.interrupted:
        raise KeyboardInterrupt
