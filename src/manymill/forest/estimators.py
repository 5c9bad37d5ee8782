"""Estimators that train any forest of scikit-learn in parallel."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from manymill.engine.base import Engine
from manymill.engine.selection import engine_for
from manymill.errors import SettingsError
from manymill.estimator_support import clone_with_engine, seed_from
from manymill.events import Event, Observer
from manymill.forest.budget import LeafBudget, apply_budget, leaf_budget, saved_bytes
from manymill.forest.checkpoints import TreeFolder, fingerprint
from manymill.forest.growth import ForestFit, plan_scoring
from manymill.forest.parameters import (
    check_parameters,
    grows_trees,
    make_ensemble,
    resolve_count,
    tree_settings,
)
from manymill.forest.rows import TrainingRows, encode_prediction_rows, encode_training_rows, validate_rows
from manymill.forest.sklearn_fit import empty_ensemble
from manymill.forest.tasks import (
    GrowthPlan,
    Subsampling,
    draw_held_out,
    encode_labels,
    plan_shared,
    plan_subsets,
    score_out_of_bag,
)
from manymill.run_folder import RunFolder

_OOB_KINDS = {"shared": "whole", "partitions": "per-partition", "patches": "per-patch"}


class PartitionedForest(MetaEstimatorMixin, BaseEstimator):
    """Base class of the two estimators."""

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
        max_bytes: int | None = None,
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
        self.max_bytes = max_bytes
        self.warm_start = warm_start
        self.random_state = random_state
        self.engine = engine

    def __sklearn_clone__(self) -> Self:
        """An unfitted copy that uses the same engine."""
        return clone_with_engine(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        ensemble_tags = get_tags(make_ensemble(self.estimator, classification=self._classification))
        tags.input_tags.allow_nan = ensemble_tags.input_tags.allow_nan
        tags.input_tags.sparse = ensemble_tags.input_tags.sparse
        tags.target_tags.multi_output = ensemble_tags.target_tags.multi_output
        return tags

    # ---- fit

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation: tuple[Any, ArrayLike] | None = None,
        run: str | PathLike[str] | None = None,
        observe: Observer | None = None,
    ) -> Self:
        """Grow the trees; Ctrl-C ends the fit with the trees so far.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), or Dataset
            A matrix that is mapped from a file (``numpy.memmap``) is not copied. Of a Dataset of Parquet or CSV files,
            columns of numbers and categories are used, missing values included; a warning names the columns that are
            left out.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Labels or targets; left out with a Dataset, which has its own.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more.
        validation : (X, y), optional
            Rows to score the forest and its partitions with; instead of ``validation_fraction``.
        run : path, optional
            A run folder, to which events and trees are written as they come. A fit that was killed is resumed by a fit
            with the same rows, parameters and folder: only missing trees are grown.
        observe : callable, optional
            Called with each event (:mod:`manymill.events`), such as ``TreeGrown``.

        Returns
        -------
        self

        Raises
        ------
        SettingsError
            If a parameter is invalid, or the trees of the estimator depend on each other.
        SchemaError
            If a value is infinite, or missing where the estimator does not support that.
        RunFolderError
            If the run folder cannot be written.

        Warns
        -----
        ForestWarning
            If partitions differ in their classes, rows are unused, columns are left out, or the fit was interrupted.
        """
        check_parameters(self)
        X, y, schema = encode_training_rows(X, y, classification=self._classification)
        ensemble = self._make_ensemble()
        sparse_format = "csc" if self.mode == "shared" else "csr"
        rows = validate_rows(self, ensemble, X, y, sample_weight, sparse_format=sparse_format)
        held_out, scored = self._hold_out(ensemble, rows, validation)
        if held_out is not None and self.mode == "shared":
            rows, held_out = rows.subset(np.setdiff1d(np.arange(len(rows)), held_out)), None
        ensemble, budget = self._limit_size(ensemble, rows)
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(1))
            engine = stack.enter_context(engine_for(self.engine))
            folder = None if run is None else stack.enter_context(RunFolder(run))
            if folder is not None:
                stack.enter_context(folder.recording_warnings())
            fit = self._start_fit(ensemble, rows, held_out, scored, engine, folder, observe)
            self._running_fit = fit
            try:
                fit.run(engine)
            finally:
                del self._running_fit
            self._finish_fit(fit, rows, budget)
        self.schema_ = schema
        return self

    def partial(self) -> Any:
        """The forest of the trees so far, while ``fit`` runs in another thread; afterwards the complete forest.

        Raises
        ------
        NotFittedError
            If there is no tree yet.
        """
        fit = getattr(self, "_running_fit", None)
        if fit is None:
            check_is_fitted(self, "forest_")
            return self.forest_
        if not (members := fit.members):
            raise NotFittedError("there is no tree yet")
        return fit.plan.forest(members)

    def _start_fit(
        self,
        ensemble: Any,
        rows: TrainingRows,
        held_out: NDArray[np.intp] | None,
        scored: TrainingRows | None,
        engine: Engine,
        folder: RunFolder | None,
        observe: Observer | None,
    ) -> ForestFit:
        trees = None
        if folder is not None:
            digest = fingerprint(rows, held_out, tree_settings(self, ensemble))
            folder.write_plan(
                {"kind": "forest", "mode": self.mode, "trees": ensemble.n_estimators, "digest": digest}
            )
            trees = TreeFolder(folder.checkpoint, digest)
        plan = self._plan(ensemble, rows, held_out, engine)
        scoring = plan_scoring(
            plan,
            rows,
            scored,
            tol=self.tol,
            n_trees=self.n_trees_no_change,
            early_stopping=self.early_stopping,
            out_of_bag=self.mode != "shared" and bool(ensemble.oob_score),
        )

        def emit(event: Event) -> None:
            if folder is not None:
                folder.record(event)
            if observe is not None:
                observe(event)

        return ForestFit(plan, scoring, emit, trees)

    def _finish_fit(self, fit: ForestFit, rows: TrainingRows, budget: LeafBudget | None) -> None:
        """Set the fitted attributes."""
        self.forest_ = fit.plan.forest(fit.members)
        for name in ("oob_score_", "oob_score_kind_"):
            self.__dict__.pop(name, None)
        if self.mode == "shared" and self.forest_.oob_score:
            score_out_of_bag(self.forest_, rows)
            self.oob_score_, self.oob_score_kind_ = self.forest_.oob_score_, _OOB_KINDS["shared"]
        elif fit.scoring.out_of_bag is not None:
            self.oob_score_ = fit.scoring.out_of_bag.sums.score()
            self.oob_score_kind_ = _OOB_KINDS[self.mode]
        if hasattr(self, "feature_names_in_"):
            self.forest_.feature_names_in_ = self.feature_names_in_
        self.forest_.warm_start = False
        n_bytes = saved_bytes(self.forest_) if grows_trees(self.forest_) else None
        self.report_ = replace(fit.report(self.mode), budget=budget, saved_bytes=n_bytes)

    def _hold_out(
        self, ensemble: Any, rows: TrainingRows, validation: tuple[Any, Any] | None
    ) -> tuple[NDArray[np.intp] | None, TrainingRows | None]:
        """Sorted indices of the rows that no tree is grown on, and the rows to score with."""
        if validation is not None:
            if self.validation_fraction is not None:
                raise SettingsError(
                    "validation=(X, y) and validation_fraction are both given", "give only one of them"
                )
            if not isinstance(validation, tuple | list) or len(validation) != 2:
                raise SettingsError("validation is invalid: expected a pair (X, y)")
            return None, validate_rows(self, ensemble, *validation, None, sparse_format="csr", reset=False)
        if self.validation_fraction is None:
            return None, None
        if self.mode == "shared" and isinstance(rows.X, np.memmap):
            raise SettingsError(
                'validation_fraction with mode="shared" would copy the rows that are mapped from a file',
                "give validation=(X, y)",
            )
        n_held_out = min(resolve_count(self.validation_fraction, len(rows)), len(rows) - 1)
        held_out = draw_held_out(seed_from(self.random_state), len(rows), n_held_out)
        return held_out, rows.subset(held_out)

    def _make_ensemble(self) -> Any:
        """An unfitted ensemble with our number of trees and random state."""
        ensemble = make_ensemble(self.estimator, classification=self._classification)
        if self.n_estimators is not None:
            ensemble.n_estimators = self.n_estimators
        ensemble.random_state = self.random_state
        ensemble.warm_start = False
        return ensemble

    def _limit_size(self, ensemble: Any, rows: TrainingRows) -> tuple[Any, LeafBudget | None]:
        """The ensemble with its leaves limited by ``max_bytes``."""
        if self.max_bytes is None:
            return ensemble, None
        rows_per_tree = len(rows)
        if self.mode == "patches" and self.max_samples is not None:
            rows_per_tree = resolve_count(self.max_samples, rows_per_tree)
        elif self.mode != "shared":
            rows_per_tree = -(-rows_per_tree // self.n_partitions)
        budget = leaf_budget(
            ensemble,
            rows.X,
            rows.y,
            n_estimators=ensemble.n_estimators,
            max_bytes=self.max_bytes,
            rows_per_tree=rows_per_tree,
        )
        return apply_budget(ensemble, budget), budget

    def _plan(
        self, ensemble: Any, rows: TrainingRows, held_out: NDArray[np.intp] | None, engine: Engine
    ) -> GrowthPlan:
        extend = self.warm_start and hasattr(self, "forest_")
        if self.mode == "shared":
            if extend:
                earlier = copy.copy(self.forest_)
                ensemble = earlier.set_params(**ensemble.get_params(deep=False))
                ensemble.estimators_ = list(earlier.estimators_)
                ensemble.warm_start = True
            return plan_shared(ensemble, rows, engine)
        rows, classes = encode_labels(ensemble, rows, classification=self._classification)
        n_outputs = 1 if rows.y.ndim == 1 else rows.y.shape[1]
        subsampling = Subsampling(
            self.mode, self.n_partitions, self.max_samples, self.max_features, seed_from(self.random_state)
        )
        fitted = self.forest_ if extend else empty_ensemble(ensemble, rows.n_features, classes, n_outputs)
        return plan_subsets(ensemble, fitted, rows, classes, subsampling, held_out, engine)

    # ---- predict

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict labels or values, ``(n_rows,)`` or ``(n_rows, n_outputs)``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), or Dataset with the columns of the training data
        """
        check_is_fitted(self, "forest_")
        return np.asarray(self.forest_.predict(self._encode(X)))

    def _encode(self, X: Any) -> Any:
        return encode_prediction_rows(X, getattr(self, "schema_", None))

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


