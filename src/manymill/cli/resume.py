"""`manymill resume`: resume a training that was stopped or killed."""

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
    """Resume the training of RUN; the model is the same as without the interruption.

    Give SOURCE again only if it was given by URLs with credentials or queries, which run folders do not contain.
    """
    from manymill.cli.progress import follow
    from manymill.engine.selection import engine_name
    from manymill.linear.run import resume_run

    chosen = engine_name(engine, stall_seconds=stall_seconds)
    with follow(json=json) as observe:
        done = resume_run(run, source=source, threads=threads, engine=chosen, observe=observe)
    if not json:
        from manymill.cli.summary import summary

        say_lines(summary(done))
    if done.trained.interrupted:
        raise KeyboardInterrupt
