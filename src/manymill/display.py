"""Text from data as it is shown to people: on one line, without control characters, cut to a length.

Labels, column names, values and file names come from others. Printed as they are they may move the cursor, set the
title of a terminal, turn the direction of a line, or fill the screen. Messages and tables show them by these functions.

URLs without their credentials: what may be printed, logged and written to files.

A URL can carry a user name and a password before the host, and tokens and signatures in its query or fragment. None of
these leaves the process: messages and files name the public part of a URL, and whoever needs the rest asks for the
source again.
"""

from __future__ import annotations

import re
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


# scheme://user:password@host/path?query#fragment. Inside of a message quotes, brackets and blanks end a URL; in a chain
# of URLs :: does. `Path` makes one slash of the two.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)(?P<slashes>://?)"
    r"(?P<user>[^\s/?#<>]*@)?"
    r"(?P<place>(?:(?!::[A-Za-z][A-Za-z0-9+.-]*://)[^\s?#'\"<>])*)"
    r"(?P<rest>[?#][^\s'\"<>]*)?"
)

# A password with an unquoted / or ? in it: what looks like a port is no number, and an @ follows.
_TORN_PASSWORD = re.compile(r"[^/@:]*:(?!:|\d*(/|$))\S*@")

# Here the part before the @ is a container, not a user.
_CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
# Here ? and # are ordinary characters of a file name, unless parameters follow.
_WITH_QUERY = frozenset({"http", "https", "ftp", "ftps", "webdav", "webdavs", "dav", "davs"})


def public_url(text: str) -> str:
    """The text with every URL in it cut down to scheme, host and path.

    Parameters
    ----------
    text : str
        A URL, a chain of URLs (``zip://a.csv::https://…``), or any text that may mention some.

    Returns
    -------
    str
        The same text if nothing in it is secret; text without ``:/`` never changes.

    Examples
    --------
    >>> public_url("https://me:password@example.org/a.csv?token=123")
    'https://example.org/a.csv'
    >>> public_url("s3://bucket/part-?.csv")
    's3://bucket/part-?.csv'
    """
    return _URL.sub(_public, text) if ":/" in text else text


def has_credentials(url: str) -> bool:
    """Whether a URL has parts that :func:`public_url` leaves out."""
    return public_url(url) != url


def _public(url: re.Match[str]) -> str:
    scheme = url["scheme"].lower()
    user, place, rest = url["user"] or "", url["place"], url["rest"] or ""
    if url["slashes"] == ":/" and scheme not in _WITH_QUERY and ":" not in user:
        return url[0]  # a folder whose name ends with a colon
    if not user and (torn := _TORN_PASSWORD.match(place + rest)):
        return _public(_URL.match(f"{url['scheme']}{url['slashes']}{(place + rest)[torn.end() :]}"))  # type: ignore[arg-type]
    if not (scheme in _CONTAINERS and ":" not in user):
        user = ""
    if scheme in _WITH_QUERY or "=" in rest:
        # In a chain the next URL follows the query of this one.
        _, chained, after = rest.partition("::")
        # So does the punctuation of a sentence.
        end = re.search(r"[:,;.]*$", rest)[0] if url.string[url.end() :][:1].isspace() else ""  # type: ignore[index]
        rest = chained + public_url(after) if chained else end
    return f"{url['scheme']}{url['slashes']}{user}{place}{rest}"
