"""Estimators that fit linear models of scikit-learn on parts of the rows in parallel and average them."""

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
from manymill.parameter_mixing.fitting import PartRows
from manymill.parameter_mixing.parts import (
    Partitioning,
    plan_blocks,
    read_batches,
    sampled_classes,
    vectorize_batch,
    vectorize_dataset,
)
from manymill.parameter_mixing.rounds import AveragingWarning, MixingJob, run_mixing
from manymill.parameter_mixing.setup import (
    MixingRequest,
    check_parameters,
    check_vectorizer,
    check_weights,
    job_from_plan,
    job_from_rows,
)


class ParameterMixing(MetaEstimatorMixin, BaseEstimator):
    """Base class of the two estimators."""

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
        """An unfitted copy with the same engine, and with a copy of the vectorizer, fitted or not."""
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

    # ---- fit

    def fit(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the parts and average them.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), sequence of str, or Dataset
            Numbers; with a ``vectorizer``, texts or the result of :func:`manymill.scan`.
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
            If there is only one class, or no part has a model of some class.
        SettingsError
            If a parameter is invalid, the estimator is not a linear model, or it does not support several rounds.
        SchemaError
            If a Dataset has no labels, or a weight is negative.

        Warns
        -----
        AveragingWarning
            If the average scores lower on held-out rows than the best part or the reference.
        """
        check_parameters(self)
        request = MixingRequest(
            estimator=self._estimator(),
            n_parts=self.n_partitions,
            rounds=self.rounds,
            partitioning=self.partitioning,
            weight_by_rows=self.weighting == "rows",
            validation_fraction=self.validation_fraction,
            reference=self.reference,
            seed=seed_from(self.random_state),
        )
        # One thread per matrix product: sums, and so the bytes of the model, do not depend on the engine.
        # Estimators change the filters of warnings during fit, which concurrent threads would not restore.
        with warnings.catch_warnings(), threadpool_limits(1), engine_for(self.engine) as engine:
            if isinstance(X, Dataset):
                job = self._job_from_dataset(X, y, sample_weight, request, engine)
            else:
                rows, classes = self._validate_rows(X, y, sample_weight)
                job = job_from_rows(rows, classes, request, engine)
            self.estimator_, self.history_ = run_mixing(job, engine)
        self.scores_ = self.history_[-1].scores
        self.n_partitions_ = len(job.parts)
        if self.scores_ and (lost := self.scores_.lost(classification=self._classification)):
            hint = "use fewer parts or more rounds, or do not average"
            warnings.warn(f"{lost}; {hint}", AveragingWarning, stacklevel=2)
        return self

    def _job_from_dataset(
        self, X: Dataset, y: Any, sample_weight: Any, request: MixingRequest, engine: Any
    ) -> MixingJob:
        refuse_own_labels(y, sample_weight)
        if self.vectorizer is None:
            raise SchemaError(
                "a Dataset contains text, and no vectorizer is given", "give vectorizer=HashingVectorizer()"
            )
        check_vectorizer(self.vectorizer)
        plan = plan_blocks(X, self.n_partitions)
        names, classes = sampled_classes(plan) if self._classification else (None, None)
        return job_from_plan(plan, self.vectorizer, names, classes, request, engine)

    def _validate_rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[PartRows, NDArray[Any] | None]:
        """The rows of positive weight, with class indices as labels; and the classes."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        several = not self._classification and self.__sklearn_tags__().target_tags.multi_output
        options = {"accept_sparse": "csr", "y_numeric": not self._classification, "multi_output": several}
        if self.vectorizer is None:
            X, y = validate_data(self, X, y, **options)
        else:
            check_vectorizer(self.vectorizer)
            X, y = check_X_y(self.vectorizer.transform(X), y, **options)
        weight, positive = check_weights(sample_weight, X)
        if positive is not None:
            X, y = X[positive], y[positive]
        if not self._classification:
            return PartRows(X, np.asarray(y), weight), None
        check_classification_targets(y)
        classes, codes = np.unique(column_or_1d(y), return_inverse=True)
        if len(classes) < 2:
            raise PlanError(f"all rows have the same label, {classes.tolist()}: there is only one class")
        return PartRows(X, codes.astype(np.int32), weight), classes

    # ---- predict

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict labels or values with the averaged estimator, ``(n_rows,)``.

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
        if isinstance(X, Dataset):
            return vectorize_dataset(self.vectorizer, X)
        return self.vectorizer.transform(X)

    @property
    def coef_(self) -> NDArray[Any]:
        """Coefficients of the averaged estimator."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.coef_)

    @property
    def intercept_(self) -> Any:
        """Intercepts of the averaged estimator."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.intercept_


