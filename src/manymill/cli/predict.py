"""`manymill predict`: labels and scores for files of text."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manymill.cli import options

if TYPE_CHECKING:
    from manymill.predict import PartResult


def predict(
    run: options.Run,
    files: options.Files,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="One part file for each input goes here; - is stdout."),
    ] = Path("-"),
    to: Annotated[
        str | None,
        typer.Option(
            "--to", help="Format of the output: jsonl, csv or parquet; parquet for parquet, else jsonl."
        ),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Add a column of scores for each class.")] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a column of probabilities for each class.")
    ] = False,
    text: options.Text = None,
    format: options.Format = None,
    encoding: options.Encoding = "utf-8",
    strict: options.Strict = False,
    max_record: options.MaxRecord = "64MiB",
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Predict the labels of files. Run again after an interruption: finished parts are skipped."""
    from manymill.cli.opening import open_model, plan_for
    from manymill.engine.local import available_threads
    from manymill.predict import Columns, predict_stream
    from manymill.predict import predict as predict_parts

    streaming = str(out) == "-"
    if streaming and (json or to == "parquet"):
        raise typer.BadParameter("--json and --to parquet need a folder for the parts: give --out")
    model = open_model(run)
    plan = plan_for(
        model,
        files,
        text=text,
        label=None,
        labelled=False,
        format=format,
        encoding=encoding,
        strict=strict,
        max_record_bytes=options.parse_bytes(max_record),
    )
    threads = threads or available_threads()
    columns = Columns(scores, probabilities, file=streaming and len(plan.files) > 1)
    if streaming:
        try:
            ledger = predict_stream(
                model, plan, sys.stdout.buffer, format=to or "jsonl", columns=columns, threads=threads
            )
        except BrokenPipeError:
            # The reader has gone (`| head`): nothing is left to say, nor for Python's flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        if ledger.counts:
            typer.echo(f"warning {ledger.summary()}", err=True)
        return
    show = _show_json if json else _show
    predict_parts(model, plan, out, format=to, columns=columns, threads=threads, on_part=show)


def _show(result: PartResult) -> None:
    n_bad = sum(result.bad_counts.values())
    bad = f", {n_bad:,} bad records left out, see {result.bad_rows}" if n_bad else ""
    before = " (finished before, skipped)" if result.skipped else ""
    typer.echo(f"{result.part}  {result.n_rows:,} rows{bad}{before}", err=True)


def _show_json(result: PartResult) -> None:
    from dataclasses import asdict
    from json import dumps

    typer.echo(dumps(asdict(result), ensure_ascii=False))
