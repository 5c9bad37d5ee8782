"""`manymill watch`: how another process's training or search is doing."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options


@click.command()
@options.run
@options.json
def watch(run: Path, json: bool) -> None:
    """Show the training or the search of RUN, which another process does.

    A training is shown from its beginning until it ends; of a search the ranking so far.
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
        click.echo(ending(run, last), err=True)