class DatasetScoreMixin:
    """Extends ``score`` of scikit-learn's mixins to datasets; precedes them among the base classes."""

    vectorizer: Any
    estimator_: Any

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy, or R² for regression.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), sequence of str, or Dataset
            Invalid records of a Dataset are left out.
        y, sample_weight : array-like of shape (n_rows,)
            Labels or targets, and optional weights; left out with a Dataset, which has its own labels.

        Raises
        ------
        SchemaError, PlanError
            If a Dataset has no labels or no rows, or if labels are given together with it.
        """
        if not isinstance(X, Dataset):
            return float(super().score(X, y, sample_weight))  # type: ignore[misc]
        check_is_fitted(self, "estimator_")
        refuse_own_labels(y, sample_weight)
        return score_dataset(X, self.vectorizer, self.estimator_, getattr(self, "classes_", None))


def score_dataset(dataset: Dataset, vectorizer: Any, model: Any, classes: NDArray[Any] | None) -> float:
    """Accuracy, or R² for regression, on a dataset; all rows have the same weight.

    Labels in files are text, so labels are compared as strings. Texts are read and vectorized batch by batch; only
    labels and predictions stay in memory.

    Raises
    ------
    SchemaError
        If the dataset has no labels.
    PlanError
        If it has no rows.
    """
    if not dataset.labelled:
        raise SchemaError("the rows to score have no labels", "leave out labelled=False")
    labels: list[str] = []
    predictions = []
    for batch in read_batches(dataset):
        if len(batch):
            predictions.append(model.predict(vectorize_batch(vectorizer, batch)))
            labels += batch.labels()
    if not labels:
        raise PlanError("there are no rows to score", "check the labels and texts of the files")
    predicted = np.concatenate(predictions)
    if classes is not None:
        return float(np.mean(predicted.astype(str) == np.array(labels)))
    from sklearn.metrics import r2_score

    return float(r2_score(np.array(labels, np.float64), predicted))


def _if_estimator_has(name: str) -> Any:
    """Make a method available only if the estimator, fitted or not, has it."""

    def check(mixing: ParameterMixing) -> bool:
        getattr(getattr(mixing, "estimator_", None) or mixing._estimator(), name)
        return True

    return available_if(check)


class ParameterMixingClassifier(DatasetScoreMixin, ClassifierMixin, ParameterMixing):
    """Any linear classifier of scikit-learn, fitted on parts of the rows in parallel and averaged.

    Rows are assigned to parts, the estimator is fitted on each part on any worker, and the coefficients are averaged,
    class by class; with several rounds, all parts start from the average of the previous round.

    Parameters
    ----------
    estimator : estimator or None
        ``SGDClassifier``, ``Perceptron``, ``LogisticRegression``, ``LinearSVC``, ``RidgeClassifier``, or any other with
        ``coef_`` and ``intercept_`` after ``fit``. None: SGDClassifier().
    n_partitions : int
        Number of parts; fewer if parts would have less than 5 rows. The model depends on this number, but not on the
        workers.
    rounds : int
        1: every part is fitted by ``fit``, and models are averaged once. More: in each round every part starts from the
        mean, with one ``partial_fit`` over its rows, or else with ``fit`` and ``warm_start`` for up to ``max_iter``
        iterations.
    partitioning : {"shuffled", "contiguous", "stratified"}
        Rows are shuffled, split in the order of the data, or shuffled class by class.
    weighting : {"rows", "uniform"}
        Whether the weight of a part in the mean is the sum of the weights of its rows, or the same for all parts.
    vectorizer : transformer or None
        Turns texts into rows of features: then ``X`` is texts or a :class:`~manymill.Dataset`, whose blocks are read
        and vectorized by the workers. It needs no fitting, or has been fitted; only ``transform`` is called.
    validation_fraction : float or None
        Share of rows held out to score the parts and the average. None: 2 %, at most 20,000 rows, and none below
        5,000 rows (10 % there if ``reference``).
    reference : bool
        Whether to fit the estimator on all rows as well, for comparison; this takes as long as training without parts,
        and needs all rows on one worker.
    random_state : int, RandomState or None
        Seed of the assignment of rows, of the held-out rows, and of each part in each round.
    engine : None, int, str, Executor, distributed.Client or Engine
        Executes the tasks: None for threads, ``"processes"``, ``"dask://cluster.json"``, an executor.
        The model does not depend on it.

    Attributes
    ----------
    estimator_ : estimator
        An ordinary fitted estimator of the class of ``estimator``, with the weighted mean as its coefficients.
    coef_, intercept_ : ndarray
        Those of ``estimator_``.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    scores_ : MixingScores or None
        Scores of the last round on held-out rows: ``parts``, ``average``, ``reference``; None if none are held out. If
        the average scores lower than the others, the fit warns (:class:`~manymill.AveragingWarning`).
    history_ : tuple of MixingRound
        A report of each round.
    n_partitions_ : int
        Number of parts.

    See Also
    --------
    manymill.TextClassifier : Faster for text, with a model of its own instead of any estimator.

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

    @_if_estimator_has("decision_function")  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Scores: ``(n_rows,)`` for two classes, else ``(n_rows, n_classes)``; ``X`` as for `predict`."""
        X = self._features(X)
        return np.asarray(self.estimator_.decision_function(X))

    @_if_estimator_has("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probability of each class, ``(n_rows, n_classes)``; ``X`` as for `predict`."""
        X = self._features(X)
        return np.asarray(self.estimator_.predict_proba(X))

    @_if_estimator_has("predict_log_proba")  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """The logarithms of `predict_proba`."""
        X = self._features(X)
        return np.asarray(self.estimator_.predict_log_proba(X))


