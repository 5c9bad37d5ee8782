"""What the classifier and the regressor share: parameters, learning, prediction."""

from __future__ import annotations

import copy
import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import check_X_y, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from manymill.data.dataset import Dataset
from manymill.engine.selection import engine_for
from manymill.engine.twins import twin_of
from manymill.errors import PlanError, SchemaError
from manymill.linear.parameter_mixing.datasets import classes_of, features_of, planned
from manymill.linear.parameter_mixing.learning import Rows
from manymill.linear.parameter_mixing.mixing import mixed
from manymill.linear.parameter_mixing.parameters import (
    check_parameters,
    check_vectorizer,
    positive_weights,
    seed_of,
)
from manymill.linear.parameter_mixing.partitioning import Partitioning
from manymill.linear.parameter_mixing.preparing import Asked, work_on_plan, work_on_rows
from manymill.linear.parameter_mixing.reports import AveragingWarning


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
        return twin_of(self, vectorizer=copy.deepcopy(self.vectorizer))

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
            seed=seed_of(self.random_state),
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
        if y is not None or sample_weight is not None:
            raise SchemaError("a Dataset has its own labels and weights", "leave out y and sample_weight")
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
