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
@click.argument("files", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@options.text
@options.label
@click.option("--n-trials", type=click.IntRange(1), help="Candidates; 100 if nothing is said.")
@click.option("--cv", type=click.IntRange(2), help="Splits; 5 if nothing is said.")
@click.option(
    "--scoring", metavar="METRIC", help="What is best, in scikit-learn's words; accuracy, or f1_macro."
)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="After so long nothing more is begun."
)
@click.option(
    "--halving", is_flag=True, default=None, help="Candidates begin with few rows, the best get more."
)
@options.engine
@options.json
def search(
    files: tuple[str, ...],
    out: Path,
    text: str | None,
    label: str | None,
    engine: str | None,
    json: bool,
    **asked: Any,
) -> None:
    """Try settings on FILES of labelled text, or what a TOML file tells of; leave the best model in the run folder.

    The same command goes on with a search that was stopped. `manymill watch` shows it, `manymill abort` ends it.
    """
    from manymill.search.running import read_config, search_run

    is_config = len(files) == 1 and files[0].endswith(".toml")
    config: dict[str, Any] = read_config(files[0]) if is_config else {"data": {"source": list(files)}}
    # What the command says goes before what the file says.
    for table, values in (("data", {"text": text, "label": label}), ("search", asked)):
        config[table] = config.get(table, {}) | {n: value for n, value in values.items() if value is not None}

    interrupted: list[bool] = []

    def watch(handle: SearchHandle) -> None:
        try:
            while not handle.wait(_SECONDS):
                if not json:
                    click.echo(str(handle.progress()), err=True)
        except KeyboardInterrupt:
            interrupted.append(True)
            handle.abort()

    found = search_run(config, out, engine=engine, watch=watch)
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
