"""What the hashes of a document depend on besides its text, and the hasher of documents in this form.

::

    document ──strip_accents, in Python, only if it is set──► _core.Hasher ──► hashes or rows
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.constants import WORD_PATTERN, CharAnalyzer, Norm, StripAccents, Value

Documents = Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]]  # in Arrow layout


@dataclass(frozen=True, kw_only=True)
class Form:
    """Parameters that turn a document into hashes, named as in scikit-learn's vectorizers.

    At least one of the two ranges is not None.

    Parameters
    ----------
    ngram_range : tuple of int or None
        Minimum and maximum number of words of an n-gram, both inclusive; None for no features of words.
    token_pattern : str or None
        What a word is: ``WORD_PATTERN``, or None for the rules of Unicode, where combining marks, emoji, runs of ``!``
        and ``?``, and letters of scripts without spaces are words too.
    stop_words : tuple of str
        Words to leave out before n-grams are made.
    strip_accents : {"ascii", "unicode"} or None
        How accents are removed after lower-casing.
    lowercase : bool
        Whether documents are lower-cased first.
    char_ngram_range : tuple of int or None
        Minimum and maximum number of characters of an n-gram, both inclusive; None for no features of characters.
    char_analyzer : {"char_wb", "char"}
        Whether n-grams of characters end at the ends of a word or of the document.
    """

    ngram_range: tuple[int, int] | None
    token_pattern: str | None
    stop_words: tuple[str, ...]
    strip_accents: StripAccents | None
    lowercase: bool
    char_ngram_range: tuple[int, int] | None
    char_analyzer: CharAnalyzer

    @property
    def form(self) -> Form:
        """These parameters alone: those of a subclass without its own."""
        return Form(**{field.name: getattr(self, field.name) for field in fields(Form)})


def hasher(form: Form) -> _core.Hasher:
    """The core's hasher of documents whose accents are stripped already: see :class:`DocumentHasher`."""
    return _core.Hasher.of_features(
        ngram_range=form.ngram_range,
        char_ngram_range=form.char_ngram_range,
        char_analyzer=form.char_analyzer,
        token_rule="scikit-learn" if form.token_pattern == WORD_PATTERN else "unicode",
        # Accents are stripped from lower-cased text, which may give upper-case letters: "™" becomes "TM".
        lowercase=form.lowercase and form.strip_accents is None,
        stop_words=form.stop_words,
    )


def accent_stripper(strip_accents: StripAccents, *, lowercase: bool) -> Callable[[str], str]:
    """The function that lower-cases a text if asked, and strips its accents, as scikit-learn's vectorizers do."""
    from sklearn.feature_extraction.text import strip_accents_ascii, strip_accents_unicode

    strip = strip_accents_ascii if strip_accents == "ascii" else strip_accents_unicode

    def stripped(text: str) -> str:
        lowered = text.lower() if lowercase else text
        if text.isascii():
            return lowered
        result: str = strip(lowered)
        return result

    return stripped


class DocumentHasher:
    """Thread-safe hasher of documents in Arrow layout.

    Parameters
    ----------
    form : Form
    """

    def __init__(self, form: Form) -> None:
        self._hasher = hasher(form)
        accents = form.strip_accents
        self._strip = None if accents is None else accent_stripper(accents, lowercase=form.lowercase)

    def hashes(
        self, documents: Documents, chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> _core.HashedBatch:
        """The hashes of selected documents: document ``i`` is ``row_of[i]`` of chunk ``chunk_of[i]``.

        Raises
        ------
        ValueError
            If a document does not exist or is not UTF-8.
        """
        return self._hasher.hash_utf8(*self._prepared(documents, chunk_of, row_of))

    def rows(
        self,
        documents: Documents,
        chunk_of: NDArray[np.uint32],
        row_of: NDArray[np.uint32],
        n_features: int,
        *,
        value: Value,
        norm: Norm | None,
    ) -> _core.Rows:
        """The rows of the same hashes: see ``_core.Hasher.rows_utf8``."""
        selected = self._prepared(documents, chunk_of, row_of)
        return self._hasher.rows_utf8(*selected, n_features, value=value, norm=norm)

    def _prepared(
        self, documents: Documents, chunk_of: NDArray[np.uint32], row_of: NDArray[np.uint32]
    ) -> tuple[Documents, NDArray[np.uint32], NDArray[np.uint32]]:
        """The documents as they are, or copies of the selected ones without accents."""
        if self._strip is None:
            return documents, chunk_of, row_of
        texts = []
        for chunk, row in zip(chunk_of.tolist(), row_of.tolist(), strict=True):
            data, offsets = documents[chunk]
            text = data[offsets[row] : offsets[row + 1]].tobytes().decode()
            texts.append(self._strip(text).encode())
        starts = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        prepared = np.frombuffer(b"".join(texts), np.uint8), starts
        return [prepared], np.zeros_like(row_of), np.arange(len(row_of), dtype=np.uint32)


def differing(form: Form, other: Form) -> list[str]:
    """The names of the parameters in which two forms differ."""
    return [field.name for field in fields(Form) if getattr(form, field.name) != getattr(other, field.name)]


def word_form(ngram_range: tuple[int, int] = (1, 1), *, lowercase: bool = True) -> Form:
    """The form of version 0.1: words of two and more characters."""
    return Form(
        ngram_range=ngram_range,
        token_pattern=WORD_PATTERN,
        stop_words=(),
        strip_accents=None,
        lowercase=lowercase,
        char_ngram_range=None,
        char_analyzer="char_wb",
    )
