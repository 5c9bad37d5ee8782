"""`manymill resume`: go on with a training that was stopped or killed."""

from __future__ import annotations

from pathlib import Path

import click

from manymill.cli import options


@click.command()
@options.run
@options.threads
@options.engine
@options.stall_seconds
@options.json
def resume(
    run: Path, threads: int | None, engine: str | None, stall_seconds: float | None, json: bool
) -> None:
    """Go on with the training of RUN, to the same model as if it had not been stopped."""
    from manymill.cli.progress import follow
    from manymill.engine.choosing import engine_name
    from manymill.linear.run import resume_run

    named = engine_name(engine, stall_seconds=stall_seconds)
    with follow(json=json) as observe:
        done = resume_run(run, threads=threads, engine=named, observe=observe)
    if not json:
        from manymill.cli.summary import summary

        click.echo(summary(done), err=True)
    if done.trained.interrupted:
        raise KeyboardInterrupt
