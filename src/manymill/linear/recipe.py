"""Recipes: what training does with parameters that nobody has chosen.

==================  ===========================  ===========
parameter           standard                     fast
==================  ===========================  ===========
ngram_range         (1, 2)                       (1, 1)
char_ngram_range    (3, 3)                       None
feature_weights     nb-idf, or idf if a class    None
                    of two is rare
loss                modified_huber               log
l2                  0.3 / number of rows         0
initial_g           0.1                          0
passes              2                            1
==================  ===========================  ===========

The recipe ``auto`` is standard, or what is better than it on a sample of the rows: see :mod:`manymill.linear.choice`.

``python benches/recipe.py`` measures standard and fast. Words tell topics, pairs of words negations, and characters
parts of words, misspellings and languages. Weights by naive Bayes and by rarity (Wang and Manning 2012; Sparck Jones
1972), a loss with a margin, and a penalty that shrinks with the number of rows, as that of a support vector machine
with C = 1/0.3, each add to the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from manymill.constants import AUTO
from manymill.errors import SettingsError
from manymill.validation import is_auto, times_rows

if TYPE_CHECKING:
    from manymill.data.dataset import Plan
    from manymill.linear.settings import Settings

_VALUES: dict[str, dict[str, Any]] = {
    "standard": {
        "ngram_range": (1, 2),
        "char_ngram_range": (3, 3),
        "feature_weights": AUTO,
        "loss": "modified_huber",
        "passes": 2,
    },
    "fast": {
        "ngram_range": (1, 1),
        "char_ngram_range": None,
        "feature_weights": None,
        "loss": "log",
        "passes": 1,
    },
}

# Where nothing can be compared, auto is standard: see ``linear/choice.py``.
_VALUES["auto"] = _VALUES["standard"]

# L2 regularisation times the number of rows, and, for rows of unit norm, the sum of squared gradients at the start.
L2_TIMES_ROWS = 0.3
_INITIAL_G = 0.1

# The greatest start that a training may have.
MAX_INITIAL_G = 1e30

# Hash buckets: one for each byte of text leaves nearly all features alone in theirs.
_MIN_BUCKETS, _MAX_BUCKETS = 1 << 18, 1 << 24
_UNCOUNTED_BUCKETS, _MIN_UNCOUNTED = 1 << 22, 1 << 16

# Bytes of the state of all features and classes; features in the fewest rows are left out beyond.
TABLE_BYTES = 512 << 20

# Numbers of a feature's block in the learner's state: a multiple of 4, or of 8 from this many outputs on.
_WIDE_OUTPUTS = 32

# Learners of candidates at a time, whatever the number of threads: each has a state of its own.
MAX_LEARNERS = 4


def value_of(parameters: Any, name: str) -> Any:
    """The value of a parameter of settings or of an estimator, by the recipe if it is ``"auto"``.

    ``l2`` and ``initial_g`` depend on the data, too: see :func:`decisions`.
    """
    value = getattr(parameters, name)
    return _VALUES[parameters.recipe][name] if is_auto(value) else value


def decisions(
    settings: Settings,
    n_classes: int,
    n_rows: int | None,
    text_bytes: int,
    class_counts: Mapping[str, int] | None = None,
    row_weights: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Any]:
    """The values of all parameters that are ``"auto"``, and of ``n_features`` if it is None.

    Parameters
    ----------
    settings : Settings
    n_classes : int
    n_rows : int or None
        None if nothing can be counted before training.
    text_bytes : int
    class_counts : mapping from str to int, optional
        Rows of each class, possibly of a sample.
    row_weights : tuple of float
        Mean of the weights of rows, and of their squares. Both scale with the weights, so that only ratios of weights
        change a model.

    Raises
    ------
    SettingsError
        If ``l2`` is a multiple of 1 / the number of rows, which is None.
    """
    values = {name: value_of(settings, name) for name in _VALUES["standard"]}
    is_standard = settings.recipe != "fast"
    if n_rows is None and settings.feature_weights == AUTO:
        values["feature_weights"] = None
    mean, square = class_weight_means(settings.class_weight, class_counts or {})
    multiple = times_rows(settings.l2)
    if multiple is not None and n_rows is None:
        raise SettingsError.invalid("l2", settings.l2, "a number: the rows are not counted before training")
    if is_auto(settings.l2):
        multiple = L2_TIMES_ROWS if is_standard and n_rows is not None else 0.0
    if multiple is None:
        values["l2"] = settings.l2
    else:
        values["l2"] = mean * row_weights[0] * multiple / max(1, n_rows or 0)
    values["initial_g"] = settings.initial_g
    if is_auto(settings.initial_g):
        # Softmax spreads small gradients over many outputs: their sums would stay below the start for long.
        starts_high = is_standard and settings.norm == "l2" and values["loss"] != "log"
        # A float32 in the core.
        start = min(_INITIAL_G * square * row_weights[1], MAX_INITIAL_G)
        values["initial_g"] = start if starts_high else 0.0
    values["n_features"] = settings.n_features or hash_buckets(
        n_classes, text_bytes, counted=values["feature_weights"] is not None
    )
    return values


def class_weight_means(
    class_weight: str | Mapping[Any, float] | None, class_counts: Mapping[str, int]
) -> tuple[float, float]:
    """The mean of the class weights of rows, and of their squares; of more than two classes, the square of the mean.

    Squared gradients of weighted rows are larger by the squares of the weights. With many classes, balanced weights of
    the rarest would decide the mean of the squares, and all other features would hardly move.
    """
    counts = {name: n for name, n in class_counts.items() if n}
    total = sum(counts.values())
    if class_weight is None or not counts:
        return 1.0, 1.0
    if isinstance(class_weight, Mapping):
        given = {str(name): float(weight) for name, weight in class_weight.items()}
        weights = {name: given.get(name, 1.0) for name in counts}
    else:
        weights = {name: total / (len(counts) * n) for name, n in counts.items()}
    mean = sum(n * weights[name] for name, n in counts.items()) / total
    if len(counts) > 2 or not mean:
        return mean or 1.0, mean**2 or 1.0
    return mean, sum(n * weights[name] ** 2 for name, n in counts.items()) / total


def row_weight_means(plan: Plan) -> tuple[float, float]:
    """The mean of the weights of rows, and of their squares, in the first block of a plan; 1 without weights."""
    if not plan.is_weighted:
        return 1.0, 1.0
    from manymill.data.reader import read  # reads nothing at import, but needs NumPy

    batch = next(iter(read(plan)), None)
    weights = [] if batch is None or batch.weight is None else [w for w in batch.weight.tolist() if w > 0]
    if not weights:
        return 1.0, 1.0
    return math.fsum(weights) / len(weights), math.fsum(w * w for w in weights) / len(weights)


def hash_buckets(n_classes: int, text_bytes: int, *, counted: bool) -> int:
    """The number of hash buckets for an amount of text, a power of two.

    If features are ``counted`` first, the model holds those in use, and empty buckets cost nothing: as many as bytes of
    text, 2^18 to 2^24. Otherwise 2^22, or as many as keep the weights of all classes within ``TABLE_BYTES``; never
    fewer than 2^16.
    """
    if counted:
        return min(_MAX_BUCKETS, max(_MIN_BUCKETS, 1 << max(0, text_bytes - 1).bit_length()))
    n_buckets = _UNCOUNTED_BUCKETS
    while n_buckets > _MIN_UNCOUNTED and n_classes > 2 and 4 * n_buckets * n_classes > TABLE_BYTES:
        n_buckets //= 2
    return n_buckets


def max_table_features(n_classes: int) -> int:
    """The greatest number of features in use that a model of counted features holds."""
    return TABLE_BYTES // feature_bytes(1 if n_classes <= 2 else n_classes, regularised=True)


def feature_bytes(n_outputs: int, *, regularised: bool) -> int:
    """Bytes of a feature in the learner's state, in the layout of ``rust/src/learn/table.rs``.

    A feature has its weights, a sum of squared gradients and, if ``regularised`` by L1 or L2, the row that touched it
    last. With several outputs it also has an entry in the index of the features seen.
    """
    used = n_outputs + 1 + regularised
    if n_outputs == 1:
        return 4 * used
    alignment = 4 if n_outputs < _WIDE_OUTPUTS else 8
    return 4 * (-(-used // alignment) * alignment + 1)


def check_features(settings: Settings) -> None:
    """Refuse settings without any features, and those that change no feature.

    Raises
    ------
    SettingsError
    """
    words, characters = value_of(settings, "ngram_range"), value_of(settings, "char_ngram_range")
    if words is None and characters is None:
        expected = "n-grams of words, of characters, or both: char_ngram_range is None, too"
        raise SettingsError.invalid("ngram_range", None, expected)
    if words is None:
        for name in ("token_pattern", "stop_words"):
            if (value := getattr(settings, name)) is not None:
                raise SettingsError.invalid(name, value, "None, since there are no features of words")
    if characters is None and settings.char_analyzer != "char_wb":
        expected = "'char_wb', since there are no features of characters"
        raise SettingsError.invalid("char_analyzer", settings.char_analyzer, expected)


def script_notes(plan: Plan, settings: Settings) -> list[str]:
    """What is said of text without spaces between words, if there is some and it has features of its own."""
    by_unicode = settings.token_pattern is None and value_of(settings, "ngram_range") is not None
    return [plan.script_note] if plan.script_note and by_unicode else []


def form_values(settings: Settings) -> dict[str, Any]:
    """The parameters of settings that turn a document into hashes: see :class:`manymill.hash_form.Form`."""
    stop_words = settings.stop_words
    if stop_words == "english":
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        stop_words = tuple(sorted(ENGLISH_STOP_WORDS))
    return {
        "ngram_range": value_of(settings, "ngram_range"),
        "token_pattern": settings.token_pattern,
        "stop_words": stop_words or (),
        "strip_accents": settings.strip_accents,
        "lowercase": settings.lowercase,
        "char_ngram_range": value_of(settings, "char_ngram_range"),
        "char_analyzer": settings.char_analyzer,
    }
