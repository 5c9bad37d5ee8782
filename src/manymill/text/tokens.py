"""Documents whose tokens Python makes: one after the other, as scikit-learn does, so that errors come in its order.

The core hashes the tokens and makes the n-grams of words; no more than one document's tokens exist at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer as Original

from manymill._core import HashedBatch, TokenHasher
from manymill.text.analysis import token_maker

# Hashes of about 50 MB of text; the arrays of the matrix grow by so much at once.
_BATCH_BYTES = 1 << 25


def token_batches(vectorizer: Original, documents: Iterable[Any]) -> Iterator[HashedBatch]:
    """The hashed batches of the documents, analysed by the functions of the vectorizer.

    Raises
    ------
    Exception
        What scikit-learn raises.
    """
    analyze, hasher, first = token_maker(vectorizer), TokenHasher(), True
    # A generator as in scikit-learn: a StopIteration of user's code is a RuntimeError.
    for tokens, lengths in (analyze(document) for document in documents):
        if first and isinstance(tokens, str):
            FeatureHasher(input_type="string").transform([tokens])  # raises
        first = False
        _add(vectorizer, hasher, tokens, lengths)
        if hasher.nbytes > _BATCH_BYTES:
            yield hasher.take()
    if len(hasher):
        yield hasher.take()


def _add(vectorizer: Original, hasher: TokenHasher, tokens: Any, lengths: tuple[int, int]) -> None:
    try:
        hasher.add(tokens, lengths)
    except (TypeError, UnicodeEncodeError):
        if lengths == (1, 1):
            raise
        # scikit-learn joins the tokens of n-grams before it looks at any of them.
        hasher.add(vectorizer._word_ngrams(tokens))
