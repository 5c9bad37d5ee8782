"""Output of the command line: lines for people and JSON for programs, both safe on a terminal.

Labels, file names, settings and messages may come from untrusted data. All output passes through here, so that none of
it can move the cursor, set a title or show a password.
"""

from __future__ import annotations

import json
from typing import Any

import click

from manymill.display import escaped, public_url


def printable(text: object) -> str:
    """Escape all characters that are not printable, except line ends.

    Use `manymill.display.lines` for lines that contain text from data.
    """
    return "\n".join(escaped(line) for line in public_url(str(text)).split("\n"))


def say(text: object) -> None:
    """Print progress or a message on stderr, always as one line."""
    click.echo(escaped(public_url(str(text))), err=True)


def say_lines(text: object) -> None:
    """Print lines on stderr."""
    click.echo(printable(text), err=True)


def show(text: object) -> None:
    """Print a result on stdout."""
    click.echo(printable(text))


def as_json(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON that is safe on a terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable():
        return text
    # JSON does not escape control characters outside ASCII and marks of direction; a terminal may interpret them.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def show_json(value: Any, *, indent: int | None = None) -> None:
    """Print a result as JSON on stdout."""
    click.echo(as_json(value, indent=indent))
