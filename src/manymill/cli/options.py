"""Options and option types that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Size(click.ParamType[int]):
    """A number of bytes: ``2GB``, ``512 MiB``, ``1500000``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", value.lower())
        if not match or (match[3] and not match[2]):
            self.fail(f"{value!r} is not a size: write 2GB, 512MiB, or a number of bytes", param, ctx)
        n_bytes = int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2]])
        if n_bytes < 1:
            self.fail("a size must be 1 byte or more", param, ctx)
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


class Encoding(click.ParamType[str]):
    """The name of an encoding that Python supports."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The given name."""
        try:
            "".encode(value)
        except (LookupError, ValueError):
            self.fail(f"{value!r} is not an encoding; use utf-8, latin-1, cp1252, ...", param, ctx)
        return str(value)


def combined(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator; help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


run = click.argument("run", type=click.Path(path_type=Path))
files = click.argument("files", nargs=-1, required=True)
text = click.option("--text", metavar="COLUMN", help="Column of the text; guessed if not given.")
label = click.option("--label", metavar="COLUMN", help="Column of the label; guessed if not given.")
threads = click.option("--threads", type=click.IntRange(1), help="Threads; all processors if not given.")
engine = click.option(
    "--engine",
    metavar="ENGINE",
    help="Engine: threads (or their number), processes, processes:4, dask://cluster.json, dask://host:port.",
)
overwrite = click.option(
    "--overwrite",
    is_flag=True,
    help="Overwrite files that manymill did not write or that were changed since; never an input file.",
)
stall_seconds = click.option(
    "--stall-seconds",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Processes, clusters: replace a worker without a heartbeat for so long; 45 if not given, inf: never.",
)
json = click.option("--json", is_flag=True, help="Write JSON records to stdout.")

# Options of reading files.
reading = combined(
    click.option(
        "--format",
        type=click.Choice(["jsonl", "csv", "tsv", "parquet", "fasttext", "reviews", "folder"]),
        metavar="FORMAT",
        help="jsonl, csv, tsv, parquet, fasttext, reviews or folder; detected if not given.",
    ),
    click.option(
        "--encoding", type=Encoding(), default="utf-8", show_default=True, help="Encoding of text files."
    ),
    click.option("--strict", is_flag=True, help="Stop at the first bad row."),
    click.option(
        "--max-record",
        "max_record_bytes",
        type=Size(),
        default="64MiB",
        show_default=True,
        help="Longer records are skipped as bad.",
    ),
    click.option(
        "--max-decompressed",
        "max_decompressed_bytes",
        type=Size(),
        help="Stop at a compressed file with more data, such as 100GB; no limit if not given.",
    ),
)
