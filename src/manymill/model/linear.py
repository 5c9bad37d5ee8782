"""Immutable linear model, and the conversion of its scores to classes and probabilities."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.constants import Loss, Norm, Value
from manymill.errors import PlanError


@dataclass(frozen=True, kw_only=True)
class Analyzer:
    """Parameters that turn a document into a row of features.

    Parameters
    ----------
    ngram_range : tuple of int
        Minimum and maximum number of words of an n-gram, both inclusive.
    lowercase : bool
        Whether documents are lower-cased first.
    value : {"count", "log", "binary"}
        A feature's value: its count, ``1 + ln(count)``, or 1.
    norm : {"l1", "l2"} or None
        Norm to divide each row by.
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
    """All of a model except its arrays.

    Parameters
    ----------
    classes : tuple of str or tuple of int
        Two or more classes, in the order of the outputs.
    loss : str
        The loss of the training; decides the meaning of the scores.
    analyzer : Analyzer
        Converts documents to rows.
    fit_intercept : bool
        Whether the intercept was fitted (else it is 0).
    temperature : float
        Positive divisor of the scores before they become probabilities, calibrated on held-out rows.
    unicode_version : str
        Version of the Unicode tables in training, which decide word boundaries.
    facts : mapping
        Facts about the training for display and defaults, of JSON types. ``text_column`` and ``label_column`` are
        the columns of the training data.
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
        """1 for two classes, else the number of classes."""
        return 1 if len(self.classes) == 2 else len(self.classes)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel(ModelDescription):
    """A model with its arrays.

    Parameters
    ----------
    weights : ndarray of float32, shape (n_features, n_outputs)
        Read-only; a memory map after loading.
    intercept : ndarray of float32, shape (n_outputs,)
        Read-only.
    feature_weights : ndarray of float32, shape (n_features,), or None
        Factor of each feature, applied before the norm; read-only. None for no factors.
    checksum : str
        Checksum of the model folder; empty if the model was not loaded from a folder.
    """

    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    feature_weights: NDArray[np.float32] | None = None
    checksum: str = ""


PROBABILISTIC_LOSSES = ("log", "modified_huber")


def choose_classes(scores: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """The index of the predicted class of each row.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_outputs)
        With one output, a score above 0 means the second of two classes; otherwise the highest score wins, and the
        first of equal scores.

    Returns
    -------
    ndarray of intp, shape (n_rows,)
    """
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).astype(np.intp)
    chosen: NDArray[np.intp] = np.argmax(scores, axis=1)
    return chosen


def probabilities(
    scores: NDArray[np.floating[Any]], loss: str, n_classes: int, temperature: float = 1.0
) -> NDArray[np.float64]:
    """The probability of each class for each row.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_outputs)
        One output for two classes, else one for each class.
    loss : str
        ``"log"``: logistic for two classes, softmax for more. ``"modified_huber"``, as scikit-learn's
        SGDClassifier: ``(clip(score, -1, 1) + 1) / 2`` (Zadrozny and Elkan 2002); for more than two classes
        divided by their sum, or uniform if the sum is 0.
    n_classes : int
        2 or more.
    temperature : float
        Positive divisor of the scores (Guo et al. 2017); it does not change the class of highest probability.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_classes)
        Rows sum to 1.

    Raises
    ------
    PlanError
        If the loss is not probabilistic.
    """
    if loss not in PROBABILISTIC_LOSSES:
        raise PlanError(
            f"the loss {loss!r} gives scores but no probabilities",
            f"train with loss {' or '.join(map(repr, PROBABILISTIC_LOSSES))}, or use the scores",
        )
    wide = np.asarray(scores, dtype=np.float64) / temperature
    if n_classes == 2:
        both = np.stack([-wide[:, 0], wide[:, 0]], axis=1)
        return _logistic(both) if loss == "log" else (np.clip(both, -1, 1) + 1) / 2
    return _softmax(wide) if loss == "log" else _shares((np.clip(wide, -1, 1) + 1) / 2)


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    # Only exp of negative numbers: no overflow, and no loss of digits near 0.
    small = np.exp(-np.abs(scores))
    result: NDArray[np.float64] = np.where(scores >= 0, 1.0, small) / (1 + small)
    return result


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def _shares(masses: NDArray[np.float64]) -> NDArray[np.float64]:
    totals = masses.sum(axis=1, keepdims=True)
    masses = np.where(totals == 0, 1.0, masses)
    result: NDArray[np.float64] = masses / masses.sum(axis=1, keepdims=True)
    return result
