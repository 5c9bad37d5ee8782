"""Immutable linear model, and the conversion of its scores to classes and probabilities."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.constants import Link, Loss, Norm, Value
from manymill.errors import PlanError
from manymill.hash_form import Form, word_form

PROBABILISTIC_LOSSES = ("log", "modified_huber")


def link_of_loss(loss: str) -> Link:
    """The link of newly trained models."""
    return "one_vs_rest" if loss == "modified_huber" else "softmax"


def link_of_version_1(loss: str) -> Link:
    """The link of models of version 0.1, which did not record it."""
    return "clipped" if loss == "modified_huber" else "softmax"


@dataclass(frozen=True, kw_only=True)
class Analyzer(Form):
    """Parameters that turn a document into a row of features: those of its hashes (:class:`Form`), and these.

    Parameters
    ----------
    value : {"count", "log", "binary"}
        A feature's value: its count, ``1 + ln(count)``, or 1.
    norm : {"l1", "l2"} or None
        Norm to divide each row by.
    n_features : int
        Number of hash buckets, 1 to 2^30.
    """

    value: Value
    norm: Norm | None
    n_features: int

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # Pickles of version 0.1 have only some parameters of the form.
        vars(self).update({**vars(word_form()), **state})


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
    probability : {"softmax", "one_vs_rest", "clipped"}
        How scores become probabilities, if the loss gives any; see :func:`probabilities`. Models with the loss
        ``modified_huber`` have ``"one_vs_rest"``, those of version 0.1 ``"clipped"``, and all others ``"softmax"``.
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
    probability: Link = "softmax"
    temperature: float = 1.0
    unicode_version: str = unicodedata.unidata_version
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_outputs(self) -> int:
        """1 for two classes, else the number of classes."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def has_probabilities(self) -> bool:
        """Whether the loss gives probabilities."""
        return self.loss in PROBABILISTIC_LOSSES

    def probabilities(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The probability of each class for each row, ``(n_rows, n_classes)``; rows sum to 1.

        Parameters
        ----------
        scores : ndarray, shape (n_rows, n_outputs)

        Raises
        ------
        PlanError
            If the loss gives no probabilities.
        """
        if not self.has_probabilities:
            raise PlanError(
                f"the loss {self.loss!r} gives scores but no probabilities",
                f"train with loss {' or '.join(map(repr, PROBABILISTIC_LOSSES))}, or use the scores",
            )
        return probabilities(scores, self.probability, self.temperature)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # Pickles of version 0.1 have no link.
        vars(self).update({"probability": link_of_version_1(state["loss"]), **state})


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel(ModelDescription):
    """A model with its arrays.

    Parameters
    ----------
    weights : ndarray of float32, shape (n_columns, n_outputs)
        Read-only; a memory map after loading.
    intercept : ndarray of float32, shape (n_outputs,)
        Read-only.
    feature_weights : ndarray of float32, shape (n_columns,), or None
        Factor of each feature, applied before the norm; read-only. None for no factors.
    features : ndarray of uint32, shape (n_columns,), or None
        The hash bucket of each row of the weights, strictly ascending; all other buckets have weight 0. None if row i
        is bucket i, and ``n_columns`` is ``n_features``.
    checksum : str
        Checksum of the model folder; empty if the model was not loaded from a folder.
    """

    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    feature_weights: NDArray[np.float32] | None = None
    features: NDArray[np.uint32] | None = None
    checksum: str = ""


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
    scores: NDArray[np.floating[Any]], link: Link, temperature: float = 1.0
) -> NDArray[np.float64]:
    """The probability of each class for each row.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_outputs)
        One output for two classes, else one for each class.
    link : {"softmax", "one_vs_rest", "clipped"}
        ``"softmax"``: logistic for two classes, softmax for more. ``"one_vs_rest"``: the same of :func:`logits`.
        ``"clipped"``, as scikit-learn's SGDClassifier for
        ``modified_huber``: ``(clip(score, -1, 1) + 1) / 2`` (Zadrozny and Elkan 2002); for more than two classes
        divided by their sum, or uniform if the sum is 0.
    temperature : float
        Positive divisor of the scores (Guo et al. 2017); it does not change the class of highest probability.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_classes)
        Rows sum to 1.
    """
    wide = logits(scores, link) / temperature
    if wide.shape[1] == 1:
        both = np.stack([-wide[:, 0], wide[:, 0]], axis=1)
        return (np.clip(both, -1, 1) + 1) / 2 if link == "clipped" else _logistic(both)
    return _shares((np.clip(wide, -1, 1) + 1) / 2) if link == "clipped" else _softmax(wide)


# Width of the bend in the logarithm of a one-vs-rest probability, on the scale of probabilities.
_BEND = 0.1


def logits(scores: NDArray[np.floating[Any]], link: Link) -> NDArray[np.float64]:
    """What a temperature divides: the scores, or for ``"one_vs_rest"`` with more than two classes a function of them.

    The loss ``modified_huber`` makes ``(score + 1) / 2`` the probability of a class against the rest (Zhang 2004). Its
    logarithm is the logit, where 0 and what is below bend to small positive numbers: ``ln(softplus(p / 0.1))``, which
    increases everywhere, so the class of the highest score has the highest probability.
    """
    wide = np.asarray(scores, dtype=np.float64)
    if link != "one_vs_rest" or wide.shape[1] == 1:
        return wide
    bent = (wide + 1) / (2 * _BEND)
    # Far below 0 the softplus is exp, which underflows.
    result: NDArray[np.float64] = np.where(bent < -30, bent, np.log(np.logaddexp(0, np.maximum(bent, -30))))
    return result


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
