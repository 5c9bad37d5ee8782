"""Fit candidates of a search over texts from texts that were hashed once.

::

    distributions ──► analyzers: all n-gram settings of candidates ──► HashedCorpus, once
    fit(params, rows) = fit(texts[rows], y[rows]) on hashes

The model is bit for bit that of ``estimator.set_params(**params).fit(texts, labels)`` on the same rows in the same
order: both use one training loop, which reads hashes or computes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from manymill.constants import AUTO
from manymill.data.dataset import Dataset
from manymill.data.hashed_texts import HashedTexts
from manymill.errors import SettingsError
from manymill.hash_form import Form
from manymill.linear.classifier import TextClassifier
from manymill.linear.naive_bayes import ComplementNaiveBayes
from manymill.linear.settings import Settings
from manymill.search.hashed_corpus import HashedCorpus
from manymill.search.samplers import Distributions

_FORM = tuple(field.name for field in fields(Form))


class TextFitter:
    """Fits candidates to hashed texts, in any process that can read their files.

    It pickles without the texts: as names of files, labels and parameters. The owner closes it.

    Parameters
    ----------
    estimator : TextClassifier or ComplementNaiveBayes
        With the parameters that are not searched.
    texts : HashedTexts
    y : ndarray of shape (n_rows,)
    sample_weight : ndarray of float32, shape (n_rows,), optional
        Weights of rows in training; scores are not weighted.
    corpus : HashedCorpus, optional
        Closed together with this object.

    Attributes
    ----------
    notes : tuple of str
        Messages about the reading of a Dataset: guessed settings, and bad records.
    """

    def __init__(
        self,
        estimator: Any,
        texts: HashedTexts,
        y: NDArray[Any],
        sample_weight: NDArray[np.float32] | None = None,
        *,
        corpus: HashedCorpus | None = None,
    ) -> None:
        self.estimator, self.texts, self.y, self.sample_weight = estimator, texts, y, sample_weight
        self._corpus = corpus
        self.notes = () if corpus is None else corpus.notes

    @property
    def identity(self) -> str:
        """Fingerprint of the texts, which a resumed search compares."""
        return self.texts.identity

    def fit(self, params: Mapping[str, Any], rows: NDArray[np.intp]) -> Any:
        """Fit a clone of the estimator on rows in the given order.

        It uses one thread, since evaluations run in parallel; the model does not depend on the number of threads.
        """
        estimator = clone(self.estimator).set_params(threads=1).set_params(**params)
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[rows]}
        return estimator.fit(self.texts[rows], self.y[rows], **weights)

    def close(self) -> None:
        """Free cached rows, and release the files of the texts, which stay for the next search."""
        self.texts.cache.clear()
        if self._corpus is not None:
            self._corpus.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_corpus": None}


def make_text_fitter(
    estimator: Any,
    X: Any,
    y: ArrayLike | None = None,
    *,
    distributions: Distributions,
    folder: str | os.PathLike[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
    run: str | os.PathLike[str] | None = None,
) -> TextFitter | None:
    """Hash texts for a search; None if :func:`can_hash_once` is False.

    Parameters
    ----------
    estimator : estimator
    X : sequence of str of shape (n_rows,), HashedTexts, or Dataset
    y : array-like of shape (n_rows,), optional
        Not with a Dataset, which contains its labels.
    distributions : mapping, or sequence of mappings
        For each searched parameter its values or their distribution.
    folder, stop, run : optional
        See :meth:`HashedCorpus.build`.

    Raises
    ------
    SchemaError, PlanError, SourceError, CancelledError
        See :meth:`HashedCorpus.build`.
    """
    if not can_hash_once(estimator, X, distributions):
        return None
    if isinstance(X, HashedTexts):
        return TextFitter(estimator, X, np.asarray(y))
    forms = analyzer_forms(estimator, distributions) or ()
    corpus = HashedCorpus.build(X, y, forms=forms, folder=folder, stop=stop, run=run)
    return TextFitter(estimator, corpus.texts, corpus.y, corpus.sample_weight, corpus=corpus)


def can_hash_once(estimator: Any, X: Any, distributions: Distributions) -> bool:
    """Whether texts can be hashed once for all candidates.

    The estimator must be one of manymill's for text, and all values of the parameters of :class:`Form` listed.
    """
    if not isinstance(estimator, TextClassifier | ComplementNaiveBayes):
        return False
    if isinstance(X, HashedTexts):
        return True
    # Naive Bayes does not accept the weights of a Dataset; its fit raises the error.
    weighted = isinstance(X, Dataset) and X.weight is not None and isinstance(estimator, ComplementNaiveBayes)
    return analyzer_forms(estimator, distributions) is not None and not weighted


def analyzer_forms(estimator: Any, distributions: Distributions) -> tuple[Form, ...] | None:
    """All analyzer settings that candidates can have; None if they are not listed, or the recipe chooses them."""
    spaces = [distributions] if isinstance(distributions, Mapping) else distributions
    forms: dict[Form, None] = {}
    names = [name for name in ("recipe", *_FORM) if hasattr(estimator, name)]
    for space in spaces:
        listed = [_choices(space.get(name, [getattr(estimator, name)])) for name in names]
        choices = [values for values in listed if values is not None]
        if len(choices) < len(names) or AUTO in dict(zip(names, choices, strict=True)).get("recipe", ()):
            return None
        for values in product(*choices):
            with suppress(SettingsError):  # such a candidate fails when it is fitted
                forms[Settings(**dict(zip(names, map(_plain, values), strict=True))).form] = None
    return tuple(forms)


def _plain(value: Any) -> Any:
    """A value without types of NumPy, and a list as a tuple."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _choices(values: Any) -> Sequence[Any] | NDArray[Any] | None:
    """Listed values, also those of Optuna's categorical distribution; None for other distributions."""
    choices = getattr(values, "choices", values)
    return choices if isinstance(choices, list | tuple | np.ndarray) else None
