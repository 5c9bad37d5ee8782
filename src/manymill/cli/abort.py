"""`manymill abort`: end another process's search."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options
from manymill.cli.output import say


@click.command()
@options.run
def abort(run: Path) -> None:
    """Have the search of RUN begin nothing more; what is finished is kept."""
    from manymill.search.journal import request_abort
    from manymill.storage.journal import is_locked

    request_abort(run)
    told = "was asked to end" if is_locked(run) else "has no process at it: there is nothing to end"
    say(f"the search in {run} {told}")
