"""Any forest of classifiers, grown in parallel."""

from __future__ import annotations

from typing import Any

from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from manymill.forest.base import PartitionedForest


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
