"""`manymill plan`: forecast the data, memory and time of a training."""

from __future__ import annotations

import click

from manymill.cli import options
from manymill.cli.output import show, show_json
from manymill.cli.training_options import TrainingRequest, with_training_request


@click.command()
@with_training_request
@options.json
def plan(request: TrainingRequest, json: bool) -> None:
    """Show the data, memory and time of a training on FILES, without training."""
    from manymill.cli.progress import PlainLines
    from manymill.linear.forecast import forecast

    result = forecast(
        request.dataset,
        request.settings,
        threads=request.threads,
        memory=request.memory,
        observe=PlainLines().show,
    )
    if json:
        show_json(result.to_json(), indent=1)
    else:
        show(result.to_text())
    if result.refusal is not None:
        raise result.refusal
