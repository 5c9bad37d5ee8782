"""Text from data as it is shown to people: on one line, without control characters, cut to a length.

Labels, column names, values and file names come from others. Printed as they are they may move the cursor, set the
title of a terminal, turn the direction of a line, or fill the screen. Messages and tables show them by these functions.
"""

from __future__ import annotations

from collections.abc import Iterable

# What a message shows of a value: about one line of a terminal.
LIMIT = 80
# Names of a list that a message shows.
_NAMES = 20
_ELLIPSIS = "…"


def escaped(text: object) -> str:
    r"""The text with a Python escape (``\x1b``, ``\n``, ``\u202e``) for every character that is not printable.

    Backslashes stay as they are, so escaping twice changes nothing. Lone surrogates, which stand for bytes of file
    names that are not UTF-8, are escaped as well: the result can always be encoded.

    Parameters
    ----------
    text : object
        A string; of anything else, its ``str``.
    """
    string = str(text)
    return string if string.isprintable() else "".join(map(_escape, string))


def shortened(text: object, limit: int = LIMIT) -> str:
    """The text escaped and cut to ``limit`` characters; an ellipsis and its full length follow if it is cut.

    Parameters
    ----------
    text : object
        A string; of anything else, its ``str``.
    limit : int
        Characters shown at most, 1 or more.
    """
    string = str(text)
    n = _that_fit(string, limit)
    return escaped(string) if n == len(string) else f"{escaped(string[:n])}{_ELLIPSIS} ({_length(string)})"


def quoted(text: object, limit: int = LIMIT) -> str:
    """The text as its ``repr``, cut to ``limit`` characters; an ellipsis and its full length follow if it is cut.

    Parameters
    ----------
    text : object
        A string; of anything else, its ``str``.
    limit : int
        Characters shown at most between the quotes, 1 or more.
    """
    string = str(text)
    n = _that_fit(string, limit)
    shown = repr(string[:n])
    if n == len(string):
        return shown
    return f"{shown[:-1]}{_ELLIPSIS}{shown[-1]} ({_length(string)})"


def listed(names: Iterable[object], limit: int = 4 * LIMIT) -> str:
    """Names with commas between them, each escaped and cut: 20 at most, then an ellipsis and how many there are.

    Parameters
    ----------
    names : iterable of object
        What to list.
    limit : int
        Characters after which no further name is begun.
    """
    names = list(names)
    shown: list[str] = []
    while len(shown) < min(_NAMES, len(names)) and sum(map(len, shown)) < limit:
        shown.append(shortened(names[len(shown)]))
    more = f", {_ELLIPSIS} ({len(names):,} in all)" if len(shown) < len(names) else ""
    return ", ".join(shown) + more


def lines(texts: Iterable[object]) -> str:
    """Each text as one line, escaped: a line end within it begins no line that looks like another message."""
    return "\n".join(map(escaped, texts))


def _escape(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def _that_fit(string: str, limit: int) -> int:
    """How many of the first characters take up to ``limit`` characters when they are escaped."""
    width = 0
    for n, character in enumerate(string[: limit + 1]):
        width += len(_escape(character))
        if width > limit:
            return n
    return len(string)


def _length(string: str) -> str:
    return f"{len(string):,} characters"
