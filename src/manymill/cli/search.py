"""`manymill search`: the best settings for a model of text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manymill.cli import options

if TYPE_CHECKING:
    from manymill.search.handle import SearchHandle
    from manymill.search.ranking import Ranked

# Progress is told so often.
_SECONDS = 1.0


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@options.engine
@options.json
def search(config: Path, out: Path, engine: str | None, json: bool) -> None:
    """Try the settings that CONFIG, a TOML file, tells of; leave the best model in the run folder.

    The same command goes on with a search that was stopped. `manymill watch` shows it, `manymill abort` ends it.
    """
    from manymill.search.running import read_config, search_run

    interrupted: list[bool] = []

    def watch(handle: SearchHandle) -> None:
        try:
            while not handle.wait(_SECONDS):
                if not json:
                    click.echo(str(handle.progress()), err=True)
        except KeyboardInterrupt:
            interrupted.append(True)
            handle.abort()

    found = search_run(read_config(config), out, engine=engine, watch=watch)
    if not json:
        click.echo(str(found.handle_.progress()), err=True)
    _tell(found.handle_.ranking(), json=json)
    if not json:
        click.echo(f"saved   {out / 'model'}", err=True)
    if interrupted:
        raise KeyboardInterrupt


def show(run: Path, *, json: bool) -> None:
    """The ranking of a search of another process."""
    from manymill.search.watching import standing

    now = standing(run)
    if not json:
        click.echo(str(now), err=True)
    _tell(now.rows(), json=json)


def _tell(rows: list[Ranked], *, json: bool) -> None:
    if not json:
        from manymill.search.ranking import as_text

        click.echo(as_text(rows))
        return
    import json as text
    from dataclasses import asdict

    for row in rows:
        click.echo(text.dumps(_plain(asdict(row))))


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON knows: what is no number is null."""
    import math

    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in told.items()
    }
