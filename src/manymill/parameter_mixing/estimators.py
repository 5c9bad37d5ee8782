"""What the classifier and the regressor share: parameters, learning, prediction.

Any linear classifier of scikit-learn, mixed.

Any linear regressor of scikit-learn, mixed.

The score of an averaged estimator: on rows given with labels, or on a dataset, which has its own.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin
from sklearn.utils import check_X_y, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from manymill.data.dataset import Dataset
from manymill.engine.selection import engine_for
from manymill.errors import PlanError, SchemaError
from manymill.estimator_support import clone_with_engine, refuse_own_labels, seed_from
from manymill.parameter_mixing.fitting import Rows
from manymill.parameter_mixing.parts import (
    Partitioning,
    batches_of,
    classes_of,
    features_of,
    matrix_of,
    planned,
)
from manymill.parameter_mixing.rounds import AveragingWarning, mixed
from manymill.parameter_mixing.setup import (
    Asked,
    check_parameters,
    check_vectorizer,
    positive_weights,
    work_on_plan,
    work_on_rows,
)


class ParameterMixing(MetaEstimatorMixin, BaseEstimator):
    """Parts learnt on an engine and averaged; see the two estimators."""

    _classification: ClassVar[bool]

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_partitions: int = 8,
        rounds: int = 1,
        partitioning: Partitioning = "shuffled",
        weighting: str = "rows",
        vectorizer: Any = None,
        validation_fraction: float | None = None,
        reference: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        engine: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_partitions = n_partitions
        self.rounds = rounds
        self.partitioning = partitioning
        self.weighting = weighting
        self.vectorizer = vectorizer
        self.validation_fraction = validation_fraction
        self.reference = reference
        self.random_state = random_state
        self.engine = engine

    def __sklearn_clone__(self) -> Self:
        """A twin that has the same engine, and the vectorizer as it is, fitted or not."""
        return clone_with_engine(self, vectorizer=copy.deepcopy(self.vectorizer))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        if self.vectorizer is not None:
            tags.input_tags.string = tags.input_tags.one_d_array = True
            tags.input_tags.two_d_array = False
        return tags

    def _estimator(self) -> Any:
        raise NotImplementedError

    # ---- learning

    def fit(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the parts and average them.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), sequence of str, or Dataset
            Numbers; with a ``vectorizer`` texts, or what :func:`manymill.scan` gives.
        y : array-like of shape (n_rows,)
            Labels or targets; left out with a Dataset, which has its own.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more; a row of weight 0 is left out.

        Returns
        -------
        self

        Raises
        ------
        PlanError
            If a parameter is out of range, there is only one class, or no part has learnt anything of a class.
        SettingsError
            If the estimator is no linear model, or cannot go on from a mean in several rounds.
        SchemaError
            If lengths differ or a weight is negative.
        """
        check_parameters(self)
        asked = Asked(
            estimator=self._estimator(),
            n_parts=self.n_partitions,
            rounds=self.rounds,
            partitioning=self.partitioning,
            weigh=self.weighting == "rows",
            validation_fraction=self.validation_fraction,
            reference=self.reference,
            seed=seed_from(self.random_state),
        )
        # Matrices are multiplied in one thread each: the sums, and so the bytes, then are those of any engine.
        # Estimators change the filters of warnings while they are fitted, which threads side by side do not undo.
        with warnings.catch_warnings(), threadpool_limits(1), engine_for(self.engine) as engine:
            if isinstance(X, Dataset):
                work = self._of_dataset(X, y, sample_weight, asked, engine)
            else:
                rows, classes = self._of_rows(X, y, sample_weight)
                work = work_on_rows(rows, classes, asked, engine)
            self.estimator_, self.history_ = mixed(work, engine)
        self.scores_ = self.history_[-1].scores
        self.n_partitions_ = len(work.parts)
        if self.scores_ and (lost := self.scores_.lost(classification=self._classification)):
            hint = "take fewer parts or more rounds, or weigh whether to average at all"
            warnings.warn(f"{lost}; {hint}", AveragingWarning, stacklevel=2)
        return self

    def _of_dataset(self, X: Dataset, y: Any, sample_weight: Any, asked: Asked, engine: Any) -> Any:
        refuse_own_labels(y, sample_weight)
        if self.vectorizer is None:
            raise SchemaError(
                "a Dataset holds text, and no vectorizer is given", "give vectorizer=HashingVectorizer()"
            )
        check_vectorizer(self.vectorizer)
        plan = planned(X, self.n_partitions)
        names, classes = classes_of(plan) if self._classification else (None, None)
        return work_on_plan(plan, self.vectorizer, names, classes, asked, engine)

    def _of_rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[Rows, NDArray[Any] | None]:
        """The rows that count, labels as numbers of classes; and the classes."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        targets = not self._classification and self.__sklearn_tags__().target_tags.multi_output
        options = {"accept_sparse": "csr", "y_numeric": not self._classification, "multi_output": targets}
        if self.vectorizer is None:
            X, y = validate_data(self, X, y, **options)
        else:
            check_vectorizer(self.vectorizer)
            X, y = check_X_y(self.vectorizer.transform(X), y, **options)
        weight, counts = positive_weights(sample_weight, X)
        if counts is not None:
            X, y = X[counts], y[counts]
        if not self._classification:
            return Rows(X, np.asarray(y), weight), None
        check_classification_targets(y)
        classes, codes = np.unique(column_or_1d(y), return_inverse=True)
        if len(classes) < 2:
            raise PlanError(f"all rows have the same label, {classes.tolist()}: there is only one class")
        return Rows(X, codes.astype(np.int32), weight), classes

    # ---- predicting

    def predict(self, X: Any) -> NDArray[Any]:
        """What the averaged estimator predicts, ``(n_rows,)``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), sequence of str, or Dataset
        """
        X = self._features(X)
        return np.asarray(self.estimator_.predict(X))

    def _features(self, X: Any) -> Any:
        check_is_fitted(self, "estimator_")
        if self.vectorizer is None:
            return validate_data(self, X, accept_sparse="csr", reset=False)
        return features_of(self.vectorizer, X) if isinstance(X, Dataset) else self.vectorizer.transform(X)

    @property
    def coef_(self) -> NDArray[Any]:
        """Weights of the average."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.coef_)

    @property
    def intercept_(self) -> Any:
        """Intercepts of the average."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.intercept_


class ScoresDatasets:
    """Adds datasets to what the ``score`` of scikit-learn's mixins takes; stands before them."""

    vectorizer: Any
    estimator_: Any

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy, or R² for regression.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), sequence of str, or Dataset
            Records of a Dataset that are no rows are left out.
        y, sample_weight : array-like of shape (n_rows,)
            Labels or targets and, if wanted, weights; left out with a Dataset, which has its own labels.

        Raises
        ------
        SchemaError, PlanError
            If a Dataset has no labels, or has no row; if labels are given besides it.
        """
        if not isinstance(X, Dataset):
            return float(super().score(X, y, sample_weight))  # type: ignore[misc]
        check_is_fitted(self, "estimator_")
        refuse_own_labels(y, sample_weight)
        return score_on(X, self.vectorizer, self.estimator_, getattr(self, "classes_", None))


def score_on(dataset: Dataset, vectorizer: Any, model: Any, classes: NDArray[Any] | None) -> float:
    """Accuracy (files hold labels as text, so texts are compared), or R² for regression; rows weigh the same.

    Texts are read and vectorized batch by batch; what is kept is a label and a prediction a row.

    Raises
    ------
    SchemaError
        If the dataset has no labels.
    PlanError
        If it has no row.
    """
    if not dataset.labelled:
        raise SchemaError("the rows to score have no labels", "leave out labelled=False")
    told, said = [], []
    for batch in batches_of(dataset):
        if len(batch):
            said.append(model.predict(matrix_of(vectorizer, batch)))
            told += batch.labels()
    if not told:
        raise PlanError("there is no row to score", "look at the labels and texts of the files")
    guesses = np.concatenate(said)
    if classes is not None:
        return float(np.mean(guesses.astype(str) == np.array(told)))
    from sklearn.metrics import r2_score

    return float(r2_score(np.array(told, np.float64), guesses))


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
