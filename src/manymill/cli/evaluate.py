"""`manymill evaluate`: metrics of a model on labelled files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from manymill.cli import options
from manymill.cli.output import show, show_json


@click.command()
@options.run
@options.files
@options.text
@options.label
@options.reading
@options.threads
@options.json
def evaluate(
    run: Path,
    files: tuple[str, ...],
    text: str | None,
    label: str | None,
    threads: int | None,
    json: bool,
    **reading: Any,
) -> None:
    """Evaluate the model of RUN on labelled FILES: accuracy, F1, metrics by class, confusions."""
    from manymill.cli.model_input import open_forest, open_model, plan_for, tables_for
    from manymill.engine.local import available_threads
    from manymill.evaluate import evaluate as evaluate_plan

    threads = threads or available_threads()
    evaluation: Any
    if (forest := open_forest(run, threads)) is not None:
        from manymill.evaluate.forests import evaluate_tables

        evaluation = evaluate_tables(forest, tables_for(list(files), text=text, label=label, **reading))
    else:
        model = open_model(run)
        plan = plan_for(model, list(files), text=text, label=label, labelled=True, **reading)
        evaluation = evaluate_plan(model, plan, threads=threads)
    if json:
        show_json(evaluation.to_json())
    else:
        show(evaluation.to_text())
