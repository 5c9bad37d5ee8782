"""Safe display of text and URLs from untrusted data.

Labels, column names, values and file names come from data. Printed unchanged, they could move the cursor, set the title
of a terminal, reverse the direction of a line, or fill the screen: messages and tables escape and truncate them.

A URL may contain a user name and a password before the host, and tokens and signatures in its query or fragment. None
of these leaves the process: messages and files contain only the public part, `public_url`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Characters of a value in a message: about one line of a terminal.
LIMIT = 80
# Names of a list in a message.
_MAX_NAMES = 20
_ELLIPSIS = "…"


def escaped(text: object) -> str:
    r"""Return the text with a Python escape (``\x1b``, ``\n``, ``\u202e``) for every character that is not printable.

    Backslashes are not escaped, so escaping twice changes nothing. Lone surrogates, which represent bytes of file names
    that are not UTF-8, are escaped as well: the result can always be encoded.

    Parameters
    ----------
    text : object
        Converted with ``str``.
    """
    string = str(text)
    return string if string.isprintable() else "".join(map(_escape, string))


def shortened(text: object, limit: int = LIMIT) -> str:
    """Return the text escaped and truncated to ``limit`` characters; then an ellipsis and its full length follow.

    Parameters
    ----------
    text : object
        Converted with ``str``.
    limit : int
        Maximum number of characters, 1 or more.
    """
    string = str(text)
    n = _n_fitting(string, limit)
    return escaped(string) if n == len(string) else f"{escaped(string[:n])}{_ELLIPSIS} ({_length(string)})"


def quoted(text: object, limit: int = LIMIT) -> str:
    """Return the ``repr`` of the text truncated to ``limit`` characters; then an ellipsis and its full length follow.

    Parameters
    ----------
    text : object
        Converted with ``str``.
    limit : int
        Maximum number of characters between the quotes, 1 or more.
    """
    string = str(text)
    n = _n_fitting(string, limit)
    shown = repr(string[:n])
    if n == len(string):
        return shown
    return f"{shown[:-1]}{_ELLIPSIS}{shown[-1]} ({_length(string)})"


def listed(names: Iterable[object], limit: int = 4 * LIMIT) -> str:
    """Return at most 20 names, each escaped and truncated, separated by commas; then an ellipsis and their number.

    Parameters
    ----------
    names : iterable of object
        Names to list.
    limit : int
        Number of characters after which no further name is added.
    """
    names = list(names)
    shown: list[str] = []
    while len(shown) < min(_MAX_NAMES, len(names)) and sum(map(len, shown)) < limit:
        shown.append(shortened(names[len(shown)]))
    more = f", {_ELLIPSIS} ({len(names):,} in all)" if len(shown) < len(names) else ""
    return ", ".join(shown) + more


def lines(texts: Iterable[object]) -> str:
    """Return each text as one escaped line: a line break in a text cannot imitate another message."""
    return "\n".join(map(escaped, texts))


def _escape(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def _n_fitting(string: str, limit: int) -> int:
    """Return how many of the first characters take at most ``limit`` characters when escaped."""
    width = 0
    for n, character in enumerate(string[: limit + 1]):
        width += len(_escape(character))
        if width > limit:
            return n
    return len(string)


def _length(string: str) -> str:
    return f"{len(string):,} characters"


# scheme://user:password@host/path?query#fragment. In a message, quotes, brackets and blanks end a URL; in a chain of
# URLs, :: does. `Path` collapses the two slashes into one.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)(?P<slashes>://?)"
    r"(?P<user>[^\s/?#<>]*@)?"
    r"(?P<location>(?:(?!::[A-Za-z][A-Za-z0-9+.-]*://)[^\s?#'\"<>])*)"
    r"(?P<rest>[?#][^\s'\"<>]*)?"
)

# A password that contains an unquoted / or ?: the text after the colon is not a port number, and an @ follows.
_UNQUOTED_PASSWORD = re.compile(r"[^/@:]*:(?!:|\d*(/|$))\S*@")

# Schemes whose part before the @ is a container, not a user.
_CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
# In other schemes, ? and # are ordinary characters of a file name, unless parameters follow.
_WITH_QUERY = frozenset({"http", "https", "ftp", "ftps", "webdav", "webdavs", "dav", "davs"})


def public_url(text: str) -> str:
    """Return the text with every URL in it reduced to scheme, host and path.

    Parameters
    ----------
    text : str
        A URL, a chain of URLs (``zip://a.csv::https://…``), or any text that may contain some.

    Returns
    -------
    str
        Unchanged if nothing in it is secret; text without ``:/`` never changes.

    Examples
    --------
    >>> public_url("https://me:password@example.org/a.csv?token=123")
    'https://example.org/a.csv'
    >>> public_url("s3://bucket/part-?.csv")
    's3://bucket/part-?.csv'
    """
    return _URL.sub(_public, text) if ":/" in text else text


def has_credentials(url: str) -> bool:
    """Return whether a URL has parts that :func:`public_url` removes."""
    return public_url(url) != url


def _public(url: re.Match[str]) -> str:
    scheme = url["scheme"].lower()
    user, location, rest = url["user"] or "", url["location"], url["rest"] or ""
    if url["slashes"] == ":/" and scheme not in _WITH_QUERY and ":" not in user:
        return url[0]  # a folder whose name ends with a colon
    if not user and (password := _UNQUOTED_PASSWORD.match(location + rest)):
        return _public(_URL.match(f"{url['scheme']}{url['slashes']}{(location + rest)[password.end() :]}"))  # type: ignore[arg-type]
    if not (scheme in _CONTAINERS and ":" not in user):
        user = ""
    if scheme in _WITH_QUERY or "=" in rest:
        # In a chain, the next URL follows the query of this one.
        _, chained, after = rest.partition("::")
        # So does the punctuation of a sentence.
        end = re.search(r"[:,;.]*$", rest)[0] if url.string[url.end() :][:1].isspace() else ""  # type: ignore[index]
        rest = chained + public_url(after) if chained else end
    return f"{url['scheme']}{url['slashes']}{user}{location}{rest}"
