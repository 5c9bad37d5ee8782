"""ComplementNaiveBayes: one pass over texts, and models of parts that add up to the model of the whole.

Complement naive Bayes from sums of values by feature and class: pure arithmetic, in float64.

::

    other[j, c] = alpha + sum of the values of feature j in the rows of all classes but c
    log[j, c]   = ln(other[j, c] / sum over all features of other[., c])
    w[j, c]     = -log[j, c],  or  log[j, c] / sum over all features of log[., c]

A document belongs to the class with the greatest ``sum_j x_j w[j, c]`` (Rennie, Shih, Teevan and Karger 2003; names
and smoothing as in scikit-learn's ``ComplementNB``). Features that no row has all have the same weights.

The rows of a plan summed up by feature and class: one pass, any order, the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from manymill import _core
from manymill.constants import FeatureWeights, Norm, Value
from manymill.data.dataset import Dataset, Plan
from manymill.data.ledger import Ledger
from manymill.data.memory import complete_texts
from manymill.engine.local import workers
from manymill.errors import MemoryLimitError, PlanError, SchemaError, SettingsError
from manymill.estimator_support import refuse_own_labels, set_text_tags, thread_count
from manymill.linear.classifier import TextClassifier
from manymill.linear.feature_weights import weigh
from manymill.linear.memory import BASE_BYTES, BYTES_PER_ENTRY, ClassLimit
from manymill.linear.row_stream import Lane, row_bytes_per_byte, rows_of
from manymill.linear.settings import Settings
from manymill.linear.text_estimator import Labels, plain_classes, restored
from manymill.model import LinearModel

# A value of 1 in the fixed point of the sums.
ONE = 2.0**36

# Weights made at a time: those of all features in float64 are never held.
SLICE_WEIGHTS = 1 << 20


@dataclass(frozen=True, eq=False)
class ComplementWeights:
    """The weights that sums of rows give.

    Parameters
    ----------
    features : ndarray of uint32, shape (m,)
        The features that a row has, ascending.
    met : ndarray of float64, shape (m, n_classes)
        Their weights.
    never_met : ndarray of float64, shape (n_classes,)
        The weights of each other feature.
    n_features : int
    """

    features: NDArray[np.uint32]
    met: NDArray[np.float64]
    never_met: NDArray[np.float64]
    n_features: int

    @classmethod
    def of(cls, sums: _core.FeatureSums, *, alpha: float, weight_norm: bool) -> ComplementWeights:
        """The weights of these sums.

        Parameters
        ----------
        sums : FeatureSums
        alpha : float
            Added to each sum, above 0.
        weight_norm : bool
            Whether the weights of a class are divided by their sum.
        """
        features, whole, _, _ = sums.to_arrays()
        met = whole.astype(np.float64) / ONE
        met = met.sum(axis=1, keepdims=True) + alpha - met
        n_others = sums.n_features - len(features)
        total = met.sum(axis=0) + n_others * alpha
        met = np.log(met / total)
        never_met = np.log(alpha / total)
        by = met.sum(axis=0) + n_others * never_met if weight_norm else -1.0
        return cls(features, met / by, never_met / by, sums.n_features)

    def dense(self) -> NDArray[np.float64]:
        """The weights of all features, ``(n_features, n_classes)``."""
        weights = np.tile(self.never_met, (self.n_features, 1))
        weights[self.features] = self.met
        return weights

    def centred(self) -> Iterator[NDArray[np.float32]]:
        """The weights as a linear model's, in slices of features, ``(n, n_outputs)``.

        What all classes have in common is taken away, which moves no decision and no probability: differences are
        small, and float32 holds them. Two classes have one output.
        """
        step = max(1, SLICE_WEIGHTS // len(self.never_met))
        for start in range(0, self.n_features, step):
            n = min(step, self.n_features - start)
            weights = np.tile(self.never_met, (n, 1))
            first, last = np.searchsorted(self.features, (start, start + n))
            weights[self.features[first:last] - np.uint32(start)] = self.met[first:last]
            if weights.shape[1] == 2:
                yield (weights[:, 1:] - weights[:, :1]).astype(np.float32)
            else:
                yield (weights - weights.mean(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Summed:
    """Sums of rows, and what they are sums of."""

    sums: _core.FeatureSums
    classes: tuple[str, ...] | tuple[int, ...]  # sorted, in the order of the sums
    feature_weights: NDArray[np.float32] | None  # (n_features,)
    refusal: MemoryLimitError | None = None  # why further classes and the rows after them are not in the sums


def sum_up(plan: Plan, settings: Settings, names: Sequence[str], *, threads: int) -> Summed:
    """The sums of all rows of a plan.

    Parameters
    ----------
    plan : Plan
    settings : Settings
        How documents become rows; the number of features must be known.
    names : sequence of str
        Classes known to exist, besides those of the plan's sample.
    threads : int
        Threads that read and hash.

    Raises
    ------
    PlanError
        If there is no row, or only one class.
    MemoryLimitError
        If there is not enough memory for the classes and nothing was summed up.
    SchemaError
        If the rows have weights.
    """
    if plan.columns.weight is not None:
        raise SchemaError("rows with weights cannot be summed up exactly", "read them without their weights")
    n_features = settings.analyzer.n_features
    n_planned = len({*names, *plan.class_counts})

    def need(n_classes: int, n_features: int) -> int:
        n_met = min(n_features, int(plan.text_bytes * row_bytes_per_byte(settings) / BYTES_PER_ENTRY))
        # Sums, twice while they are put in order; the weights of all features.
        return BASE_BYTES + 16 * n_classes * n_met + 4 * n_features * (1 + n_classes)

    limit = ClassLimit(need, n_features, n_planned, limit=None)
    refusal: MemoryLimitError | None = None
    with workers(threads) as executor:
        lane = Lane(
            plan,
            settings,
            executor=executor,
            threads=threads,
            classes=names,
            ledger=Ledger(strict=plan.dataset.strict),
            on_new_classes=limit.check,
        )
        if settings.feature_weights is not None:
            weigh(lane, settings.feature_weights, n_features)
        sums = _core.FeatureSums(n_features, max(1, len(lane.index)))
        try:
            for lesson in lane.lessons(0):
                sums.grow(lesson.n_classes)
                sums.add(lesson.rows, lesson.classes)
        except MemoryLimitError as error:
            refusal = error
            if np.count_nonzero(sums.rows) < 2:
                raise
    found = lane.index.names[: len(sums.rows)]
    if len(found) < 2:
        what = f"all rows have the same label, {found[0]!r}" if found else "there is no row to learn from"
        raise PlanError(what, "give data of two classes or more")
    as_integers = plan.labels_are_integers and lane.index.are_integers
    order = lane.index.sorted_order(as_integers=as_integers, first=len(found))
    classes = tuple(found[i] for i in order)
    return Summed(
        placed(sums, np.argsort(order), len(order)),
        tuple(map(int, classes)) if as_integers else classes,
        lane.feature_weights,
        refusal,
    )


def placed(sums: _core.FeatureSums, places: NDArray[np.intp], n_classes: int) -> _core.FeatureSums:
    """The same sums with class ``i`` as class ``places[i]`` of ``n_classes``."""
    features, old, old_rows, bound = sums.to_arrays()
    new = np.zeros((len(features), n_classes), np.uint64)
    rows = np.zeros(n_classes, np.uint64)
    new[:, places], rows[places] = old, old_rows
    return _core.FeatureSums.from_arrays(sums.n_features, features, new, rows, bound)


_OF_ROWS = ("ngram_range", "n_features", "lowercase", "value", "norm", "feature_weights")


class ComplementNaiveBayes(ClassifierMixin, BaseEstimator):
    """Complement naive Bayes of hashed words: one pass, and exact however the rows are cut and merged.

    The model is what scikit-learn's ``ComplementNB`` learns from the same rows. It is made of sums of values by feature
    and class, which are kept as whole numbers of 2^-36: models of parts of the data, merged in any order, are the model
    of the data to the last bit. All rows weigh alike.

    Parameters
    ----------
    ngram_range : tuple of int
        Least and greatest number of words of a feature.
    n_features : int or None
        Number of hash buckets, 1 to 2^30. The sums take 4 bytes for each, and 8 for each class and feature that was
        met. None: 2^22, or as many as keep the weights of all classes below 256 MB.
    lowercase : bool
        Whether text is lower-cased first.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        What each row is divided by.
    feature_weights : {"idf", "nb", None}
        What each value is multiplied by before the row is divided, counted in a pass of its own. Such a model cannot be
        merged or learn further rows: the weights would change.
    alpha : float
        Smoothing, above 0.
    weight_norm : bool
        Whether the weights of a class are divided by their sum (``norm`` of scikit-learn's).
    threads : int or None
        Threads that hash; all processors if None. The model does not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    class_count_ : ndarray of shape (n_classes,)
        Rows of each class.
    feature_log_prob_ : ndarray of float64, shape (n_classes, n_features)
        The weights.

    Examples
    --------
    >>> from manymill import ComplementNaiveBayes
    >>> here = ComplementNaiveBayes().fit(["good fun", "bad plot"], ["pos", "neg"])
    >>> there = ComplementNaiveBayes().fit(["really good", "really bad"], ["pos", "neg"])
    >>> here.merge(there).predict(["really good plot, good fun"]).tolist()
    ['pos']
    """

    def __init__(
        self,
        *,
        ngram_range: tuple[int, int] = (1, 1),
        n_features: int | None = None,
        lowercase: bool = True,
        value: Value = "log",
        norm: Norm | None = "l2",
        feature_weights: FeatureWeights | None = None,
        alpha: float = 1.0,
        weight_norm: bool = False,
        threads: int | None = None,
    ) -> None:
        self.ngram_range = ngram_range
        self.n_features = n_features
        self.lowercase = lowercase
        self.value = value
        self.norm = norm
        self.feature_weights = feature_weights
        self.alpha = alpha
        self.weight_norm = weight_norm
        self.threads = threads

    def __sklearn_tags__(self) -> Any:
        return set_text_tags(super().__sklearn_tags__())

    # ---- learning

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Learn texts and their labels, forgetting what was learnt before.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts: a list, NumPy array, Arrow array, pandas or polars column; or what :func:`manymill.scan`
            gives. Texts that were hashed for a search are texts as well:
            :class:`manymill.data.hashed_texts.HashedTexts`.
        y : array-like of shape (n_rows,)
            Labels; left out with a Dataset, which has its own.

        Raises
        ------
        SettingsError
            If a parameter is out of range.
        PlanError
            If there is no row, or only one class.
        MemoryLimitError
            If the classes of a Dataset need more memory than this machine has available; the estimator is then fitted
            with the rows up to there, if there were any.
        SchemaError
            If a text is missing or no string, or the rows of a Dataset have weights.
        """
        if isinstance(X, Dataset):
            refuse_own_labels(y, None)
            summed = self._learn(X.plan(), ())
            self.classes_ = np.array(summed.classes)
        else:
            texts = complete_texts(X)
            labels = Labels(texts, y, None)
            summed = self._learn(Dataset.from_memory(*labels.counting(texts)).plan(), labels.names)
            self.classes_ = labels.classes
        if summed.refusal is not None:
            raise summed.refusal
        return self

    def _learn(self, plan: Plan, names: Sequence[str]) -> Summed:
        settings = self._settings().for_classes(len({*names, *plan.class_counts}))
        summed = sum_up(plan, settings, names, threads=thread_count(self))
        self._keep(summed.sums, summed.feature_weights, settings)
        return summed

    def partial_fit(self, X: Any, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn further rows; calls in any order, with any cut of the rows, lead to the same model.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,)
            Texts.
        y : array-like of shape (n_rows,)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All labels that may come; needed in the first call.

        Raises
        ------
        PlanError
            If the first call has no ``classes``, a label is none of them, or there are ``feature_weights``.
        SchemaError
            If a text is missing or no string.
        """
        self._check_open()
        known = getattr(self, "classes_", None)
        if known is None and classes is None:
            raise PlanError(
                "the first call of partial_fit must be given classes", "name all labels that may come"
            )
        texts = complete_texts(X)
        labels = Labels(texts, y, None, known if known is not None else classes)
        if known is None:
            settings = self._settings().for_classes(len(labels.classes))
            sums = _core.FeatureSums(settings.analyzer.n_features, len(labels.classes))
            self.classes_ = labels.classes
            self._keep(sums, None, settings)
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)), known):
            raise PlanError("classes differ from those of the first call of partial_fit")
        codes, start = labels.codes.astype(np.int32), 0
        for rows in rows_of(texts, self._rows_as.analyzer, None, threads=thread_count(self)):
            self._sums.add(rows, codes[start : start + len(rows)])
            start += len(rows)
        self._forget()
        return self

    def merge(self, *others: ComplementNaiveBayes) -> ComplementNaiveBayes:
        """A new model that has learnt the rows of this one and of all others, bit for bit, in whatever order.

        Its classes are those of all models.

        Raises
        ------
        PlanError
            If rows are made otherwise by another model, or there are ``feature_weights``.
        """
        models = [self, *others]
        for model in models:
            check_is_fitted(model, "classes_")
            model._check_open()
            if model._rows_as.analyzer != self._rows_as.analyzer:
                raise PlanError(
                    f"a model of rows by {model._rows_as.analyzer} cannot be merged with one of rows by "
                    f"{self._rows_as.analyzer}",
                    "fit both with the same parameters, n_features among them",
                )
        merged = type(self)(**self.get_params())
        merged.classes_ = np.unique(np.concatenate([model.classes_ for model in models]))
        n = len(merged.classes_)
        sums = _core.FeatureSums(self._sums.n_features, n)
        for model in models:
            sums.merge(placed(model._sums, np.searchsorted(merged.classes_, model.classes_), n))
        merged._keep(sums, None, self._rows_as)
        return merged

    def _settings(self) -> Settings:
        alpha = self.alpha
        if not isinstance(alpha, (int, float, np.number)) or not 0 < alpha < np.inf:
            raise SettingsError.invalid("alpha", alpha, "a number above 0")
        words = self.ngram_range
        parameters = {name: getattr(self, name) for name in _OF_ROWS}
        parameters["ngram_range"] = tuple(words) if isinstance(words, list) else words
        return Settings(**parameters, passes=1, holdout=0.0)

    def _check_open(self) -> None:
        if self.feature_weights is not None:
            raise PlanError(
                f"feature_weights={self.feature_weights!r} were counted over the rows of one fit",
                "use fit with all rows, or feature_weights=None",
            )

    def _keep(self, sums: _core.FeatureSums, weights: NDArray[np.float32] | None, settings: Settings) -> None:
        self._sums, self._feature_weights, self._rows_as = sums, weights, settings
        self._forget()

    # ---- predicting: a linear model of the weights does it

    def _forget(self) -> None:
        self._linear_model: TextClassifier | None = None

    def _weights(self) -> ComplementWeights:
        check_is_fitted(self, "classes_")
        return ComplementWeights.of(self._sums, alpha=float(self.alpha), weight_norm=bool(self.weight_norm))

    def _linear(self) -> TextClassifier:
        """The classifier with these weights."""
        check_is_fitted(self, "classes_")
        if self._linear_model is None:
            weights = np.concatenate(list(self._weights().centred()))
            model = LinearModel(
                classes=plain_classes(self.classes_),
                loss="log",
                analyzer=self._rows_as.analyzer,
                fit_intercept=False,
                weights=weights,
                intercept=np.zeros(weights.shape[1], np.float32),
                feature_weights=self._feature_weights,
            )
            linear: TextClassifier = restored(TextClassifier, model)
            linear.set_params(threads=self.threads, feature_weights=self.feature_weights)
            linear.classes_ = self.classes_
            self._linear_model = linear
        return self._linear_model

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Scores of the classes: ``(n_rows,)`` for two (above 0 is the second), else ``(n_rows, n_classes)``.

        What all classes of a row have in common is left out.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts.
        """
        return self._linear().decision_function(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each text, ``(n_rows,)``.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts.
        """
        return self._linear().predict(X)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, ``(n_rows, n_classes)``: as naive Bayes has it, far too sure.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts.
        """
        return np.asarray(self._linear().predict_proba(X))

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """The share of rows whose label is predicted.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts.
        y, sample_weight : array-like of shape (n_rows,)
            Labels and, if wanted, weights; left out with a Dataset, which has its own labels.
        """
        return self._linear().score(X, y, sample_weight)

    @property
    def class_count_(self) -> NDArray[np.uint64]:
        """Rows of each class, ``(n_classes,)``."""
        check_is_fitted(self, "classes_")
        return self._sums.rows

    @property
    def feature_log_prob_(self) -> NDArray[np.float64]:
        """The weights, ``(n_classes, n_features)``."""
        return self._weights().dense().T

    # ---- saving

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the model as a folder that ``TextClassifier.load`` and ``manymill predict`` read.

        Raises
        ------
        RunFolderError
            If the folder cannot be written.
        """
        self._linear().save(folder)

    # The sums are native: a pickle holds their arrays.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_sums" in state:
            state["_sums"] = (self._sums.n_features, *self._sums.to_arrays())
            state["_linear_model"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_sums" in state:
            state = {**state, "_sums": _core.FeatureSums.from_arrays(*state["_sums"])}
        super().__setstate__(state)
