"""`manymill search`: search for the best settings of a text model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from manymill.cli import options, output
from manymill.cli.output import say

if TYPE_CHECKING:
    from manymill.search.handle import SearchHandle
    from manymill.search.results import RankedCandidate

# Options of reading, by their names in [data]; without the option the value of the file is used.
_READING = ("format", "encoding", "strict", "max_record_bytes", "max_decompressed_bytes")
# Maximum number of reasons of failures that are shown.
_MAX_REASONS = 3


@click.command()
@click.argument("files", nargs=-1, required=True)
@options.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@options.text
@options.label
@options.reading
@options.option("--n-trials", type=click.IntRange(1), help="Number of candidates; 100 if not given.")
@options.option("--cv", type=click.IntRange(2), help="Number of splits; 5 if not given.")
@options.option(
    "--scoring",
    metavar="METRIC",
    help="Metric to maximise, by its name in scikit-learn, such as accuracy or f1_macro.",
)
@options.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="Start no evaluation after so many seconds."
)
@options.option(
    "--halving",
    is_flag=True,
    default=None,
    help="Successive halving: start candidates on few rows, give the best ones more.",
)
@options.engine
@options.stall_seconds
@options.json
@click.pass_context
def search(
    context: click.Context,
    /,
    files: tuple[str, ...],
    out: Path,
    text: str | None,
    label: str | None,
    engine: str | None,
    stall_seconds: float | None,
    json: bool,
    **search_options: Any,
) -> None:
    """Search settings on FILES of labelled text, or as a TOML file specifies; save the best model in the run folder.

    The same command resumes a search that was stopped. `manymill watch` shows it, `manymill abort` stops it.
    """
    from manymill.cli.progress import PLAIN_SECONDS
    from manymill.engine.selection import engine_name
    from manymill.search.config import read_config
    from manymill.search.run import recipe_verdict, run_search

    if len(files) > 1 and any(name.endswith(".toml") for name in files):
        raise click.UsageError(
            "give either one TOML file or files of text: the TOML file names its own, as source in [data]"
        )
    chosen = engine_name(engine, stall_seconds=stall_seconds)
    is_config = len(files) == 1 and files[0].endswith(".toml")
    config: dict[str, Any] = read_config(files[0]) if is_config else {"data": {"source": list(files)}}
    reading = {name: search_options.pop(name) for name in _READING}
    for name in _READING:
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            del reading[name]
    # Options take precedence over the file.
    for table, values in (("data", {"text": text, "label": label, **reading}), ("search", search_options)):
        config[table] = config.get(table, {}) | {n: value for n, value in values.items() if value is not None}

    def watch(handle: SearchHandle) -> None:
        n_shown = 0
        try:
            over = False
            while not over:
                over = handle.ends_within(PLAIN_SECONDS)
                for note in handle.notes[n_shown:]:
                    say(note)
                    n_shown += 1
                if not (json or over):
                    say(handle.progress())
        except KeyboardInterrupt:
            handle.abort(now=True)
            handle.ends_within(None)
            _show_end(handle, json=json)
            raise
        handle.wait()  # raises its error
        _show_end(handle, json=json)

    searched = run_search(config, out, engine=chosen, watch=watch)
    if not json:
        if verdict := recipe_verdict(searched):
            say(f"recipe  {verdict}")
        say(f"saved   {out / 'model'}")


def _show_end(handle: SearchHandle, *, json: bool) -> None:
    """Show ranking and failures, before the best candidate is fitted on all rows."""
    if not json:
        say(handle.progress())
    _show_ranking(handle.ranking(), json=json)
    for failure in _failures(handle):
        say(f"warning {failure}")


def _failures(handle: SearchHandle) -> list[str]:
    """Each reason of failures, with one of its candidates."""
    params = handle.policy.params
    by_reason: dict[str, list[int]] = {}
    for failure in handle.failures():
        by_reason.setdefault(failure.error, []).append(failure.task.trial)
    lines = [
        f"{len(trials):,} evaluation{'s' * (len(trials) != 1)} failed, such as {params[trials[0]]}: {reason}"
        for reason, trials in by_reason.items()
    ]
    more = len(lines) - _MAX_REASONS
    return [*lines[:_MAX_REASONS], *([f"... and {more:,} other reasons"] if more > 0 else [])]


def show(run: Path, *, json: bool) -> None:
    """Show the ranking of a search in another process."""
    from manymill.search.journal import read_status

    now = read_status(run)
    if not json:
        say(now)
    _show_ranking(now.ranking(), json=json)


def _show_ranking(rows: list[RankedCandidate], *, json: bool) -> None:
    if not json:
        from manymill.search.results import ranking_text

        if rows:
            output.show(ranking_text(rows))
        return
    from dataclasses import asdict

    for row in rows:
        output.show_json(_plain(asdict(row)))


def _plain(value: Any) -> Any:
    """The value with JSON types only: numbers that are not finite become null, other types strings."""
    import math

    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
