"""A linear model as a value: what it was told, what it learnt."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Loss = Literal["log", "hinge", "squared_hinge", "modified_huber", "squared_error"]
Value = Literal["count", "log", "binary"]
Norm = Literal["l1", "l2"]
FeatureWeights = Literal["nb", "idf"]

LOSSES: tuple[Loss, ...] = get_args(Loss)
VALUES: tuple[Value, ...] = get_args(Value)
NORMS: tuple[Norm, ...] = get_args(Norm)
FEATURE_WEIGHTS: tuple[FeatureWeights, ...] = get_args(FeatureWeights)
MAX_FEATURES = 2**30


@dataclass(frozen=True, kw_only=True)
class Analyzer:
    """How a document becomes a row of features.

    Parameters
    ----------
    ngram_range : tuple of int
        Least and greatest number of words of an n-gram, both counted.
    lowercase : bool
        Whether documents are lower-cased first.
    value : {"count", "log", "binary"}
        A feature's value: its count, ``1 + ln(count)``, or 1.
    norm : {"l1", "l2"} or None
        What each row is divided by.
    n_features : int
        Number of hashed features, 1 to 2^30.
    """

    ngram_range: tuple[int, int]
    lowercase: bool
    value: Value
    norm: Norm | None
    n_features: int


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """Everything about a model but its numbers.

    Parameters
    ----------
    classes : tuple of str or tuple of int
        Two or more, in the order of the outputs.
    loss : str
        The loss it was trained with; it decides what the scores mean.
    analyzer : Analyzer
        How documents become rows.
    fit_intercept : bool
        Whether the intercept was learnt (else it is 0).
    temperature : float
        What scores are divided by before they become probabilities, above 0; found on held-out rows.
    unicode_version : str
        Version of the Unicode tables in training: words are cut by them.
    facts : mapping
        About the training, for people and for defaults; JSON values. ``text_column`` and ``label_column`` are
        the columns trained on.
    """

    classes: tuple[str, ...] | tuple[int, ...]
    loss: Loss
    analyzer: Analyzer
    fit_intercept: bool = True
    temperature: float = 1.0
    unicode_version: str = unicodedata.unidata_version
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_outputs(self) -> int:
        """1 for two classes, else one for each."""
        return 1 if len(self.classes) == 2 else len(self.classes)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel(ModelDescription):
    """A model, ready to score rows.

    Parameters
    ----------
    weights : ndarray of float32, shape (n_features, n_outputs)
        Read-only; a memory map after loading.
    intercept : ndarray of float32, shape (n_outputs,)
        Read-only.
    feature_weights : ndarray of float32, shape (n_features,), or None
        What each value of a row is multiplied by before the row is divided by its norm; read-only. None: by 1.
    checksum : str
        Names the content of the folder that the model was loaded from; empty if it was not.
    """

    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    feature_weights: NDArray[np.float32] | None = None
    checksum: str = ""
