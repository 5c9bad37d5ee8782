"""How large rows of features become, and whether a training keeps them between its passes: known from the plan."""

from __future__ import annotations

from manymill.data.dataset import Plan
from manymill.linear.settings import Settings

# Rows kept from the first pass for the others if all of them fit: about 35 MB of text in words and pairs of words.
# A property of the plan, not of the machine: the order of later passes depends on it.
CACHE_BYTES = 80 << 20

# Bytes of rows for a byte of text by the longest n-gram: 8 bytes for a distinct feature. Measured on six corpora:
# 0.5 to 0.94, 1.3 to 2.1 and 2.3 to 3.5.
_ROW_BYTES_PER_BYTE = {1: 1.0, 2: 2.2, 3: 3.6}
_PER_FURTHER_WORD = 1.4


def state_bytes(n_features: int, n_outputs: int) -> int:
    """Bytes of a learner's weights and squared-gradient sums at most, as ``rust/src/learn/table.rs`` lays them out."""
    if n_outputs == 1:
        return 8 * n_features
    filled_up = 4 if n_outputs < 32 else 8
    block = -(-(n_outputs + 1) // filled_up) * filled_up
    return 4 * n_features * (block + 1)


def count_bytes(settings: Settings, n_features: int, n_classes: int) -> int:
    """Bytes of the counts that feature weights are made of, at most."""
    if settings.feature_weights is None:
        return 0
    columns = n_classes if settings.feature_weights == "nb" else 1
    return 4 * n_features * (columns + (columns > 2))


def row_bytes_per_byte(settings: Settings) -> float:
    """Bytes of rows for a byte of text, at most on ordinary text."""
    longest = settings.ngram_range[1]
    return _ROW_BYTES_PER_BYTE[min(3, longest)] + _PER_FURTHER_WORD * max(0, longest - 3)


def kept_row_bytes(plan: Plan, settings: Settings) -> int:
    """Bytes of rows that are kept between passes; 0 if there is one visit, or too much text to keep them."""
    n_bytes = int(plan.text_bytes * row_bytes_per_byte(settings))
    visits = settings.passes + (settings.feature_weights is not None)
    return n_bytes if visits > 1 and n_bytes <= CACHE_BYTES else 0
