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
    from manymill.storage.journal import is_at_work

    ask_to_abort(run)
    told = "was asked to end" if is_at_work(run) else "has no process at it: there is nothing to end"
    click.echo(f"the search in {run} {told}", err=True)
