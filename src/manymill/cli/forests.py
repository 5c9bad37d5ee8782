"""Options and training of forests on tables, for `train --model forest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manymill import display
from manymill.cli import options
from manymill.cli.output import say_lines

if TYPE_CHECKING:
    from manymill.cli.training_options import TrainingRequest
    from manymill.forest.run import ForestRun

# Options of `train` that forests use as well; the others are for linear models only.
_SHARED_OPTIONS = frozenset({
    "files", "label", "format", "encoding", "strict", "max_record_bytes", "max_decompressed_bytes", "holdout", "seed",
    "threads", "out", "engine", "workers", "stall_seconds", "json", "model",
})  # fmt: skip
_FOREST_OPTIONS = frozenset({"task", "n_trees", "mode", "n_partitions", "max_bytes"})

forest_options = options.combined(
    options.option(
        "--model",
        type=click.Choice(["linear", "forest"]),
        default="linear",
        show_default=True,
        help="linear: a linear model of text; forest: trees on tables of numbers and categories (Parquet, CSV).",
    ),
    options.option(
        "--task",
        type=click.Choice(["classification", "regression"]),
        default="classification",
        show_default=True,
        help="Forests: predict classes, or numbers.",
    ),
    options.option(
        "--trees",
        "n_trees",
        type=click.IntRange(1),
        default=100,
        show_default=True,
        help="Forests: number of trees.",
    ),
    options.option(
        "--mode",
        type=click.Choice(["shared", "partitions", "patches"]),
        default="shared",
        show_default=True,
        help="Forests: train a tree on all rows, on one partition, or on rows sampled from all partitions.",
    ),
    options.option(
        "--partitions",
        "n_partitions",
        type=click.IntRange(1),
        default=8,
        show_default=True,
        help="Forests: number of partitions of the rows.",
    ),
    options.option(
        "--max-bytes", type=options.Size(), help="Forests: maximum size of the saved model, such as 20MB."
    ),
)


def check_options(model: str) -> None:
    """Refuse options that do not apply to the kind of model."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        wrong = (
            name in _FOREST_OPTIONS if model == "linear" else name not in _SHARED_OPTIONS | _FOREST_OPTIONS
        )
        if given and wrong:
            raise click.UsageError(f"{parameter.opts[0]} does not apply to --model {model}: leave it out")
        if given and model == "forest":
            _refuse_without_effect(name, context.params)


def _refuse_without_effect(name: str, given: dict[str, Any]) -> None:
    if name == "n_partitions" and given["mode"] == "shared":
        raise click.UsageError(
            "--partitions has no effect with --mode shared: leave it out, or choose --mode partitions or patches"
        )
    if name == "threads" and (given["engine"] or given["workers"]):
        raise click.UsageError("--threads has no effect on a forest with --engine or --workers: leave it out")


def train_forest(request: TrainingRequest, out: Path, engine: Any, *, json: bool, **values: Any) -> None:
    """Train a forest with progress, and print a summary."""
    from manymill.cli.progress import follow
    from manymill.forest.run import ForestSettings, train_forest_run

    settings = ForestSettings(**values, holdout=request.settings.holdout, seed=request.settings.seed)
    with follow(json=json) as observe:
        run = train_forest_run(
            request.dataset,
            out,
            settings,
            holdout=request.holdout,
            engine=request.threads if engine is None else engine,
            observe=observe,
        )
    if not json:
        say_lines(_summary(run))
    if run.report.interrupted:
        raise KeyboardInterrupt


def _summary(run: ForestRun) -> str:
    report, folder = run.report, run.folder
    lines = [f"done    {len(run.table.X):,} rows, {len(run.table.schema.columns)} columns"]
    lines += [f"        {line}" for line in report.words().splitlines()]
    lines.append(f"saved   {folder / 'model'}")
    lines.append(f"next    manymill evaluate {folder} TEST_FILES   manymill predict {folder} NEW_FILES")
    return display.lines(lines)
