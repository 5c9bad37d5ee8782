"""Candidates of a search over text, fitted without hashing a word.

::

    distributions ──► forms: all n-gram settings that may come up ──► HashedCorpus, once
    fitted(params, rows) = fit(texts[rows], y[rows]), on hashes

The fitted model is that of ``estimator.set_params(**params).fit(texts, labels)`` on the same rows in the same order,
bit for bit: one training loop serves both, and takes hashes where it would have made them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from manymill.data.dataset import Dataset
from manymill.data.hashed_texts import Form, HashedTexts
from manymill.linear.classifier import TextClassifier
from manymill.linear.naive_bayes import ComplementNaiveBayes
from manymill.search.hashed_corpus import HashedCorpus

Distributions = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class TextFitter:
    """Fits candidates to hashed texts, in any process that sees the files.

    It pickles without the texts: as names of files, labels and settings. Who made it closes it.

    Parameters
    ----------
    estimator : TextClassifier or ComplementNaiveBayes
        With the parameters that are not searched.
    texts : HashedTexts
    y : ndarray of shape (n_rows,)
    sample_weight : ndarray of shape (n_rows,), optional
        Weights of rows in training; scores count each row alike.
    corpus : HashedCorpus, optional
        Closed together with this.

    Attributes
    ----------
    notes : tuple of str
        What there is to know of how a Dataset was read: guesses, and records that are no rows.
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
        """Changes when the texts do: what a search that goes on compares."""
        return self.texts.identity

    def fitted(self, params: Mapping[str, Any], rows: NDArray[np.intp]) -> Any:
        """A new estimator, fitted on rows in the order given.

        One thread hashes nothing: evaluations run side by side, and the model does not depend on threads.
        """
        estimator = clone(self.estimator).set_params(threads=1).set_params(**params)
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[rows]}
        return estimator.fit(self.texts[rows], self.y[rows], **weights)

    def close(self) -> None:
        """Let the files of the texts go, which stay for the next search, and the rows that were made of them."""
        self.texts.cache.clear()
        if self._corpus is not None:
            self._corpus.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_corpus": None}


def text_fitter(
    estimator: Any,
    X: Any,
    y: ArrayLike | None = None,
    *,
    distributions: Distributions,
    folder: str | os.PathLike[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
    run: str | os.PathLike[str] | None = None,
) -> TextFitter | None:
    """What fits candidates to hashed texts; None where :func:`is_hashed_once` says no.

    Parameters
    ----------
    estimator : estimator
    X : sequence of str of shape (n_rows,), or Dataset
        Texts that were hashed before are taken as they are.
    y : array-like of shape (n_rows,), optional
        Left out with a Dataset, which has its own labels.
    distributions : mapping, or sequence of mappings
        What is searched: for each parameter the values or their distribution.
    folder, stop, run : optional
        See :meth:`HashedCorpus.of`.

    Raises
    ------
    SchemaError, PlanError, SourceError, CancelledError
        As :meth:`HashedCorpus.of`.
    """
    if not is_hashed_once(estimator, X, distributions):
        return None
    if isinstance(X, HashedTexts):
        return TextFitter(estimator, X, np.asarray(y))
    corpus = HashedCorpus.of(
        X, y, forms=forms_of(estimator, distributions) or (), folder=folder, stop=stop, run=run
    )
    return TextFitter(estimator, corpus.texts, corpus.y, corpus.sample_weight, corpus=corpus)


def is_hashed_once(estimator: Any, X: Any, distributions: Distributions) -> bool:
    """Whether a search may learn from hashes; otherwise it goes the way of any estimator.

    Not with another estimator, and not with n-grams drawn from a distribution that does not say which may come.
    """
    if not isinstance(estimator, TextClassifier | ComplementNaiveBayes):
        return False
    if isinstance(X, HashedTexts):
        return True
    # Naive Bayes takes no weights of a Dataset; its fit says so.
    weighted = isinstance(X, Dataset) and X.weight is not None and isinstance(estimator, ComplementNaiveBayes)
    return forms_of(estimator, distributions) is not None and not weighted


def forms_of(estimator: Any, distributions: Distributions) -> tuple[Form, ...] | None:
    """All analyzers that a search may come up with; None if its distributions do not list them."""
    spaces = [distributions] if isinstance(distributions, Mapping) else distributions
    forms: dict[Form, None] = {}
    for space in spaces:
        words = _values(space.get("ngram_range", [estimator.ngram_range]))
        cases = _values(space.get("lowercase", [estimator.lowercase]))
        if words is None or cases is None:
            return None
        for pair, lowercase in product(words, cases):
            if _is_range(pair):  # otherwise the candidate fails, and alone
                forms[(int(pair[0]), int(pair[1])), bool(lowercase)] = None
    return tuple(forms)


def _is_range(pair: Any) -> bool:
    if not isinstance(pair, tuple | list | np.ndarray) or len(pair) != 2:
        return False
    return all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in pair) and (
        1 <= pair[0] <= pair[1]
    )


def _values(listed: Any) -> Iterable[Any] | None:
    """The values that are listed; None for a distribution that does not list them."""
    choices = getattr(listed, "choices", listed)  # Optuna's categorical distribution
    return choices if isinstance(choices, list | tuple | np.ndarray) else None