class PartitionedForestClassifier(ClassifierMixin, PartitionedForest):
    """Any forest of scikit-learn, trained in parallel on shared data or on partitions.

    Trees are grown in one of three modes:

    - ``"shared"``: every worker maps all rows and grows some of the trees. They equal those of scikit-learn's own
      ``fit`` with the same ``random_state``, bit for bit, for any number of workers.
    - ``"partitions"``: rows are split into consecutive partitions, and each tree is grown on one of them: for data that
      does not fit into the memory of a worker. The accuracy is close to that of a forest on all rows where there are
      many rows and partitions are alike, and much lower where rows are sorted. The fit measures how much partitions
      differ.
    - ``"patches"``: each tree is grown on rows, and columns, drawn from all partitions (random patches, Louppe & Geurts
      2012): with as little memory, whatever the order of the rows.

    Parameters
    ----------
    estimator : estimator or None
        Any forest or bagging ensemble of scikit-learn, or a single tree, which is then bagged. None: extra-trees.
        Boosting is refused: its trees depend on each other.
    n_estimators : int or None
        Number of trees; None: that of ``estimator``.
    mode : {"shared", "partitions", "patches"}
        See above.
    n_partitions : int
        Number of partitions. Trees are assigned to partitions in proportion to their rows. The forest depends on this
        number, but not on the workers.
    max_samples : int, float or None
        Rows of a patch, or their share; None: as many as a partition has.
    max_features : int or float
        Columns of a patch, or their share (the parameter of ``estimator`` with the same name is for each split).
    validation_fraction : float or None
        Share of rows that are held out, to score the forest and the trees of each partition.
    early_stopping : bool
        Whether the fit stops when the score has converged: on held-out rows if there are any, otherwise out of bag.
    tol : float
        The score has converged when it changes by no more than this over the last trees.
    n_trees_no_change : int
        The number of last trees.
    max_bytes : int or None
        Maximum size in bytes of the saved forest (:func:`manymill.save_forest`): the number of leaves per tree is
        limited accordingly. ``report_.budget`` has the limit; there is none if the trees fit without one.
    warm_start : bool
        Whether ``fit`` adds trees to those of the last fit. Growing 50 and then 50 more gives the 100 of one fit.
    random_state : int, RandomState or None
        Seed of every tree.
    engine : None, int, str, Executor, distributed.Client or Engine
        Executes the tasks: None for threads (growing trees releases Python's lock), ``"processes"``,
        ``"dask://cluster.json"``, an executor. The forest does not depend on it.

    Attributes
    ----------
    forest_ : estimator
        An ordinary fitted forest of scikit-learn, of the class of ``estimator``.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    feature_importances_ : ndarray of shape (n_features,)
        The mean decrease of impurity by each column.
    schema_ : TableSchema or None
        With a Dataset: its columns, and the codes of their categories.
    report_ : ForestReport
        Numbers of trees and nodes, held-out scores of the forest and of the trees of each partition, and how much
        partitions differ in their classes. If they differ too much, the fit warns (:class:`~manymill.ForestWarning`).
    oob_score_ : float
        Out-of-bag score, if ``estimator`` has ``oob_score=True`` or early stopping needs it.
    oob_score_kind_ : {"whole", "per-partition", "per-patch"}
        The rows that trees could have drawn: all rows, or those of one partition or patch, which is less informative.

    See Also
    --------
    manymill.combine_forests : Combine forests that were trained elsewhere into one.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from manymill import PartitionedForestClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = PartitionedForestClassifier(n_estimators=50, mode="patches", n_partitions=4).fit(X, y)
    >>> forest.forest_
    ExtraTreesClassifier(n_estimators=50, random_state=0)
    >>> forest.score(X, y) > 0.9
    True
    """

    _classification = True

    @property
    def classes_(self) -> Any:
        """The labels, sorted; a list of such arrays if there are several outputs."""
        check_is_fitted(self, "forest_")
        return self.forest_.classes_

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, ``(n_rows, n_classes)``; a list of such arrays for several outputs."""
        check_is_fitted(self, "forest_")
        return self.forest_.predict_proba(self._encode(X))

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of `predict_proba`."""
        check_is_fitted(self, "forest_")
        return self.forest_.predict_log_proba(self._encode(X))


