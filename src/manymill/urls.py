"""URLs without their credentials: what may be printed, logged and written to files.

A URL can carry a user name and a password before the host, and tokens and signatures in its query or fragment. None of
these leaves the process: messages and files name the public part of a URL, and whoever needs the rest asks for the
source again.
"""

from __future__ import annotations

import re

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
