"""`manymill watch`: show the training or search of another process."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options
from manymill.cli.output import say


@click.command()
@options.run
@options.json
def watch(run: Path, json: bool) -> None:
    """Show the training or the search of RUN in another process.

    A training is shown from its start to its end; a search by its current ranking.
    """
    if (run / "search.jsonl").exists():
        from manymill.cli.search import show

        show(run, json=json)
        return
    from manymill.cli.progress import follow
    from manymill.cli.summary import ending
    from manymill.run_folder import read_events

    last = None
    with follow(json=json) as observe:
        for event in read_events(run):
            observe(event)
            last = event
    if not json:
        say(ending(run, last))
