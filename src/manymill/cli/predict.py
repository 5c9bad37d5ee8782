"""`manymill predict`: predict labels, scores and probabilities for files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manymill.cli import options
from manymill.cli.output import say, show_json

if TYPE_CHECKING:
    from manymill.predict import PartResult


@click.command()
@options.run
@options.files
@options.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path("-"),
    show_default=True,
    metavar="FOLDER",
    help="Folder for one part file per input; - is stdout.",
)
@options.option(
    "--to",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    help="Output format; if not given parquet for Parquet files, else jsonl.",
)
@options.option("--scores", is_flag=True, help="Add a column of scores per class.")
@options.option("--probabilities", is_flag=True, help="Add a column of probabilities per class.")
@options.text
@options.reading
@options.overwrite
@options.threads
@options.json
def predict(
    run: Path,
    files: tuple[str, ...],
    out: Path,
    to: str | None,
    scores: bool,
    probabilities: bool,
    text: str | None,
    overwrite: bool,
    threads: int | None,
    json: bool,
    **reading: Any,
) -> None:
    """Predict the labels of FILES. After an interruption run it again: finished parts are skipped."""
    from manymill.cli.model_input import open_forest, open_model, plan_for, tables_for
    from manymill.engine.local import available_threads
    from manymill.predict import Columns, predict_stream
    from manymill.predict import predict as predict_parts

    streaming = str(out) == "-"
    if streaming and (json or to == "parquet"):
        raise click.UsageError("--json and --to parquet need a folder: give --out")
    if streaming and overwrite:
        raise click.UsageError("--overwrite needs a folder: give --out")
    threads = threads or available_threads()
    if (forest := open_forest(run, threads)) is not None:
        from manymill.predict.forests import predict_tables, predict_tables_stream

        tables = tables_for(list(files), text=text, **reading)
        columns = Columns(scores, probabilities, file=streaming and len(files) > 1)
        if streaming:
            return predict_tables_stream(
                forest, tables, sys.stdout.buffer, format=to or "jsonl", columns=columns
            )
        show = _show_json if json else _show
        predict_tables(forest, tables, out, format=to, columns=columns, overwrite=overwrite, on_part=show)
        return None
    model = open_model(run)
    plan = plan_for(model, list(files), text=text, label=None, labelled=False, **reading)
    columns = Columns(scores, probabilities, file=streaming and len(plan.files) > 1)
    if streaming:
        ledger = predict_stream(
            model, plan, sys.stdout.buffer, format=to or "jsonl", columns=columns, threads=threads
        )
        if ledger.counts:
            say(f"warning {ledger.summary()}")
        return
    show = _show_json if json else _show
    predict_parts(
        model, plan, out, format=to, columns=columns, threads=threads, overwrite=overwrite, on_part=show
    )


def _show(result: PartResult) -> None:
    if result.warning:
        say(f"warning {result.warning}")
    n_bad = sum(result.bad_counts.values())
    listed = f", see {result.bad_rows}" if result.bad_rows else ""
    bad = f", {n_bad:,} bad records skipped{listed}" if n_bad else ""
    before = " (already finished)" if result.skipped else ""
    say(f"{result.part}  {result.n_rows:,} rows{bad}{before}")


def _show_json(result: PartResult) -> None:
    from dataclasses import asdict

    if result.warning:
        say(f"warning {result.warning}")
    show_json(asdict(result))
