"""`manymill watch`: how another process's training is doing."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options


@click.command()
@options.run
@options.json
def watch(run: Path, json: bool) -> None:
    """Show the training of RUN, which another process does, from its beginning until it ends."""
    from manymill.cli.progress import follow
    from manymill.cli.summary import ending
    from manymill.run_events import read_events

    last = None
    with follow(json=json) as observe:
        for event in read_events(run):
            observe(event)
            last = event
    if not json:
        click.echo(ending(run, last), err=True)
