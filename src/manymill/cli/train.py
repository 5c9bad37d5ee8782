"""`manymill train`: files of labelled text to a run folder with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from manymill.cli import options
from manymill.cli.request import Request, takes_request


@takes_request
def train(
    request: Request,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder.")] = Path("runs/latest"),
    json: options.Json = False,
) -> None:
    """Train a model on files of labelled text."""
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

        typer.echo(summary(run), err=True)
    if run.trained.interrupted:
        raise typer.Exit(130)