class ParameterMixingRegressor(DatasetScoreMixin, RegressorMixin, ParameterMixing):
    """Any linear regressor of scikit-learn, fitted on parts of the rows in parallel and averaged.

    Rows are assigned to parts, the estimator is fitted on each part on any worker, and the coefficients are averaged,
    class by class; with several rounds, all parts start from the average of the previous round.

    Parameters
    ----------
    estimator : estimator or None
        ``SGDRegressor``, ``Ridge``, ``LinearRegression``, ``LinearSVR``, ``Lasso``, or any other with ``coef_`` and
        ``intercept_`` after ``fit``. None: SGDRegressor().
    n_partitions : int
        Number of parts; fewer if parts would have less than 5 rows. The model depends on this number, but not on the
        workers.
    rounds : int
        1: every part is fitted by ``fit``, and models are averaged once. More: in each round every part starts from the
        mean, with one ``partial_fit`` over its rows, or else with ``fit`` and ``warm_start`` for up to ``max_iter``
        iterations.
    partitioning : {"shuffled", "contiguous"}
        Rows are shuffled, or split in the order of the data.
    weighting : {"rows", "uniform"}
        Whether the weight of a part in the mean is the sum of the weights of its rows, or the same for all parts.
    vectorizer : transformer or None
        Turns texts into rows of features: then ``X`` is texts or a :class:`~manymill.Dataset`, whose blocks are read
        and vectorized by the workers. It needs no fitting, or has been fitted; only ``transform`` is called.
    validation_fraction : float or None
        Share of rows held out to score the parts and the average. None: 2 %, at most 20,000 rows, and none below
        5,000 rows (10 % there if ``reference``).
    reference : bool
        Whether to fit the estimator on all rows as well, for comparison; this takes as long as training without parts,
        and needs all rows on one worker.
    random_state : int, RandomState or None
        Seed of the assignment of rows, of the held-out rows, and of each part in each round.
    engine : None, int, str, Executor, distributed.Client or Engine
        Executes the tasks: None for threads, ``"processes"``, ``"dask://cluster.json"``, an executor.
        The model does not depend on it.

    Attributes
    ----------
    estimator_ : estimator
        An ordinary fitted estimator of the class of ``estimator``, with the weighted mean as its coefficients.
    coef_, intercept_ : ndarray
        Those of ``estimator_``.
    scores_ : MixingScores or None
        Scores of the last round on held-out rows: ``parts``, ``average``, ``reference``; None if none are held out. If
        the average scores lower than the others, the fit warns (:class:`~manymill.AveragingWarning`).
    history_ : tuple of MixingRound
        A report of each round.
    n_partitions_ : int
        Number of parts.

    See Also
    --------
    manymill.TextClassifier : Faster for text, with a model of its own instead of any estimator.

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
