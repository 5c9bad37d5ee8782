"""Any linear regressor of scikit-learn, mixed."""

from __future__ import annotations

from typing import Any

from sklearn.base import RegressorMixin

from manymill.linear.parameter_mixing.base import ParameterMixing
from manymill.linear.parameter_mixing.scoring import ScoresDatasets


class ParameterMixingRegressor(ScoresDatasets, RegressorMixin, ParameterMixing):
    """Any linear regressor of scikit-learn, trained on parts of the rows in parallel and averaged.

    Rows are dealt to parts, each part is learnt apart from the others on any worker, and the coefficients are averaged,
    class by class; in several rounds all parts start from the average of the round before.

    Parameters
    ----------
    estimator : estimator or None
        ``SGDRegressor``, ``Ridge``, ``LinearRegression``, ``LinearSVR``, ``Lasso``; anything that has
        ``coef_`` and ``intercept_`` when it is fitted. None: SGDRegressor().
    n_partitions : int
        Parts; fewer where there are fewer than 5 rows a part. The model depends on it, but not on who learns a part.
    rounds : int
        1: every part is learnt by ``fit`` and averaged once. More: in each round every part goes on from the mean, by
        one ``partial_fit`` over its rows, or else by ``fit`` with ``warm_start``, for as long as ``max_iter`` says.
    partitioning : {"shuffled", "contiguous"}
        Rows dealt at random, cut in the order of the data.
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
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from manymill import ParameterMixingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> ParameterMixingRegressor(Ridge(alpha=0.01), n_partitions=4).fit(X, y).score(X, y) > 0.4
    True
    """

    _classification = False

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = get_tags(self._estimator()).target_tags.multi_output
        return tags

    def _estimator(self) -> Any:
        from sklearn.linear_model import SGDRegressor

        return SGDRegressor() if self.estimator is None else self.estimator
