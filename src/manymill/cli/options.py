"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

Files = Annotated[
    list[str],
    typer.Argument(metavar="FILES...", help="Files, globs, folders, URLs, or - for standard input."),
]
Text = Annotated[
    str | None, typer.Option("--text", metavar="COLUMN", help="Column of the text; guessed if not given.")
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="Column of the label; guessed if not given.")
]
Weight = Annotated[
    str | None, typer.Option("--weight", metavar="COLUMN", help="Column of the rows' weights.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="jsonl, csv, tsv, parquet, fasttext, folders or reviews; told from the name if not given.",
    ),
]
Encoding = Annotated[str, typer.Option("--encoding", help="Encoding of text files.")]
Classes = Annotated[
    str | None,
    typer.Option("--classes", metavar="A,B,C", help="Labels to learn; other rows are left out as bad."),
]
MaxRecord = Annotated[
    str, typer.Option("--max-record", metavar="SIZE", help="Longer records are left out as bad.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads; all processors if not given.")
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON records to stdout.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a model folder.")]

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def parse_bytes(text: str) -> int:
    """A number of bytes: ``2GB``, ``512 MiB``, ``1500000``.

    Raises
    ------
    typer.BadParameter
        If it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", text.lower())
    if not match:
        raise typer.BadParameter(f"{text!r} is no size: write 2GB, 512MiB, or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2] or ""])
