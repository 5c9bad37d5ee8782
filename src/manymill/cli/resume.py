"""`manymill resume`: go on with a training that was stopped or killed."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options
from manymill.cli.output import say_lines


@click.command()
@options.run
@click.argument("source", nargs=-1)
@options.threads
@options.engine
@options.stall_seconds
@options.json
def resume(
    run: Path,
    source: tuple[str, ...],
    threads: int | None,
    engine: str | None,
    stall_seconds: float | None,
    json: bool,
) -> None:
    """Go on with the training of RUN, to the same model as if it had not been stopped.

    SOURCE is needed again only where it was named by URLs with credentials or queries: no run folder holds those.
    """
    from manymill.cli.progress import follow
    from manymill.engine.selection import engine_name
    from manymill.linear.run import resume_run

    named = engine_name(engine, stall_seconds=stall_seconds)
    with follow(json=json) as observe:
        done = resume_run(run, source=source, threads=threads, engine=named, observe=observe)
    if not json:
        from manymill.cli.summary import summary

        say_lines(summary(done))
    if done.trained.interrupted:
        raise KeyboardInterrupt
