"""Candidates of a search over text, fitted and scored without hashing a word.

::

    distributions ──► forms: all n-gram settings that may come up ──► HashedCorpus, once
    evaluate(params, train, test, resource) = fit(texts[train prefix]) and score(texts[test]), on hashes

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
from manymill.data.hashed import Form, HashedTexts
from manymill.linear.classifier import TextClassifier
from manymill.linear.naive_bayes import ComplementNaiveBayes
from manymill.search.hashed import LIMIT_BYTES, HashedCorpus
from manymill.search.prefixes import LEAST_TEST_ROWS, prefix

Scorer = Callable[[Any, Any, Any], float]
Distributions = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class TextEvaluator:
    """Evaluates candidates over hashed texts, in any process that sees the files.

    It pickles without the texts: as names of files, labels and settings. Who made it closes it.

    Parameters
    ----------
    estimator : TextClassifier or ComplementNaiveBayes
        With the parameters that are not searched.
    texts : HashedTexts
    y : ndarray of shape (n_rows,)
    sample_weight : ndarray of shape (n_rows,), optional
        Weights of rows in training; scores count each row alike.
    scorers : mapping of str to callable, optional
        Called with (estimator, X, y), greater is better; ``{"score": accuracy}`` if not given.
    corpus : HashedCorpus, optional
        Closed together with this.

    Attributes
    ----------
    bytes_written : int
        What had to be hashed for it; 0 if an earlier search had done so.
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
        scorers: Mapping[str, Scorer] | None = None,
        corpus: HashedCorpus | None = None,
    ) -> None:
        self.estimator, self.texts, self.y, self.sample_weight = estimator, texts, y, sample_weight
        self._scorers = {"score": _accuracy} if scorers is None else dict(scorers)
        self._corpus = corpus
        self.bytes_written = 0 if corpus is None else corpus.bytes_written
        self.notes = () if corpus is None else corpus.notes

    @property
    def identity(self) -> str:
        """Changes when the texts do: what a search that goes on compares."""
        return self.texts.identity

    def fitted(
        self, params: Mapping[str, Any], train_rows: NDArray[np.intp], resource: int | None = None
    ) -> Any:
        """A new estimator, fitted on rows in the order given, or on their prefix of ``resource`` rows.

        One thread hashes nothing: evaluations run side by side, and the model does not depend on threads.
        """
        rows = np.asarray(train_rows) if resource is None else prefix(train_rows, resource)
        estimator = clone(self.estimator).set_params(threads=1).set_params(**params)
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[rows]}
        return estimator.fit(self.texts[rows], self.y[rows], **weights)

    def evaluate(
        self,
        params: Mapping[str, Any],
        train_rows: NDArray[np.intp],
        test_rows: NDArray[np.intp],
        resource: int | None = None,
    ) -> dict[str, float]:
        """Scores of a candidate by the names of the scorers.

        Parameters
        ----------
        params : mapping
            What differs from the estimator's parameters.
        train_rows, test_rows : ndarray of int
            Rows of the texts.
        resource : int, optional
            Fit on so many of the rows only, and score on as many, but ``LEAST_TEST_ROWS`` at least: see
            :func:`prefix`. To score on all would take longer than the fit.
        """
        estimator = self.fitted(params, train_rows, resource)
        rows = np.asarray(test_rows)
        if resource is not None and resource < len(train_rows):
            rows = prefix(rows, max(LEAST_TEST_ROWS, resource))
        return {
            name: float(scorer(estimator, self.texts[rows], self.y[rows]))
            for name, scorer in self._scorers.items()
        }

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


def text_evaluator(
    estimator: Any,
    X: Any,
    y: ArrayLike | None = None,
    *,
    distributions: Distributions,
    scorers: Mapping[str, Scorer] | None = None,
    folder: str | os.PathLike[str] | None = None,
    limit_bytes: int = LIMIT_BYTES,
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    run: str | os.PathLike[str] | None = None,
) -> TextEvaluator | None:
    """An evaluator over hashed texts; None where :func:`is_hashed_once` says no.

    Parameters
    ----------
    estimator : estimator
    X : sequence of str of shape (n_rows,), or Dataset
        Texts that were hashed before are taken as they are.
    y : array-like of shape (n_rows,), optional
        Left out with a Dataset, which has its own labels.
    distributions : mapping, or sequence of mappings
        What is searched: for each parameter the values or their distribution.
    scorers : mapping of str to callable, optional
        See :class:`TextEvaluator`.
    folder, limit_bytes, threads, stop, run : optional
        See :meth:`HashedCorpus.of`.

    Raises
    ------
    SchemaError, PlanError, SourceError, CancelledError
        As :meth:`HashedCorpus.of`.
    """
    if not is_hashed_once(estimator, X, distributions):
        return None
    if isinstance(X, HashedTexts):
        return TextEvaluator(estimator, X, np.asarray(y), scorers=scorers)
    corpus = HashedCorpus.of(
        X, y, forms=forms_of(estimator, distributions) or (), folder=folder, limit_bytes=limit_bytes,
        threads=threads, stop=stop, run=run,
    )  # fmt: skip
    return TextEvaluator(
        estimator, corpus.texts, corpus.y, corpus.sample_weight, scorers=scorers, corpus=corpus
    )


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


def _accuracy(estimator: Any, X: Any, y: Any) -> float:
    return float(estimator.score(X, y))
