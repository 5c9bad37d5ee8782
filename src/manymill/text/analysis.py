"""Divide the analysis of documents between the native core and Python.

::

    core_can_analyze   the core makes the n-grams of a ``str``; Python at most prepares the ``str``
    core_can_read      the core processes a document without any call of Python
    text_function      document → ``str``                    decoding, a preprocessor, accents
    token_function     document → tokens and their n-grams   everything else

Python functions are scikit-learn's own, so that they raise the same errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import index
from typing import Any

from sklearn.feature_extraction.text import HashingVectorizer as SklearnHashingVectorizer

from manymill._core import Hasher
from manymill.constants import STRIP_ACCENTS
from manymill.hash_form import accent_stripper
from manymill.text.sklearn_private import TOKEN_METHODS, word_ngrams

# Usual spellings of the pattern for words of two or more characters; a greedy match needs no boundary.
_WORDS = frozenset(
    flag + pattern
    for flag in ("(?u)", "")
    for pattern in (r"\b\w\w+\b", r"\w\w+", r"\b\w{2,}\b", r"\w{2,}", r"\b(\w\w+)\b", r"(\w\w+)")
)

# A subclass that overrides one of these expects it to be called.
_METHODS = (
    "build_analyzer",
    "build_preprocessor",
    "build_tokenizer",
    "decode",
    "get_stop_words",
    *TOKEN_METHODS,
)

# No document has that many words, so longer n-grams are equivalent to this length.
_LONGEST = 1 << 31


def core_can_analyze(vectorizer: SklearnHashingVectorizer) -> bool:
    """Whether the core can make the n-grams of a ``str``."""
    if not isinstance(vectorizer.analyzer, str) or _ngram_lengths(vectorizer.ngram_range) is None:
        return False
    words = vectorizer.tokenizer is None and vectorizer.token_pattern in _WORDS
    return (vectorizer.analyzer != "word" or words) and _unchanged(vectorizer)


def core_can_read(vectorizer: SklearnHashingVectorizer) -> bool:
    """Whether the core can make the tokens of a document that is a ``str`` without any call of Python."""
    return (
        core_can_analyze(vectorizer)
        and vectorizer.input == "content"
        and vectorizer.preprocessor is None
        and not vectorizer.strip_accents
    )


def core_hasher(vectorizer: SklearnHashingVectorizer, *, lowercase: bool) -> Hasher:
    """The core's analyzer; only if :func:`core_can_analyze` is true."""
    stop_words = vectorizer.get_stop_words() if vectorizer.analyzer == "word" else None
    return Hasher(
        analyzer=vectorizer.analyzer,
        ngram_range=_ngram_lengths(vectorizer.ngram_range) or (1, 1),
        lowercase=lowercase,
        stop_words=[word for word in stop_words or () if isinstance(word, str)],
    )


def text_function(vectorizer: SklearnHashingVectorizer) -> tuple[Callable[[Any], str], bool]:
    """The function that prepares the text of a document, and whether the core has to lower-case it.

    The function raises the errors of scikit-learn for a document.
    """
    decode, preprocess = vectorizer.decode, vectorizer.build_preprocessor()

    def plain(document: Any) -> str:
        text = decode(document)
        return text if isinstance(text, str) else _text(preprocess(text))

    def preprocessed(document: Any) -> str:
        return _text(preprocess(decode(document)))

    if vectorizer.preprocessor is not None:
        return preprocessed, False
    if not vectorizer.strip_accents:
        return plain, bool(vectorizer.lowercase)
    if not isinstance(vectorizer.strip_accents, str) or vectorizer.strip_accents not in STRIP_ACCENTS:
        return preprocessed, False
    strip = accent_stripper(vectorizer.strip_accents, lowercase=bool(vectorizer.lowercase))

    def without_accents(document: Any) -> str:
        text = decode(document)
        return strip(text) if type(text) is str else _text(preprocess(text))

    return without_accents, False


def token_function(vectorizer: SklearnHashingVectorizer) -> Callable[[Any], tuple[Any, tuple[int, int]]]:
    """The function that makes the tokens of a document, and the n-gram lengths that the core has to make of them.

    The function raises the errors of scikit-learn for a document.
    """
    analyze = vectorizer.build_analyzer()
    lengths = _ngram_lengths(vectorizer.ngram_range)
    if vectorizer.analyzer != "word" or lengths is None or not _unchanged(vectorizer):
        return lambda document: (analyze(document), (1, 1))
    decode, preprocess = vectorizer.decode, vectorizer.build_preprocessor()
    tokenize, stop_words = vectorizer.build_tokenizer(), vectorizer.get_stop_words()

    def tokens(document: Any) -> tuple[Any, tuple[int, int]]:
        found = tokenize(preprocess(decode(document)))
        if stop_words is not None:
            found = [token for token in found if token not in stop_words]
        if type(found) is list:
            return found, lengths
        return word_ngrams(vectorizer, found), (1, 1)

    return tokens


def _ngram_lengths(ngram_range: Iterable[Any]) -> tuple[int, int] | None:
    """The minimum and maximum length of an n-gram for the core; None if invalid."""
    try:
        least, greatest = (min(index(length), _LONGEST) for length in ngram_range)
    except TypeError:
        return None
    return (least, greatest) if 1 <= least <= greatest else None


def _unchanged(vectorizer: SklearnHashingVectorizer) -> bool:
    """Whether no method that makes tokens was overridden."""
    return all(
        getattr(getattr(vectorizer, name, None), "__func__", None) is getattr(SklearnHashingVectorizer, name)
        for name in _METHODS
    )


def _text(text: Any) -> str:
    """The text itself; for another type, the TypeError of the regular expression that analyzers apply first."""
    if not isinstance(text, str):
        re.sub("", "", text)  # raises
    result: str = text
    return result
