"""Constants that several packages share; importing them costs nothing."""

from __future__ import annotations

from typing import Literal, get_args

Loss = Literal["log", "hinge", "squared_hinge", "modified_huber", "squared_error"]
Value = Literal["log", "count", "binary"]
Norm = Literal["l2", "l1"]
FeatureWeights = Literal["nb-idf", "nb", "idf"]
CharAnalyzer = Literal["char_wb", "char"]
StripAccents = Literal["ascii", "unicode"]
Link = Literal["softmax", "one_vs_rest", "clipped"]
Recipe = Literal["standard", "fast", "auto"]

LOSSES: tuple[Loss, ...] = get_args(Loss)
VALUES: tuple[Value, ...] = get_args(Value)
NORMS: tuple[Norm, ...] = get_args(Norm)
STRIP_ACCENTS: tuple[StripAccents, ...] = get_args(StripAccents)
LINKS: tuple[Link, ...] = get_args(Link)
CHAR_ANALYZERS: tuple[CharAnalyzer, ...] = get_args(CharAnalyzer)
FEATURE_WEIGHTS: tuple[FeatureWeights, ...] = get_args(FeatureWeights)
RECIPES: tuple[Recipe, ...] = get_args(Recipe)
MAX_FEATURES = 2**30

# The value of a parameter that a recipe, the data or other parameters decide.
AUTO = "auto"

# What scikit-learn takes for a word by default.
WORD_PATTERN = r"(?u)\b\w\w+\b"

# Maximum number of classes that a message lists by name.
SHOWN_CLASSES = 12

# A task fails after it has lost this many workers.
MAX_LOSSES = 3

# Default size of the text that is shuffled at a time: a sorted file of this size is shuffled completely, and training
# stays below 200 MB.
WINDOW_BYTES = 48 << 20
