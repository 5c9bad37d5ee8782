"""Any linear classifier of scikit-learn, mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from manymill.linear.parameter_mixing.base import ParameterMixing
from manymill.linear.parameter_mixing.scoring import ScoresDatasets


def _has(name: str) -> Any:
    """Whether the estimator to average has a method: asked before fitting as well."""

    def check(mixing: ParameterMixing) -> bool:
        getattr(getattr(mixing, "estimator_", None) or mixing._estimator(), name)
        return True

    return available_if(check)


class ParameterMixingClassifier(ScoresDatasets, ClassifierMixin, ParameterMixing):
    """Any linear classifier of scikit-learn, trained on parts of the rows in parallel and averaged.

    Rows are dealt to parts, each part is learnt apart from the others on any worker, and the coefficients are averaged,
    class by class; in several rounds all parts start from the average of the round before.

    Parameters
    ----------
    estimator : estimator or None
        ``SGDClassifier``, ``Perceptron``, ``LogisticRegression``, ``LinearSVC``, ``RidgeClassifier``; anything that
        has ``coef_`` and ``intercept_`` when it is fitted. None: SGDClassifier().
    n_partitions : int
        Parts; fewer where there are fewer than 5 rows a part. The model depends on it, but not on who learns a part.
    rounds : int
        1: every part is learnt by ``fit`` and averaged once. More: in each round every part goes on from the mean, by
        one ``partial_fit`` over its rows, or else by ``fit`` with ``warm_start``, for as long as ``max_iter`` says.
    partitioning : {"shuffled", "contiguous", "stratified"}
        Rows dealt at random, cut in the order of the data, or dealt
        class by class.
    weighting : {"rows", "uniform"}
        Whether a part's vote weighs as much as its rows (the sum of their weights), or as much as any other.
    vectorizer : transformer or None
        Turns texts into rows of features: then ``X`` is texts or a :class:`~manymill.Dataset`, whose blocks are read
        and vectorized where they are learnt. It needs no fitting, or has been fitted; only ``transform`` is called.
    validation_fraction : float or None
        Share of rows held out to score the parts and the average. None: 2 %, at most 20,000 rows, and none below
        5,000 rows (10 % there if ``reference``).
    reference : bool
        Whether the estimator is also fitted on all rows as it is, to compare with; this takes as long as
        training without parts, and all rows in one place.
    random_state : int, RandomState or None
        Decides how rows are dealt and held out, and the random stream of each part in each round.
    engine : None, int, str, Executor, distributed.Client or Engine
        Who learns parts: None for threads, ``"processes"``, ``"dask://cluster.json"``, an executor.
        The model does not depend on it.

    Attributes
    ----------
    estimator_ : estimator
        An ordinary fitted estimator of the kind of ``estimator``, which has the weighted mean for its coefficients.
    coef_, intercept_ : ndarray
        Those of ``estimator_``.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    scores_ : MixingScores or None
        Of the last round on held-out rows: ``parts``, ``average``, ``reference``; None if none are held out. A
        warning, :class:`~manymill.AveragingWarning`, says if the average lost.
    history_ : tuple of MixingRound
        A report of each round.
    n_partitions_ : int
        Parts there were.

    See Also
    --------
    manymill.TextClassifier : The faster way for text; not any estimator, but one made for it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from manymill import ParameterMixingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ParameterMixingClassifier(LogisticRegression(max_iter=1000), n_partitions=4).fit(X, y)
    >>> clf.estimator_
    LogisticRegression(max_iter=1000)
    >>> clf.score(X, y) > 0.9
    True
    """

    _classification = True

    def _estimator(self) -> Any:
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier() if self.estimator is None else self.estimator

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.classes_)

    @_has("decision_function")  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Scores: ``(n_rows,)`` for two classes, else ``(n_rows, n_classes)``; ``X`` as for `predict`."""
        X = self._features(X)
        return np.asarray(self.estimator_.decision_function(X))

    @_has("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probability of each class, ``(n_rows, n_classes)``; ``X`` as for `predict`."""
        X = self._features(X)
        return np.asarray(self.estimator_.predict_proba(X))

    @_has("predict_log_proba")  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """The logarithms of `predict_proba`."""
        X = self._features(X)
        return np.asarray(self.estimator_.predict_log_proba(X))
