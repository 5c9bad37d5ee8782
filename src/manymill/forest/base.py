"""What the classifier and the regressor share: parameters, growing, prediction."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from manymill.engine.choosing import engine_for
from manymill.engine.seam import Engine
from manymill.forest.growing import Growth, grow
from manymill.forest.kinds import ensemble_of
from manymill.forest.parameters import check_parameters, entropy_of
from manymill.forest.preparing import Parting, Work, numbered, prepare_parts, prepare_whole
from manymill.forest.rows import Rows, rows_of
from manymill.forest.shells import shell_of


class PartitionedForest(MetaEstimatorMixin, BaseEstimator):
    """Trees grown on an engine, and one forest of them; see the two estimators."""

    _classification: ClassVar[bool]

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_estimators: int | None = None,
        mode: str = "shared",
        n_partitions: int = 8,
        max_samples: float | int | None = None,
        max_features: float | int = 1.0,
        validation_fraction: float | None = None,
        early_stopping: bool = False,
        tol: float = 1e-3,
        n_trees_no_change: int = 20,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        engine: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.mode = mode
        self.n_partitions = n_partitions
        self.max_samples = max_samples
        self.max_features = max_features
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.tol = tol
        self.n_trees_no_change = n_trees_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.engine = engine

    def __sklearn_clone__(self) -> Self:
        """A twin that has the same engine: who has a pool has one."""
        own = self.get_params(deep=False)
        engine = own.pop("engine")
        twin = type(self)(**{name: clone(value, safe=False) for name, value in own.items()}, engine=engine)
        for name in ("_metadata_request", "_sklearn_output_config"):
            if hasattr(self, name):
                setattr(twin, name, copy.deepcopy(getattr(self, name)))
        return twin

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        own = get_tags(ensemble_of(self.estimator, classification=self._classification))
        tags.input_tags.allow_nan = own.input_tags.allow_nan
        tags.input_tags.sparse = own.input_tags.sparse
        tags.target_tags.multi_output = own.target_tags.multi_output
        return tags

    # ---- growing

    def fit(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Grow the trees.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features)
            A matrix that is mapped from a file (``numpy.memmap``) is not copied.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Labels or targets.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more.

        Returns
        -------
        self

        Raises
        ------
        SettingsError
            If a parameter is out of range, or the estimator's trees cannot be grown apart from each other.
        SchemaError
            If a value is infinite, or missing where the trees cannot do without.
        """
        check_parameters(self)
        ensemble = self._ensemble()
        whole = self.mode == "shared"
        rows = rows_of(self, ensemble, X, y, sample_weight, sparse_format="csc" if whole else "csr")
        with threadpool_limits(1), engine_for(self.engine) as engine:
            work = self._work(ensemble, rows, None, engine)
            growth = Growth()
            grow(work.tasks, engine, growth, keys=work.keys)
        self.forest_ = work.forest(growth.members)
        if hasattr(self, "feature_names_in_"):
            self.forest_.feature_names_in_ = self.feature_names_in_
        return self

    def _ensemble(self) -> Any:
        """An unfitted ensemble with our number of trees and random state."""
        ensemble = ensemble_of(self.estimator, classification=self._classification)
        if self.n_estimators is not None:
            ensemble.n_estimators = self.n_estimators
        ensemble.random_state = self.random_state
        ensemble.warm_start = False
        return ensemble

    def _work(self, ensemble: Any, rows: Rows, held: NDArray[np.intp] | None, engine: Engine) -> Work:
        goes_on = self.warm_start and hasattr(self, "forest_")
        if self.mode == "shared":
            if goes_on:
                earlier = copy.copy(self.forest_)
                ensemble = earlier.set_params(**ensemble.get_params(deep=False))
                ensemble.estimators_ = list(earlier.estimators_)
                ensemble.warm_start = True
            return prepare_whole(ensemble, rows, engine)
        rows, classes = numbered(ensemble, rows, classification=self._classification)
        n_outputs = 1 if rows.y.ndim == 1 else rows.y.shape[1]
        parting = Parting(
            self.mode, self.n_partitions, self.max_samples, self.max_features, entropy_of(self.random_state)
        )
        shell = self.forest_ if goes_on else shell_of(clone(ensemble), rows.n_features, classes, n_outputs)
        return prepare_parts(ensemble, shell, rows, classes, parting, held, engine)

    # ---- predicting

    def predict(self, X: Any) -> NDArray[Any]:
        """What the forest predicts, ``(n_rows,)`` or ``(n_rows, n_outputs)``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features)
        """
        check_is_fitted(self, "forest_")
        return np.asarray(self.forest_.predict(X))

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """The mean decrease of impurity by each column, ``(n_features,)``; they sum to 1."""
        check_is_fitted(self, "forest_")
        return np.asarray(self.forest_.feature_importances_)

    @property
    def estimators_(self) -> list[Any]:
        """The trees."""
        check_is_fitted(self, "forest_")
        return list(self.forest_.estimators_)
