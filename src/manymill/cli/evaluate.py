"""`manymill evaluate`: how good a model is on labelled files."""

from __future__ import annotations

import typer

from manymill.cli import options


def evaluate(
    run: options.Run,
    files: options.Files,
    text: options.Text = None,
    label: options.Label = None,
    format: options.Format = None,
    encoding: options.Encoding = "utf-8",
    strict: options.Strict = False,
    max_record: options.MaxRecord = "64MiB",
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Evaluate a model on labelled files: accuracy, F1, a table of classes, confusions."""
    from manymill.cli.opening import open_model, plan_for
    from manymill.engine.local import available_threads
    from manymill.evaluate import evaluate as evaluate_plan

    model = open_model(run)
    plan = plan_for(
        model,
        files,
        text=text,
        label=label,
        labelled=True,
        format=format,
        encoding=encoding,
        strict=strict,
        max_record_bytes=options.parse_bytes(max_record),
    )
    evaluation = evaluate_plan(model, plan, threads=threads or available_threads())
    if json:
        from json import dumps

        typer.echo(dumps(evaluation.to_json(), ensure_ascii=False))
    else:
        typer.echo(evaluation.to_text())