class PartitionedForestRegressor(RegressorMixin, PartitionedForest):
    """Any forest of scikit-learn, trained in parallel on shared data or on partitions.

    Trees are grown in one of three modes:

    - ``"shared"``: every worker maps all rows and grows some of the trees. They equal those of scikit-learn's own
      ``fit`` with the same ``random_state``, bit for bit, for any number of workers.
    - ``"partitions"``: rows are split into consecutive partitions, and each tree is grown on one of them: for data that
      does not fit into the memory of a worker. The accuracy is close to that of a forest on all rows where there are
      many rows and partitions are alike, and much lower where rows are sorted. The fit measures how much partitions
      differ.
    - ``"patches"``: each tree is grown on rows, and columns, drawn from all partitions (random patches, Louppe & Geurts
      2012): with as little memory, whatever the order of the rows.

    Parameters
    ----------
    estimator : estimator or None
        Any forest or bagging ensemble of scikit-learn, or a single tree, which is then bagged. None: extra-trees.
        Boosting is refused: its trees depend on each other.
    n_estimators : int or None
        Number of trees; None: that of ``estimator``.
    mode : {"shared", "partitions", "patches"}
        See above.
    n_partitions : int
        Number of partitions. Trees are assigned to partitions in proportion to their rows. The forest depends on this
        number, but not on the workers.
    max_samples : int, float or None
        Rows of a patch, or their share; None: as many as a partition has.
    max_features : int or float
        Columns of a patch, or their share (the parameter of ``estimator`` with the same name is for each split).
    validation_fraction : float or None
        Share of rows that are held out, to score the forest and the trees of each partition.
    early_stopping : bool
        Whether the fit stops when the score has converged: on held-out rows if there are any, otherwise out of bag.
    tol : float
        The score has converged when it changes by no more than this over the last trees.
    n_trees_no_change : int
        The number of last trees.
    max_bytes : int or None
        Maximum size in bytes of the saved forest (:func:`manymill.save_forest`): the number of leaves per tree is
        limited accordingly. ``report_.budget`` has the limit; there is none if the trees fit without one.
    warm_start : bool
        Whether ``fit`` adds trees to those of the last fit. Growing 50 and then 50 more gives the 100 of one fit.
    random_state : int, RandomState or None
        Seed of every tree.
    engine : None, int, str, Executor, distributed.Client or Engine
        Executes the tasks: None for threads (growing trees releases Python's lock), ``"processes"``,
        ``"dask://cluster.json"``, an executor. The forest does not depend on it.

    Attributes
    ----------
    forest_ : estimator
        An ordinary fitted forest of scikit-learn, of the class of ``estimator``.
    feature_importances_ : ndarray of shape (n_features,)
        The mean decrease of impurity by each column.
    schema_ : TableSchema or None
        With a Dataset: its columns, and the codes of their categories.
    report_ : ForestReport
        Numbers of trees and nodes, held-out scores of the forest and of the trees of each partition, and how much
        partitions differ in their classes. If they differ too much, the fit warns (:class:`~manymill.ForestWarning`).
    oob_score_ : float
        Out-of-bag score, if ``estimator`` has ``oob_score=True`` or early stopping needs it.
    oob_score_kind_ : {"whole", "per-partition", "per-patch"}
        The rows that trees could have drawn: all rows, or those of one partition or patch, which is less informative.

    See Also
    --------
    manymill.combine_forests : Combine forests that were trained elsewhere into one.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from manymill import PartitionedForestRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = PartitionedForestRegressor(n_estimators=50, mode="patches", n_partitions=4).fit(X, y)
    >>> forest.forest_
    ExtraTreesRegressor(n_estimators=50, random_state=0)
    >>> forest.score(X, y) > 0.5
    True
    """

    _classification = False
