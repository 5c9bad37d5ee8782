"""`manymill plan`: what a training would read, need and take; nothing is trained."""

from __future__ import annotations

import click

from manymill.cli import options
from manymill.cli.request import Request, takes_request


@click.command()
@takes_request
@options.json
def plan(request: Request, json: bool) -> None:
    """Show what a training on FILES would read and need; nothing is trained."""
    from json import dumps

    from manymill.cli.progress import PlainLines
    from manymill.linear.forecast import forecast

    result = forecast(
        request.dataset,
        request.settings,
        threads=request.threads,
        memory=request.memory,
        observe=PlainLines().show,
    )
    click.echo(dumps(result.to_json(), indent=1, ensure_ascii=False) if json else result.to_text())
    if result.refusal is not None:
        raise result.refusal
