"""`manymill abort`: stop the search of another process."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options
from manymill.cli.output import say


@click.command()
@options.run
def abort(run: Path) -> None:
    """Stop the search of RUN: no further evaluation starts, and finished results are kept."""
    from manymill.search.journal import request_abort
    from manymill.storage.journal import is_locked

    request_abort(run)
    outcome = "will stop" if is_locked(run) else "is not running: there is nothing to stop"
    say(f"the search in {run} {outcome}")
