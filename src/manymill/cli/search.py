"""`manymill search`: the best settings for a model of text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from manymill.cli import options, output
from manymill.cli.output import say
from manymill.cli.progress import PLAIN_SECONDS

if TYPE_CHECKING:
    from manymill.search.handle import SearchHandle
    from manymill.search.results import RankedCandidate

# Options of reading, by their names in [data]; those that are not given leave the file's.
_READING = ("format", "encoding", "strict", "max_record_bytes", "max_decompressed_bytes")
# Of all reasons to fail that are told.
_REASONS = 3


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@options.text
@options.label
@options.reading
@click.option("--n-trials", type=click.IntRange(1), help="Candidates; 100 if nothing is said.")
@click.option("--cv", type=click.IntRange(2), help="Splits; 5 if nothing is said.")
@click.option(
    "--scoring", metavar="METRIC", help="What is best, in scikit-learn's words; accuracy, or f1_macro."
)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="After so long nothing more is begun."
)
@click.option(
    "--halving", is_flag=True, default=None, help="Candidates begin with few rows, the best get more."
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
    **asked: Any,
) -> None:
    """Try settings on FILES of labelled text, or what a TOML file tells of; leave the best model in the run folder.

    The same command goes on with a search that was stopped. `manymill watch` shows it, `manymill abort` ends it.
    """
    from manymill.engine.selection import engine_name
    from manymill.search.config import read_config
    from manymill.search.run import run_search

    if len(files) > 1 and any(name.endswith(".toml") for name in files):
        raise click.UsageError(
            "a TOML file stands alone: it names the files of text itself, as source in [data]"
        )
    named = engine_name(engine, stall_seconds=stall_seconds)
    is_config = len(files) == 1 and files[0].endswith(".toml")
    config: dict[str, Any] = read_config(files[0]) if is_config else {"data": {"source": list(files)}}
    given = {name: asked.pop(name) for name in _READING}
    for name in _READING:
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            del given[name]
    # What the command says goes before what the file says.
    for table, values in (("data", {"text": text, "label": label, **given}), ("search", asked)):
        config[table] = config.get(table, {}) | {n: value for n, value in values.items() if value is not None}

    def watch(handle: SearchHandle) -> None:
        told = 0
        try:
            over = False
            while not over:
                over = handle.ends_within(PLAIN_SECONDS)
                for note in handle.notes[told:]:
                    say(note)
                    told += 1
                if not (json or over):
                    say(handle.progress())
        except KeyboardInterrupt:
            handle.abort(now=True)
            handle.ends_within(None)
            _tell_end(handle, json=json)
            raise
        handle.wait()  # for an error
        _tell_end(handle, json=json)

    run_search(config, out, engine=named, watch=watch)
    if not json:
        say(f"saved   {out / 'model'}")


def _tell_end(handle: SearchHandle, *, json: bool) -> None:
    """What came of it: before the best is fitted on all rows, which takes its time and may be stopped."""
    if not json:
        say(handle.progress())
    _tell(handle.ranking(), json=json)
    for told in _failures(handle):
        say(f"warning {told}")


def _failures(handle: SearchHandle) -> list[str]:
    """Each reason once, with one of those who failed for it."""
    params = handle.policy.params
    by_reason: dict[str, list[int]] = {}
    for failure in handle.failures():
        by_reason.setdefault(failure.error, []).append(failure.task.trial)
    lines = [
        f"{len(trials):,} evaluation{'s' * (len(trials) != 1)} failed, such as {params[trials[0]]}: {reason}"
        for reason, trials in by_reason.items()
    ]
    more = len(lines) - _REASONS
    return [*lines[:_REASONS], *([f"... and {more:,} other reasons"] if more > 0 else [])]


def show(run: Path, *, json: bool) -> None:
    """The ranking of a search of another process."""
    from manymill.search.journal import read_status

    now = read_status(run)
    if not json:
        say(now)
    _tell(now.ranking(), json=json)


def _tell(rows: list[RankedCandidate], *, json: bool) -> None:
    if not json:
        from manymill.search.results import ranking_text

        if rows:
            output.show(ranking_text(rows))
        return
    from dataclasses import asdict

    for row in rows:
        output.show_json(_plain(asdict(row)))


def _plain(told: Any) -> Any:
    """What JSON knows: a number that is none is null, and what has no name in JSON is told in words."""
    import math

    if isinstance(told, dict):
        return {str(name): _plain(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [_plain(value) for value in told]
    if isinstance(told, float):
        return told if math.isfinite(told) else None
    return told if told is None or isinstance(told, str | int) else str(told)
