"""Complement naive Bayes: one pass over texts; models of parts of the data add up to the model of all data.

Sums of values by feature and class give the weights, in float64::

    other[j, c] = alpha + sum of the values of feature j in the rows of all classes but c
    log[j, c]   = ln(other[j, c] / sum over all features of other[., c])
    w[j, c]     = -log[j, c],  or  log[j, c] / sum over all features of log[., c]

The predicted class of a document has the greatest ``sum_j x_j w[j, c]`` (Rennie, Shih, Teevan and Karger 2003; names
and smoothing as in scikit-learn's ``ComplementNB``). All features without rows have the same weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from manymill import _core
from manymill.constants import CharAnalyzer, FeatureWeights, Norm, StripAccents, Value
from manymill.data.dataset import Dataset, Plan
from manymill.data.ledger import Ledger
from manymill.data.memory import complete_texts
from manymill.engine.local import workers
from manymill.errors import MemoryLimitError, PlanError, SchemaError
from manymill.estimator_support import refuse_own_labels, set_text_tags, thread_count
from manymill.linear.classifier import TextClassifier
from manymill.linear.feature_weights import every_bucket, fit_feature_weights
from manymill.linear.memory import BASE_BYTES, BYTES_PER_ENTRY, ClassLimit
from manymill.linear.recipe import hash_buckets
from manymill.linear.row_stream import Lane, row_bytes_per_byte, rows_of
from manymill.linear.settings import Settings, values_0_1
from manymill.linear.text_estimator import (
    EncodedTargets,
    from_model,
    parameters_of,
    partial_fit_classes,
    plain_classes,
)
from manymill.model import LinearModel
from manymill.validation import check, check_bool, is_number

# Fixed-point representation of 1 in the sums.
ONE = 2.0**36

# Weights computed at a time: those of all features are never held in float64.
SLICE_WEIGHTS = 1 << 20


@dataclass(frozen=True, eq=False)
class ComplementWeights:
    """The weights of complement naive Bayes.

    Parameters
    ----------
    features : ndarray of uint32, shape (m,)
        The features of the rows, ascending.
    seen : ndarray of float64, shape (m, n_classes)
        Their weights.
    unseen : ndarray of float64, shape (n_classes,)
        The weights of every other feature.
    n_features : int
    """

    features: NDArray[np.uint32]
    seen: NDArray[np.float64]
    unseen: NDArray[np.float64]
    n_features: int

    @classmethod
    def of(cls, sums: _core.FeatureSums, *, alpha: float, weight_norm: bool) -> ComplementWeights:
        """Compute the weights from sums.

        Parameters
        ----------
        sums : FeatureSums
        alpha : float
            Smoothing: added to each sum, above 0.
        weight_norm : bool
            Whether to divide the weights of a class by their sum.
        """
        features, values, _, _ = sums.to_arrays()
        seen = values.astype(np.float64) / ONE
        seen = seen.sum(axis=1, keepdims=True) + alpha - seen
        n_others = sums.n_features - len(features)
        total = seen.sum(axis=0) + n_others * alpha
        seen = np.log(seen / total)
        unseen = np.log(alpha / total)
        by = seen.sum(axis=0) + n_others * unseen if weight_norm else -1.0
        return cls(features, seen / by, unseen / by, sums.n_features)

    def dense(self) -> NDArray[np.float64]:
        """The weights of all features, ``(n_features, n_classes)``."""
        weights = np.tile(self.unseen, (self.n_features, 1))
        weights[self.features] = self.seen
        return weights

    def centred(self) -> Iterator[NDArray[np.float32]]:
        """The weights of a linear model, in slices of features, ``(n, n_outputs)``.

        The mean over the classes is subtracted, which changes no decision and no probability and leaves differences
        that float32 can represent. Two classes have one output.
        """
        step = max(1, SLICE_WEIGHTS // len(self.unseen))
        for start in range(0, self.n_features, step):
            n = min(step, self.n_features - start)
            weights = np.tile(self.unseen, (n, 1))
            first, last = np.searchsorted(self.features, (start, start + n))
            weights[self.features[first:last] - np.uint32(start)] = self.seen[first:last]
            if weights.shape[1] == 2:
                yield (weights[:, 1:] - weights[:, :1]).astype(np.float32)
            else:
                yield (weights - weights.mean(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class AccumulatedSums:
    """Sums of rows with their classes and feature weights."""

    sums: _core.FeatureSums
    classes: tuple[str, ...] | tuple[int, ...]  # sorted, in the order of the sums
    table: _core.FeatureTable | None  # every hash bucket with its weight
    refusal: MemoryLimitError | None = None  # why the rows from the first further class on are missing


def accumulate_sums(plan: Plan, settings: Settings, names: Sequence[str], *, threads: int) -> AccumulatedSums:
    """Sum up all rows of a plan; the order of the rows does not change a bit.

    Parameters
    ----------
    plan : Plan
    settings : Settings
        Conversion of documents to rows; the number of features must be set.
    names : sequence of str
        Known classes, besides those of the plan's sample.
    threads : int
        Threads that read and hash.

    Raises
    ------
    PlanError
        If there is no row, or only one class.
    MemoryLimitError
        If there is not enough memory for two classes.
    SchemaError
        If the rows have weights.
    """
    if plan.columns.weight is not None:
        raise SchemaError(
            "rows with weights are not supported: their sums are not exact", "read them without weights"
        )
    n_features = settings.analyzer.n_features
    n_planned = len({*names, *plan.class_counts})

    def need(n_classes: int, n_features: int) -> int:
        n_seen = min(n_features, int(plan.text_bytes * row_bytes_per_byte(plan, settings) / BYTES_PER_ENTRY))
        # Two copies of the sums while classes are sorted; the weights of all features.
        return BASE_BYTES + 16 * n_classes * n_seen + 4 * n_features * (1 + n_classes)

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
            # The smoothing counts every hash bucket.
            fit_feature_weights(lane, settings, lambda event: None, every_bucket)
        sums = _core.FeatureSums(n_features, max(1, len(lane.index)))
        try:
            for batch in lane.feature_batches(0):
                sums.grow(batch.n_classes)
                sums.add(batch.rows, batch.classes)
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
    return AccumulatedSums(
        permute_classes(sums, np.argsort(order), len(order)),
        tuple(map(int, classes)) if as_integers else classes,
        lane.table,
        refusal,
    )


def permute_classes(sums: _core.FeatureSums, targets: NDArray[np.intp], n_classes: int) -> _core.FeatureSums:
    """The same sums with class ``i`` as class ``targets[i]`` of ``n_classes``."""
    features, old, old_rows, bound = sums.to_arrays()
    new = np.zeros((len(features), n_classes), np.uint64)
    rows = np.zeros(n_classes, np.uint64)
    new[:, targets], rows[targets] = old, old_rows
    return _core.FeatureSums.from_arrays(sums.n_features, features, new, rows, bound)


_ROW_PARAMETERS = (
    "ngram_range", "char_ngram_range", "char_analyzer", "token_pattern", "stop_words", "strip_accents", "lowercase",
    "n_features", "value", "norm", "feature_weights",
)  # fmt: skip


class ComplementNaiveBayes(ClassifierMixin, BaseEstimator):
    """Complement naive Bayes of hashed words: one pass, and exact for any partition of the rows.

    The model equals that of scikit-learn's ``ComplementNB`` on the same rows. Its sums of values by feature and class
    are integer multiples of 2^-36: models of parts of the data, merged in any order, give the model of all data bit for
    bit. Row weights are not supported.

    Parameters
    ----------
    ngram_range : tuple of int or None
        Least and greatest number of words of a feature; None: no features of words.
    char_ngram_range : tuple of int or None
        Least and greatest number of characters of a feature; None: no features of characters.
    char_analyzer, token_pattern, stop_words, strip_accents
        As in :class:`~manymill.TextClassifier`.
    n_features : int or None
        Number of hash buckets, 1 to 2^30. The sums take 4 bytes per bucket, and 8 per class and feature of the rows.
        None: 2^22, or as many as keep the weights of all classes below 512 MiB.
    lowercase : bool
        Whether to lower-case the text first.
    value : {"log", "count", "binary"}
        A feature's value in a row: 1 + ln(count), count, or 1.
    norm : {"l2", "l1", None}
        Norm that each row is divided by.
    feature_weights : {"idf", "nb", "nb-idf", None}
        Weights that multiply the values before the row is normalised, counted in a separate first pass. Such a model
        supports neither ``merge`` nor ``partial_fit``, since the weights would change.
    alpha : float
        Smoothing, above 0.
    weight_norm : bool
        Whether to divide the weights of a class by their sum (``norm`` of scikit-learn's ``ComplementNB``).
    threads : int or None
        Threads that hash; None uses all processors. The model does not depend on it.

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
        ngram_range: tuple[int, int] | None = (1, 1),
        char_ngram_range: tuple[int, int] | None = None,
        char_analyzer: CharAnalyzer = "char_wb",
        token_pattern: str | None = None,
        stop_words: str | Sequence[str] | None = None,
        strip_accents: StripAccents | None = None,
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
        self.char_ngram_range = char_ngram_range
        self.char_analyzer = char_analyzer
        self.token_pattern = token_pattern
        self.stop_words = stop_words
        self.strip_accents = strip_accents
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

    # ---- training

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Fit texts and labels; an earlier fit is discarded.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts: a list, NumPy array, Arrow array, pandas or polars column,
            :class:`manymill.data.hashed_texts.HashedTexts`, or the result of :func:`manymill.scan`.
        y : array-like of shape (n_rows,)
            Labels; omitted with a Dataset, which contains them.

        Raises
        ------
        SettingsError
            If a parameter is invalid.
        PlanError
            If there is no row, or only one class.
        MemoryLimitError
            If the classes of a Dataset need more memory than is available; the estimator is then fitted with the rows
            before them, if there are any.
        SchemaError
            If a text is missing or not a string, or the rows of a Dataset have weights.
        """
        if isinstance(X, Dataset):
            refuse_own_labels(y, None)
            summed = self._learn(X.plan(), ())
            self.classes_ = np.array(summed.classes)
        else:
            texts = complete_texts(X)
            targets = EncodedTargets(texts, y, None)
            summed = self._learn(Dataset.from_memory(*targets.weighted_rows(texts)).plan(), targets.names)
            self.classes_ = targets.classes
        if summed.refusal is not None:
            raise summed.refusal
        return self

    def _learn(self, plan: Plan, names: Sequence[str]) -> AccumulatedSums:
        settings = self._settings()
        n_classes = len({*names, *plan.class_counts})
        # Not by the size of the text: the sums of parts of the data are merged.
        n_features = settings.n_features or hash_buckets(n_classes, 0, counted=False)
        settings = replace(settings, n_features=n_features).for_plan(plan, n_classes)
        summed = accumulate_sums(plan, settings, names, threads=thread_count(self))
        self._set_sums(summed.sums, summed.table, settings)
        return summed

    def partial_fit(self, X: Any, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Fit further rows; the model does not depend on the order of calls or the partition of rows.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,)
            Texts.
        y : array-like of shape (n_rows,)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All labels that may occur; required in the first call.

        Raises
        ------
        PlanError
            If the first call has no ``classes``, a label is not one of them, or there are ``feature_weights``.
        SchemaError
            If a text is missing or not a string.
        """
        self._check_counts_are_final()
        known = partial_fit_classes(self, classes)
        texts = complete_texts(X)
        targets = EncodedTargets(texts, y, None, known)
        if not hasattr(self, "classes_"):
            settings = self._settings().resolve(len(targets.classes))
            sums = _core.FeatureSums(settings.analyzer.n_features, len(targets.classes))
            self.classes_ = targets.classes
            self._set_sums(sums, None, settings)
        codes, start = targets.codes.astype(np.int32), 0
        for rows in rows_of(texts, self._row_settings.analyzer, None, threads=thread_count(self)):
            self._sums.add(rows, codes[start : start + len(rows)])
            start += len(rows)
        self._reset_model()
        return self

    def merge(self, *others: ComplementNaiveBayes) -> ComplementNaiveBayes:
        """A new model of the rows and classes of this model and all others; the order does not change a bit.

        Raises
        ------
        PlanError
            If the models convert documents to rows in different ways, or have ``feature_weights``.
        """
        models = [self, *others]
        for model in models:
            check_is_fitted(model, "classes_")
            model._check_counts_are_final()
            if model._row_settings.analyzer != self._row_settings.analyzer:
                raise PlanError(
                    f"models with different parameters cannot be merged: {model._row_settings.analyzer} and "
                    f"{self._row_settings.analyzer}",
                    "fit both with the same parameters, including n_features",
                )
        merged = type(self)(**self.get_params())
        merged.classes_ = np.unique(np.concatenate([model.classes_ for model in models]))
        n = len(merged.classes_)
        sums = _core.FeatureSums(self._sums.n_features, n)
        for model in models:
            sums.merge(permute_classes(model._sums, np.searchsorted(merged.classes_, model.classes_), n))
        merged._set_sums(sums, None, self._row_settings)
        return merged

    def _settings(self) -> Settings:
        check(is_number(self.alpha) and 0 < self.alpha < np.inf, "alpha", self.alpha, "a number above 0")
        check_bool(self.weight_norm, "weight_norm")
        parameters = parameters_of(self, _ROW_PARAMETERS)
        return Settings(**parameters, recipe="fast", passes=1, holdout=0.0)

    def _check_counts_are_final(self) -> None:
        if self.feature_weights is not None:
            raise PlanError(
                f"feature_weights={self.feature_weights!r} depend on all rows of one fit",
                "use fit with all rows, or feature_weights=None",
            )

    def _set_sums(
        self, sums: _core.FeatureSums, table: _core.FeatureTable | None, settings: Settings
    ) -> None:
        self._sums, self._table, self._row_settings = sums, table, settings
        self._reset_model()

    # ---- prediction, by a linear model of the weights

    def _reset_model(self) -> None:
        # Empty until the first prediction, which must not change any attribute.
        self._linear_model: list[TextClassifier] = []

    def _weights(self) -> ComplementWeights:
        check_is_fitted(self, "classes_")
        return ComplementWeights.of(self._sums, alpha=float(self.alpha), weight_norm=bool(self.weight_norm))

    def _linear(self) -> TextClassifier:
        """The linear classifier with these weights."""
        check_is_fitted(self, "classes_")
        if not self._linear_model:
            weights = np.concatenate(list(self._weights().centred()))
            model = LinearModel(
                classes=plain_classes(self.classes_),
                loss="log",
                analyzer=self._row_settings.analyzer,
                fit_intercept=False,
                weights=weights,
                intercept=np.zeros(weights.shape[1], np.float32),
                feature_weights=None if self._table is None else self._table.weights,
            )
            linear: TextClassifier = from_model(TextClassifier, model)
            linear.set_params(threads=self.threads, feature_weights=self.feature_weights)
            linear.classes_ = self.classes_
            self._linear_model.append(linear)
        return self._linear_model[0]

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Scores of the classes: ``(n_rows,)`` for two (above 0 is the second), else ``(n_rows, n_classes)``.

        The mean over the classes is subtracted.

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
        """The probability of each class, ``(n_rows, n_classes)``; as in any naive Bayes, overconfident.

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
            Labels and optional weights; omitted with a Dataset, which contains labels.
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

    # The sums are native objects: a pickle contains their arrays.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_sums" in state:
            state["_sums"] = (self._sums.n_features, *self._sums.to_arrays())
            del state["_linear_model"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "_sums" in state:
            state["_sums"] = _core.FeatureSums.from_arrays(*state["_sums"])
            state["_linear_model"] = []
        # Names in pickles of version 0.1.
        if "_rows_as" in state:
            state["_row_settings"] = state.pop("_rows_as")
        if "_feature_weights" in state:
            weights = state.pop("_feature_weights")
            every = np.arange(0 if weights is None else len(weights), dtype=np.uint32)
            table = None if weights is None else _core.FeatureTable.from_arrays(len(every), every, weights)
            state["_table"] = table
        if "char_ngram_range" not in state:
            newer = values_0_1()
            state = {**{name: newer[name] for name in _ROW_PARAMETERS if name in newer}, **state}
        super().__setstate__(state)
