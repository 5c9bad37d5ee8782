"""Table of the character properties of the running Python: word characters, lower case, casing.

The core has the same bytes in a file for known Unicode versions (``rust/tables``); ``rust/src/text/table.rs`` documents
the layout. Word characters and case come from ``re`` and ``str.lower``, since the core has to reproduce these two;
combining marks come from ``unicodedata``.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

_WORD, _LOWER_IS_WORD, _CASED, _IGNORABLE, _EXPANDS, _MARK = (1 << bit for bit in range(21, 27))
_DELTA = (1 << 21) - 1


def character_table() -> bytes:
    """Build the table of the running Python; takes about a second.

    Returns
    -------
    bytes
        Palette of distinct entries, runs over all code points, characters whose lower case has several characters.
    """
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    entries = list(_entries(characters))
    palette = {entry: index for index, entry in enumerate(dict.fromkeys(entries))}
    numbers = [len(palette), *palette]
    for entry, run in groupby(entries):
        numbers += [sum(1 for _ in run), palette[entry]]
    expansions = [c for c in characters if len(c.lower()) > 1]
    numbers.append(len(expansions))
    for character in expansions:
        numbers += [ord(character), len(character.lower()), *map(ord, character.lower())]
    return b"".join(map(_variable_length, numbers))


def _entries(characters: list[str]) -> Iterator[int]:
    """One integer per character: the distance to its lower case, and flags."""
    word = bytearray(len(characters))
    for match in re.finditer(r"\w+", "".join(characters)):
        word[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    # A sigma after a character is final if the character is cased; after "A" and a character also if the
    # character is ignored.
    cased = _ends_in_final_sigma(characters)
    cased_or_ignorable = _ends_in_final_sigma("A" + character for character in characters)
    for code, character in enumerate(characters):
        lower = character.lower()
        single = len(lower) == 1
        entry = (ord(lower) - code) & _DELTA if single else _EXPANDS
        entry |= _WORD * word[code] | _LOWER_IS_WORD * (single and word[ord(lower)])
        entry |= _MARK * unicodedata.category(character).startswith("M")
        entry |= _CASED * cased[code] | _IGNORABLE * (cased_or_ignorable[code] and not cased[code])
        yield entry


def _ends_in_final_sigma(beginnings: Iterable[str]) -> list[bool]:
    return [(beginning + "Σ").lower().endswith("ς") for beginning in beginnings]


def _variable_length(number: int) -> bytes:
    """Seven bits per byte, the lowest first; the eighth bit marks that more bytes follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
