"""`manymill train`: train a model on files into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from manymill.cli import forests, options
from manymill.cli.output import say_lines
from manymill.cli.training_options import TrainingRequest, with_training_request


@click.command()
@with_training_request
@options.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/latest"),
    show_default=True,
    metavar="RUN",
    help="The run folder.",
)
@options.engine
@options.option("--workers", type=click.IntRange(1), help="Number of workers of the engine.")
@options.stall_seconds
@options.json
@forests.forest_options
def train(
    request: TrainingRequest,
    out: Path,
    engine: str | None,
    workers: int | None,
    stall_seconds: float | None,
    json: bool,
    model: str,
    **forest: Any,
) -> None:
    """Train a model on FILES of labelled text, or of tables with --model forest."""
    from manymill.cli.progress import follow
    from manymill.engine.selection import engine_name
    from manymill.linear.run import train_run
    from manymill.model.manifest import check_kind

    forests.check_options(model)
    chosen = engine_name(engine, workers=workers, stall_seconds=stall_seconds)
    if model == "forest":
        return forests.train_forest(request, out, chosen, json=json, **forest)
    check_kind(out, "linear")
    with follow(json=json) as observe:
        run = train_run(
            request.dataset,
            out,
            request.settings,
            threads=request.threads,
            memory=request.memory,
            holdout=request.holdout,
            engine=chosen,
            observe=observe,
        )
    if not json:
        from manymill.cli.summary import summary

        say_lines(summary(run))
    if run.trained.interrupted:
        raise KeyboardInterrupt
