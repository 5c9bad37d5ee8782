"""What the classifier and the regressor share: parameters, growing, prediction.

Any forest of classifiers, grown in parallel.

Any forest of regressors, grown in parallel.
"""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from manymill.engine.base import Engine
from manymill.engine.selection import engine_for
from manymill.errors import SettingsError
from manymill.estimator_support import clone_with_engine, seed_from
from manymill.events import Event, Observer
from manymill.forest.budget import LeafBudget, leaf_budget, saved_bytes, within
from manymill.forest.checkpoints import TreeFolder, digest_of
from manymill.forest.growth import Fit, scoring_of
from manymill.forest.parameters import (
    check_parameters,
    count_of,
    ensemble_of,
    grows_trees,
    settings_of,
)
from manymill.forest.rows import Rows, learnt, numbers, rows_of
from manymill.forest.sklearn_fit import shell_of
from manymill.forest.tasks import (
    Parting,
    Work,
    held_out,
    numbered,
    prepare_parts,
    prepare_whole,
    score_out_of_bag,
)
from manymill.run_folder import RunFolder


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
        """A twin that has the same engine."""
        return clone_with_engine(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        own = get_tags(ensemble_of(self.estimator, classification=self._classification))
        tags.input_tags.allow_nan = own.input_tags.allow_nan
        tags.input_tags.sparse = own.input_tags.sparse
        tags.target_tags.multi_output = own.target_tags.multi_output
        return tags

    # ---- growing

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
        """Grow the trees; Ctrl-C ends that with those there are.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), or Dataset
            A matrix that is mapped from a file (``numpy.memmap``) is not copied. Of a Dataset of Parquet or CSV files
            numbers and categories are learnt from, missing values too; a warning names the columns that are left out.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Labels or targets; a Dataset has its own.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of rows, 0 or more.
        validation : (X, y), optional
            Rows to score the forest and its parts with; instead of ``validation_fraction``.
        run : path, optional
            A run folder: events and trees are written there as they come. A fit that was killed and is begun again
            with the same rows, parameters and folder goes on with the trees that are there.
        observe : callable, optional
            Called with each event (:mod:`manymill.events`), such as ``TreeGrown``.

        Returns
        -------
        self

        Raises
        ------
        SettingsError
            If a parameter is out of range, or the estimator's trees cannot be grown apart from each other.
        SchemaError
            If a value is infinite, or missing where the trees cannot do without.
        RunFolderError
            If the run folder cannot be written.

        Warns
        -----
        ForestWarning
            If partitions differ in their classes, rows go unused, or growing was stopped.
        """
        check_parameters(self)
        X, y, schema = learnt(X, y, classification=self._classification)
        ensemble = self._ensemble()
        sparse_format = "csc" if self.mode == "shared" else "csr"
        rows = rows_of(self, ensemble, X, y, sample_weight, sparse_format=sparse_format)
        held, scored = self._held_out(ensemble, rows, validation)
        if held is not None and self.mode == "shared":
            rows, held = rows.taken(np.setdiff1d(np.arange(len(rows)), held)), None
        ensemble, budget = self._bounded(ensemble, rows)
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(1))
            engine = stack.enter_context(engine_for(self.engine))
            folder = None if run is None else stack.enter_context(RunFolder(run))
            if folder is not None:
                stack.enter_context(folder.recording_warnings())
            fit = self._begin(ensemble, rows, held, scored, engine, folder, observe)
            self._growing = fit
            try:
                fit.run(engine)
            finally:
                del self._growing
            self._end(fit, rows, budget)
        self.schema_ = schema
        return self

    def partial(self) -> Any:
        """The forest of the trees so far, while ``fit`` is at work in another thread; afterwards that of all.

        Raises
        ------
        NotFittedError
            If there is no tree yet.
        """
        fit = getattr(self, "_growing", None)
        if fit is None:
            check_is_fitted(self, "forest_")
            return self.forest_
        if not (members := fit.members):
            raise NotFittedError("no tree has been grown yet")
        return fit.work.forest(members)

    def _begin(
        self,
        ensemble: Any,
        rows: Rows,
        held: NDArray[np.intp] | None,
        scored: Rows | None,
        engine: Engine,
        folder: RunFolder | None,
        observe: Observer | None,
    ) -> Fit:
        trees = None
        if folder is not None:
            digest = digest_of(rows, held, settings_of(self, ensemble))
            told = {"kind": "forest", "mode": self.mode, "trees": ensemble.n_estimators, "digest": digest}
            folder.write_plan(told)
            trees = TreeFolder(folder.checkpoint, digest)
        work = self._work(ensemble, rows, held, engine)
        scoring = scoring_of(
            work,
            rows,
            scored,
            tol=self.tol,
            n_trees=self.n_trees_no_change,
            early=self.early_stopping,
            oob=self.mode != "shared" and bool(ensemble.oob_score),
        )

        def tell(event: Event) -> None:
            if folder is not None:
                folder.record(event)
            if observe is not None:
                observe(event)

        return Fit(work, scoring, tell, trees)

    def _end(self, fit: Fit, rows: Rows, budget: LeafBudget | None) -> None:
        """Keep what has grown, and what is known of it."""
        self.forest_ = fit.work.forest(fit.members)
        for name in ("oob_score_", "oob_score_kind_"):
            self.__dict__.pop(name, None)
        if self.mode == "shared" and self.forest_.oob_score:
            score_out_of_bag(self.forest_, rows)
            self.oob_score_, self.oob_score_kind_ = self.forest_.oob_score_, "whole"
        elif fit.scoring.oob is not None:
            self.oob_score_ = fit.scoring.oob.votes.score()
            kinds = {"shared": "whole", "partitions": "per-partition", "patches": "per-patch"}
            self.oob_score_kind_ = kinds[self.mode]
        if hasattr(self, "feature_names_in_"):
            self.forest_.feature_names_in_ = self.feature_names_in_
        self.forest_.warm_start = False
        n_bytes = saved_bytes(self.forest_) if grows_trees(self.forest_) else None
        self.report_ = replace(fit.report(self.mode), budget=budget, saved_bytes=n_bytes)

    def _held_out(
        self, ensemble: Any, rows: Rows, validation: tuple[Any, Any] | None
    ) -> tuple[NDArray[np.intp] | None, Rows | None]:
        """Numbers of the rows that nothing is grown on, sorted, and the rows to score with."""
        if validation is not None:
            if self.validation_fraction is not None:
                raise SettingsError(
                    "validation=(X, y) and validation_fraction both hold rows out", "give one of them"
                )
            return None, rows_of(self, ensemble, *validation, None, sparse_format="csr", reset=False)
        if self.validation_fraction is None:
            return None, None
        if self.mode == "shared" and isinstance(rows.X, np.memmap):
            raise SettingsError(
                'validation_fraction with mode="shared" would copy the rows that are mapped from a file',
                "give validation=(X, y)",
            )
        n_held = min(count_of(self.validation_fraction, len(rows)), len(rows) - 1)
        held = held_out(seed_from(self.random_state), len(rows), n_held)
        return held, rows.taken(held)

    def _ensemble(self) -> Any:
        """An unfitted ensemble with our number of trees and random state."""
        ensemble = ensemble_of(self.estimator, classification=self._classification)
        if self.n_estimators is not None:
            ensemble.n_estimators = self.n_estimators
        ensemble.random_state = self.random_state
        ensemble.warm_start = False
        return ensemble

    def _bounded(self, ensemble: Any, rows: Rows) -> tuple[Any, LeafBudget | None]:
        """The ensemble with as many leaves as there is room for."""
        if self.max_bytes is None:
            return ensemble, None
        per_tree = len(rows)
        if self.mode == "patches" and self.max_samples is not None:
            per_tree = count_of(self.max_samples, per_tree)
        elif self.mode != "shared":
            per_tree = -(-per_tree // self.n_partitions)
        budget = leaf_budget(
            ensemble,
            rows.X,
            rows.y,
            n_estimators=ensemble.n_estimators,
            max_bytes=self.max_bytes,
            rows_per_tree=per_tree,
        )
        return within(ensemble, budget), budget

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
            self.mode, self.n_partitions, self.max_samples, self.max_features, seed_from(self.random_state)
        )
        shell = self.forest_ if goes_on else shell_of(clone(ensemble), rows.n_features, classes, n_outputs)
        return prepare_parts(ensemble, shell, rows, classes, parting, held, engine)

    # ---- predicting

    def predict(self, X: Any) -> NDArray[Any]:
        """What the forest predicts, ``(n_rows,)`` or ``(n_rows, n_outputs)``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), or Dataset with the columns learnt from
        """
        check_is_fitted(self, "forest_")
        return np.asarray(self.forest_.predict(self._numbers(X)))

    def _numbers(self, X: Any) -> Any:
        return numbers(X, getattr(self, "schema_", None))

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
    """Any forest of scikit-learn, grown in parallel on shared data or on partitions.

    Three ways, by ``mode``:

    - ``"shared"``: every worker maps all rows and grows its share of the trees. They are those of scikit-learn's own
      ``fit`` with the same ``random_state``, bit for bit, for any number of workers.
    - ``"partitions"``: rows are cut into consecutive partitions and each tree sees one of them: for rows that no
      worker can hold. It is not a forest of all rows: it loses little where there are many rows and each partition
      looks like the whole, and much where they are sorted. The fit measures and says which it is.
    - ``"patches"``: each tree sees rows, and columns, drawn from all partitions (random patches, Louppe & Geurts 2012):
      as little memory, whatever the order of the rows.

    Parameters
    ----------
    estimator : estimator or None
        Any forest or bagging of scikit-learn, or a single tree, which is then bagged. None: extra-trees. Boosting is
        refused: its trees depend on each other.
    n_estimators : int or None
        Trees; None: as many as ``estimator`` says.
    mode : {"shared", "partitions", "patches"}
        See above.
    n_partitions : int
        Parts of the rows. Trees are dealt to partitions as rows are, so that votes weigh as rows do; the forest depends
        on it, but not on who grows a tree.
    max_samples : int, float or None
        Rows of a patch, or their share; None: as many as a partition has.
    max_features : int or float
        Columns of a patch, or their share (``estimator`` has a parameter of this name of its own: for each split).
    validation_fraction : float or None
        Share of rows that nothing is grown on, to score the forest and each partition's trees with.
    early_stopping : bool
        Whether growing stops when the score has settled: on held-out rows if there are any, otherwise out of bag.
    tol : float
        The score has settled when it stays within so much over the last trees.
    n_trees_no_change : int
        How many trees these are.
    max_bytes : int or None
        Of the forest when it is saved (:func:`manymill.save_forest`): trees get as many leaves at most as keep it so
        small. Which number that is, ``report_.budget`` says; trees that fit anyhow grow as they would.
    warm_start : bool
        Whether ``fit`` keeps the trees there are and grows the missing ones. Growing 50 and then 50 more gives the
        100 of one ``fit``.
    random_state : int, RandomState or None
        Decides every tree.
    engine : None, int, str, Executor, distributed.Client or Engine
        Who grows: None for threads (growing does not hold Python's lock), ``"processes"``, ``"dask://cluster.json"``,
        an executor. The forest does not depend on it.

    Attributes
    ----------
    forest_ : estimator
        An ordinary fitted forest of scikit-learn, of the kind of ``estimator``.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    feature_importances_ : ndarray of shape (n_features,)
        Of the forest.
    schema_ : TableSchema or None
        Of a Dataset: the columns, and the codes of their categories.
    report_ : ForestReport
        Trees, nodes, held-out scores of the forest and of each partition's trees, and how much partitions differ in
        their classes. A warning, :class:`~manymill.ForestWarning`, says where that is too much.
    oob_score_ : float
        With ``estimator``'s ``oob_score``, or if early stopping needed it.
    oob_score_kind_ : {"whole", "per-partition", "per-patch"}
        Which rows a tree could have drawn and has not: those of all, or of its part alone, which tells less.

    See Also
    --------
    manymill.combine_forests : One forest of several that were grown elsewhere.

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
        return self.forest_.predict_proba(self._numbers(X))

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of `predict_proba`."""
        check_is_fitted(self, "forest_")
        return self.forest_.predict_log_proba(self._numbers(X))


