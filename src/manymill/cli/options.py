"""Options and option types that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from manymill.errors import SettingsError
from manymill.validation import any_of

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Size(click.ParamType[int]):
    """A number of bytes: ``2GB``, ``512 MiB``, ``1500000``."""

    name = "size"
    expected = "1 byte or more, such as 2GB, 512MiB or 1500000"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", value.lower())
        if not match or (match[3] and not match[2]):
            self.fail(self.expected, param, ctx)
        n_bytes = int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2]])
        if n_bytes < 1:
            self.fail(self.expected, param, ctx)
        return n_bytes


def size_text(n_bytes: int) -> str:
    """A number of bytes as :class:`Size` reads it: ``48MiB``."""
    return f"{n_bytes >> 20}MiB" if n_bytes % (1 << 20) == 0 else str(n_bytes)


class ChoiceOrNone(click.Choice[str]):
    """One of some strings, or ``none`` for None."""

    def __init__(self, choices: Iterable[str]) -> None:
        super().__init__([*choices, "none"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The string, or None."""
        chosen = super().convert(value, param, ctx)
        return None if chosen == "none" else chosen


class Option(click.Option):
    """An option that reports an invalid value in the same form as every other parameter."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """The value in the option's type.

        Raises
        ------
        SettingsError
            If it is invalid.
        """
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter:
            if (expected := _expected(self.type)) is None or self.name is None:
                raise
            raise SettingsError.invalid(self.name, value, expected) from None


option = partial(click.option, cls=Option)


def _expected(kind: click.ParamType[Any]) -> str | None:
    """The values of a type, as messages describe them; None to use the message of click."""
    if isinstance(kind, click.Choice):
        return any_of(kind.choices).replace("\\\\", "\\")  # as it is typed
    name = {"integer": "an integer", "float": "a number"}.get(kind.name.removesuffix(" range"))
    if name is None or not isinstance(kind, click.IntRange | click.FloatRange):
        return getattr(kind, "expected", name)
    return f"{name} above {kind.min}" if kind.min_open else f"{name} of {kind.min:g} or more"


def combined(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator; help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


run = click.argument("run", type=click.Path(path_type=Path))
files = click.argument("files", nargs=-1, required=True)
text = option("--text", metavar="COLUMN", help="Column of the text; guessed if not given.")
label = option("--label", metavar="COLUMN", help="Column of the label; guessed if not given.")
threads = option("--threads", type=click.IntRange(1), help="Threads; all processors if not given.")
engine = option(
    "--engine",
    metavar="ENGINE",
    help="Engine: threads (or their number), processes, processes:4, dask://cluster.json, dask://host:port.",
)
overwrite = option(
    "--overwrite",
    is_flag=True,
    help="Overwrite files that manymill did not write or that were changed since; never an input file.",
)
stall_seconds = option(
    "--stall-seconds",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Processes, clusters: replace a worker without a heartbeat for so long; 45 if not given, inf: never.",
)
json = option("--json", is_flag=True, help="Write JSON records to stdout.")

# Options of reading files.
reading = combined(
    option(
        "--format",
        type=click.Choice(["jsonl", "csv", "tsv", "parquet", "fasttext", "reviews", "folder"]),
        metavar="FORMAT",
        help="jsonl, csv, tsv, parquet, fasttext, reviews or folder; detected if not given.",
    ),
    option("--encoding", default="utf-8", show_default=True, help="Encoding of text files."),
    option("--strict", is_flag=True, help="Stop at the first bad row."),
    option(
        "--max-record",
        "max_record_bytes",
        type=Size(),
        default="64MiB",
        show_default=True,
        help="Longer records are skipped as bad.",
    ),
    option(
        "--max-decompressed",
        "max_decompressed_bytes",
        type=Size(),
        help="Stop at a compressed file with more data, such as 100GB; no limit if not given.",
    ),
)
