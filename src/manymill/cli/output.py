"""What the command line prints: people's lines and machines' JSON, both safe on a terminal.

Labels, file names, settings and messages come from others. Every line goes through here, so that none of them can
move the cursor, set a title or show a password.
"""

from __future__ import annotations

import json
from typing import Any

import click

from manymill.display import escaped, public_url


def printable(text: object) -> str:
    """Lines that are safe to print: line ends stay, all other characters that are not printable are escaped.

    Whoever makes several lines with text from data in them makes them with `manymill.display.lines`.
    """
    return "\n".join(escaped(line) for line in public_url(str(text)).split("\n"))


def say(text: object) -> None:
    """Print progress or a message to people, on stderr: one line, whatever the text holds."""
    click.echo(escaped(public_url(str(text))), err=True)


def say_lines(text: object) -> None:
    """Print lines to people, on stderr."""
    click.echo(printable(text), err=True)


def show(text: object) -> None:
    """Print the result that people asked for, on stdout."""
    click.echo(printable(text))


def as_json(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON text that reads back the same and is safe on a terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable():
        return text
    # JSON leaves control characters beyond ASCII and marks of direction as they are; a terminal may obey them.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def show_json(value: Any, *, indent: int | None = None) -> None:
    """Print a result for machines, on stdout."""
    click.echo(as_json(value, indent=indent))