class PartitionedForestRegressor(RegressorMixin, PartitionedForest):
    """Any forest of scikit-learn, grown in parallel on shared data or on partitions.

    Three ways, by ``mode``:

    - ``"shared"``: every worker maps all rows and grows its share of the trees. They are those of scikit-learn's own
      ``fit`` with the same ``random_state``, bit for bit, for any number of workers.
    - ``"partitions"``: rows are cut into consecutive partitions and each tree sees one of them: for rows that no
      worker can hold. It is not a forest of all rows: it loses little where there are many rows and each partition
      looks like the whole, and much where they are sorted. The fit measures and says which it is.
    - ``"patches"``: each tree sees rows, and columns, drawn from all partitions (random patches, Louppe & Geurts 2012):
      as little memory, whatever the order of the rows.

    Parameters
    ----------
    estimator : estimator or None
        Any forest or bagging of scikit-learn, or a single tree, which is then bagged. None: extra-trees. Boosting is
        refused: its trees depend on each other.
    n_estimators : int or None
        Trees; None: as many as ``estimator`` says.
    mode : {"shared", "partitions", "patches"}
        See above.
    n_partitions : int
        Parts of the rows. Trees are dealt to partitions as rows are, so that votes weigh as rows do; the forest depends
        on it, but not on who grows a tree.
    max_samples : int, float or None
        Rows of a patch, or their share; None: as many as a partition has.
    max_features : int or float
        Columns of a patch, or their share (``estimator`` has a parameter of this name of its own: for each split).
    validation_fraction : float or None
        Share of rows that nothing is grown on, to score the forest and each partition's trees with.
    early_stopping : bool
        Whether growing stops when the score has settled: on held-out rows if there are any, otherwise out of bag.
    tol : float
        The score has settled when it stays within so much over the last trees.
    n_trees_no_change : int
        How many trees these are.
    max_bytes : int or None
        Of the forest when it is saved (:func:`manymill.save_forest`): trees get as many leaves at most as keep it so
        small. Which number that is, ``report_.budget`` says; trees that fit anyhow grow as they would.
    warm_start : bool
        Whether ``fit`` keeps the trees there are and grows the missing ones. Growing 50 and then 50 more gives the
        100 of one ``fit``.
    random_state : int, RandomState or None
        Decides every tree.
    engine : None, int, str, Executor, distributed.Client or Engine
        Who grows: None for threads (growing does not hold Python's lock), ``"processes"``, ``"dask://cluster.json"``,
        an executor. The forest does not depend on it.

    Attributes
    ----------
    forest_ : estimator
        An ordinary fitted forest of scikit-learn, of the kind of ``estimator``.
    feature_importances_ : ndarray of shape (n_features,)
        Of the forest.
    schema_ : TableSchema or None
        Of a Dataset: the columns, and the codes of their categories.
    report_ : ForestReport
        Trees, nodes, held-out scores of the forest and of each partition's trees, and how much partitions differ in
        their classes. A warning, :class:`~manymill.ForestWarning`, says where that is too much.
    oob_score_ : float
        With ``estimator``'s ``oob_score``, or if early stopping needed it.
    oob_score_kind_ : {"whole", "per-partition", "per-patch"}
        Which rows a tree could have drawn and has not: those of all, or of its part alone, which tells less.

    See Also
    --------
    manymill.combine_forests : One forest of several that were grown elsewhere.

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
