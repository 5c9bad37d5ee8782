"""Slow reference for the word analyzer and for rows of the learner, in pure Python."""

import math
import re
from collections import Counter

import numpy as np
from tests.reference.murmur3 import murmur3

_WORD = re.compile(r"(?u)\b\w\w+\b")


def token_hashes(text: str, ngram_range: tuple[int, int] = (1, 1), lowercase: bool = True) -> list[int]:
    """The hashes of all n-grams, the shortest first."""
    words = _WORD.findall(text.lower() if lowercase else text)
    lengths = range(ngram_range[0], ngram_range[1] + 1)
    grams = (" ".join(words[i : i + n]) for n in lengths for i in range(len(words) - n + 1))
    return [murmur3(gram.encode()) for gram in grams]


def learner_row(hashes: list[int], n_features: int, value: str, norm: str | None) -> dict[int, float]:
    """Feature to value, in double precision."""
    signed = (h - 2**32 if h >= 2**31 else h for h in hashes)
    counts = Counter(abs(h) % n_features for h in signed)
    of_count = {"count": float, "log": lambda c: 1 + math.log(c), "binary": lambda c: 1.0}[value]
    values = np.array([of_count(counts[feature]) for feature in sorted(counts)])
    if norm and counts:
        values /= np.linalg.norm(values, {"l1": 1, "l2": 2}[norm])
    return dict(zip(sorted(counts), values.tolist(), strict=True))
