"""What the core does of an analyzer, and what is left to Python.

::

    core_analyzes   everything behind the text: the core makes the n-grams, Python at most the ``str``
    core_takes      a document as it is: there is nothing to do for Python at all
    text_maker      document → ``str``                    decoding, a preprocessor, accents
    token_maker     document → tokens and their n-grams   everything else

The functions that are called are scikit-learn's own, so that they raise what it raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import index
from typing import Any

from sklearn.feature_extraction.text import HashingVectorizer as Original

from manymill._core import Hasher

# Words of two characters and more, as people write it; a greedy match needs no boundary.
_WORDS = frozenset(
    flag + pattern
    for flag in ("(?u)", "")
    for pattern in (r"\b\w\w+\b", r"\w\w+", r"\b\w{2,}\b", r"\w{2,}", r"\b(\w\w+)\b", r"(\w\w+)")
)

# Who overrides one of these wants it to be called.
_METHODS = (
    "build_analyzer",
    "build_preprocessor",
    "build_tokenizer",
    "decode",
    "get_stop_words",
    "_word_ngrams",
    "_char_ngrams",
    "_char_wb_ngrams",
)

# No document has so many words that a longer n-gram could be told from one of this length.
_LONGEST = 1 << 31

# As a preprocessor they leave ASCII as it is.
_ACCENTS = ("ascii", "unicode")


def core_analyzes(vectorizer: Original) -> bool:
    """Whether the core can make the n-grams of a ``str``."""
    if not isinstance(vectorizer.analyzer, str) or _lengths(vectorizer.ngram_range) is None:
        return False
    words = vectorizer.tokenizer is None and vectorizer.token_pattern in _WORDS
    return (vectorizer.analyzer != "word" or words) and _unchanged(vectorizer)


def core_takes(vectorizer: Original) -> bool:
    """Whether the core can make the tokens of a document, if that is a ``str``, without a word of Python."""
    return (
        core_analyzes(vectorizer)
        and vectorizer.input == "content"
        and vectorizer.preprocessor is None
        and not vectorizer.strip_accents
    )


def core_hasher(vectorizer: Original, *, lowercase: bool) -> Hasher:
    """The core's part of an analyzer for which :func:`core_analyzes` is true."""
    stop_words = vectorizer.get_stop_words() if vectorizer.analyzer == "word" else None
    return Hasher(
        analyzer=vectorizer.analyzer,
        ngram_range=_lengths(vectorizer.ngram_range) or (1, 1),
        lowercase=lowercase,
        stop_words=[word for word in stop_words or () if isinstance(word, str)],
    )


def text_maker(vectorizer: Original) -> tuple[Callable[[Any], str], bool]:
    """What makes the text of a document, and whether it leaves the lower-casing to the core.

    Raises
    ------
    Exception
        What comes back raises whatever scikit-learn raises for a document.
    """
    decode, preprocess = vectorizer.decode, vectorizer.build_preprocessor()

    def plain(document: Any) -> str:
        text = decode(document)
        return text if isinstance(text, str) else _text(preprocess(text))

    def preprocessed(document: Any) -> str:
        return _text(preprocess(decode(document)))

    def without_accents(document: Any) -> str:
        text = decode(document)
        if type(text) is str and text.isascii():
            return text.lower() if vectorizer.lowercase else text
        return _text(preprocess(text))

    if vectorizer.preprocessor is not None:
        return preprocessed, False
    if not vectorizer.strip_accents:
        return plain, bool(vectorizer.lowercase)
    if isinstance(vectorizer.strip_accents, str) and vectorizer.strip_accents in _ACCENTS:
        return without_accents, False
    return preprocessed, False


def token_maker(vectorizer: Original) -> Callable[[Any], tuple[Any, tuple[int, int]]]:
    """What makes the tokens of a document, and the n-grams of them that are left to the core.

    Raises
    ------
    Exception
        What comes back raises whatever scikit-learn raises for a document.
    """
    analyze = vectorizer.build_analyzer()
    lengths = _lengths(vectorizer.ngram_range)
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
        return vectorizer._word_ngrams(found), (1, 1)

    return tokens


def _lengths(ngram_range: Iterable[Any]) -> tuple[int, int] | None:
    """The least and the greatest length of an n-gram as the core takes them; None if it cannot."""
    try:
        least, greatest = (min(index(length), _LONGEST) for length in ngram_range)
    except TypeError:
        return None
    return (least, greatest) if 1 <= least <= greatest else None


def _unchanged(vectorizer: Original) -> bool:
    """Whether no method that makes tokens was overridden."""
    return all(
        getattr(getattr(vectorizer, name, None), "__func__", None) is getattr(Original, name)
        for name in _METHODS
    )


def _text(text: Any) -> str:
    """The text, or the error of all analyzers, which give it to a regular expression first."""
    if not isinstance(text, str):
        re.sub("", "", text)  # raises
    result: str = text
    return result
