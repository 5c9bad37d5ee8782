"""`manymill abort`: end another process's search."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options


@click.command()
@options.run
def abort(run: Path) -> None:
    """Have the search of RUN begin nothing more; what is finished is kept."""
    from manymill.search.journal import ask_to_abort

    ask_to_abort(run)
    click.echo(f"the search in {run} was asked to end", err=True)
