"""Common parts of text classifiers: settings, encoded targets, prediction, saving and loading."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from manymill import _core
from manymill.constants import AUTO, FEATURE_WEIGHTS, SHOWN_CLASSES, Link
from manymill.data.dataset import Dataset
from manymill.data.reader import read
from manymill.engine.local import workers
from manymill.errors import ModelError, PlanError, SchemaError, SettingsError
from manymill.estimator_support import refuse_own_labels, seed_from, thread_count
from manymill.events import RecipeChosen
from manymill.hash_form import Form
from manymill.linear.choice import choice_facts
from manymill.linear.recipe import value_of
from manymill.linear.row_stream import SliceHasher, all_rows, rows_of
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState, LoadedState
from manymill.model import (
    PROBABILISTIC_LOSSES,
    Analyzer,
    LinearModel,
    ModelDescription,
    choose_classes,
    link_of_version_1,
    load_model,
    probabilities,
    save_model,
)
from manymill.validation import declared

# Settings that an estimator has in another form, or not at all.
_CONVERTED = frozenset({"class_weight", "seed", "window_bytes"})

# Parameters that may be lists, as JSON and TOML have no tuples.
_LISTS = ("ngram_range", "char_ngram_range", "stop_words")


def settings_of(estimator: Any, class_weight: str | Mapping[Any, float] | None) -> Settings:
    """The settings from an estimator's parameters, with class weights by the training's class names.

    Raises
    ------
    SettingsError
        If a parameter is invalid.
    """
    names = [name for name, _, _ in declared(Settings) if name not in _CONVERTED]
    return Settings(
        **parameters_of(estimator, names), class_weight=class_weight, seed=seed_from(estimator.random_state)
    )


def parameters_of(estimator: Any, names: Iterable[str]) -> dict[str, Any]:
    """Parameters of an estimator; a list becomes a tuple."""
    values = {name: getattr(estimator, name) for name in names}
    lists = {name: tuple(values[name]) for name in _LISTS if isinstance(values.get(name), list)}
    return {**values, **lists}


def partial_fit_classes(estimator: Any, classes: ArrayLike | None) -> ArrayLike:
    """All labels that may occur in calls of ``partial_fit``: those of the first call.

    Raises
    ------
    PlanError
        If the first call does not give them, or a later call gives others.
    """
    known: NDArray[Any] | None = getattr(estimator, "classes_", None)
    if known is None:
        if classes is None:
            raise PlanError("the first call of partial_fit needs classes", "give all labels that may occur")
        return classes
    if classes is not None and not np.array_equal(np.unique(np.asarray(classes)), known):
        raise PlanError("classes differ from those of the first call of partial_fit")
    return known


def check_partial_fit(estimator: Any) -> None:
    """Check whether an estimator supports ``partial_fit``.

    Raises
    ------
    PlanError
        If class weights or feature weights depend on all rows.
    ModelError
        If the model was loaded from a folder.
    """
    if isinstance(getattr(estimator, "_state", None), LoadedState):
        raise ModelError(
            "a model loaded from a folder has no squared-gradient sums, which partial_fit needs",
            "pickle the estimator instead, or call fit",
        )
    if estimator.class_weight == "balanced":
        raise PlanError(
            "class_weight='balanced' depends on all rows, not on those of one call",
            "give weights by class, or use fit",
        )
    if estimator.feature_weights not in (None, AUTO):
        raise PlanError(
            f"feature_weights={estimator.feature_weights!r} depend on all rows, not on those of one call",
            "use fit, or feature_weights=None",
        )


class EncodedTargets:
    """Validated labels of rows, encoded as class codes, with row weights.

    Parameters
    ----------
    X : sized
        The texts.
    y : array-like of shape (n_rows,)
        Labels.
    sample_weight : array-like of shape (n_rows,) or None
        Weights of rows.
    classes : array-like of shape (n_classes,), optional
        All possible labels; those of ``y`` if not given.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    names : list of str
        Names of the classes in the training, sorted in the order of ``classes``.
    codes : ndarray of shape (n_rows,)
        The index of each row's label in ``classes``.
    weights : ndarray of float32, shape (n_rows,), or None

    Raises
    ------
    PlanError
        If there is only one class, or a label is not in ``classes``.
    SchemaError
        If lengths differ, or a weight is negative or not finite.
    """

    def __init__(
        self, X: Any, y: ArrayLike | None, sample_weight: ArrayLike | None, classes: ArrayLike | None = None
    ) -> None:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        check_consistent_length(X, labels)
        self.classes = np.unique(labels if classes is None else np.asarray(classes))
        if len(self.classes) < 2:
            raise PlanError(f"all rows have the same label, {self.classes.tolist()}: there is only one class")
        self.codes = np.minimum(np.searchsorted(self.classes, labels), len(self.classes) - 1)
        unknown = self.classes[self.codes] != labels
        if unknown.any():
            known = ", ".join(map(repr, self.classes[:SHOWN_CLASSES].tolist()))
            more = ", ..." if len(self.classes) > SHOWN_CLASSES else ""
            raise PlanError(
                f"the label {labels[unknown].tolist()[0]!r} is not one of the classes {known}{more}"
            )
        width = len(str(len(self.classes) - 1))
        self.names = [f"{number:0{width}}" for number in range(len(self.classes))]
        self.weights = None if sample_weight is None else _weights(X, sample_weight)

    def weighted_rows(self, texts: pa.Array) -> tuple[pa.Array, list[str], NDArray[np.float32] | None]:
        """Texts, class names and weights of the rows with a positive weight.

        Raises
        ------
        SchemaError
            If there is none.
        """
        names, weights = np.array(self.names, object)[self.codes], self.weights
        if weights is None or weights.all():
            return texts, names.tolist(), weights
        positive = weights > 0
        if not positive.any():
            raise SchemaError("sample_weight is zero for every row")
        return texts.filter(pa.array(positive)), names[positive].tolist(), weights[positive]

    def weights_by_name(
        self, class_weight: str | Mapping[Any, float] | None
    ) -> str | Mapping[str, float] | None:
        """Convert class weights by label to weights by name.

        Raises
        ------
        SettingsError
            If a label is not a class.
        """
        if not isinstance(class_weight, Mapping):
            return class_weight
        unknown = [label for label in class_weight if label not in set(self.classes.tolist())]
        if unknown:
            expected = f"weights for labels of y, and {unknown[0]!r} is not one of them"
            raise SettingsError.invalid("class_weight", dict(class_weight), expected)
        return {
            name: class_weight.get(label, 1.0)
            for name, label in zip(self.names, self.classes.tolist(), strict=True)
        }

    def row_weights(self, class_weight: str | Mapping[Any, float] | None) -> NDArray[np.float32] | None:
        """The weights of rows, multiplied by those of their classes."""
        if not isinstance(class_weight, Mapping):
            return self.weights
        by_class = np.array([class_weight.get(label, 1.0) for label in self.classes.tolist()], np.float32)
        by_row: NDArray[np.float32] = by_class[self.codes]
        return by_row if self.weights is None else by_row * self.weights


def _weights(X: Any, sample_weight: ArrayLike) -> NDArray[np.float32]:
    weights = np.asarray(sample_weight, np.float32)
    if weights.ndim == 0:
        weights = np.full(len(X), weights, np.float32)
    if weights.ndim != 1:
        raise SchemaError(f"sample_weight must be one-dimensional, not of shape {weights.shape}")
    check_consistent_length(X, weights)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise SchemaError("sample_weight holds a weight that is negative or not finite")
    return weights


def plain_classes(classes: NDArray[Any]) -> tuple[str, ...] | tuple[int, ...]:
    """Labels in the form of a model folder: integers, or else strings."""
    if np.issubdtype(classes.dtype, np.integer):
        return tuple(int(c) for c in classes.tolist())
    return tuple(str(c) for c in classes.tolist())


def describe(classifier: Any) -> ModelDescription:
    """The model description of a fitted classifier."""
    return ModelDescription(
        classes=plain_classes(classifier.classes_),
        loss=loss_of(classifier),
        analyzer=classifier._state.analyzer,
        fit_intercept=classifier.fit_intercept,
        probability=link_of(classifier),
        temperature=classifier.temperature_,
        facts={
            "passes": classifier.n_iter_,
            "holdout_accuracy": classifier.holdout_score_,
            "settings": {"feature_weights": value_of(classifier, "feature_weights")},
            **choice_facts(getattr(classifier, "recipe_", None)),
        },
    )


def loss_of(classifier: Any) -> Any:
    """The loss of a classifier: chosen in ``fit`` by the recipe ``"auto"``, or decided by its parameters."""
    choice: RecipeChosen | None = getattr(classifier, "recipe_", None)
    return value_of(classifier, "loss") if choice is None else choice.values["loss"]


def link_of(classifier: Any) -> Link:
    """How the scores of a fitted classifier become probabilities; pickles of version 0.1 do not contain it."""
    link: Link | None = getattr(classifier, "_link", None)
    return link_of_version_1(loss_of(classifier)) if link is None else link


def from_model(kind: type[Any], model: LinearModel) -> Any:
    """A fitted classifier with the weights of a model."""
    classifier = kind(**_parameters_of(model))
    classifier._state = LoadedState(model)
    classifier.classes_ = np.array(model.classes)
    classifier._link, classifier.temperature_ = model.probability, model.temperature
    passes, accuracy = (
        model.facts.get(name) for name in ("passes", "holdout_accuracy")
    )  # may be of any type
    classifier.n_iter_ = passes if type(passes) is int else 0
    classifier.holdout_score_ = accuracy if type(accuracy) is float else None
    return classifier


def _parameters_of(model: LinearModel) -> dict[str, Any]:
    """The parameters of the classifier that are recorded in a model folder."""
    analyzer = model.analyzer
    form = {field.name: getattr(analyzer, field.name) for field in fields(Form)}
    return {
        **form,
        "stop_words": analyzer.stop_words or None,
        "n_features": analyzer.n_features,
        "value": analyzer.value,
        "norm": analyzer.norm,
        "feature_weights": _recorded_feature_weights(model.facts),
        "loss": model.loss,
        "fit_intercept": model.fit_intercept,
    }


def _recorded_feature_weights(facts: Mapping[str, Any]) -> str | None:
    """The feature weights that a model was trained with; None if they are not recorded."""
    settings = facts.get("settings")
    recorded = settings.get("feature_weights") if isinstance(settings, dict) else None
    return next((kind for kind in (AUTO, *FEATURE_WEIGHTS) if kind == recorded), None)


class _State(Protocol):
    @property
    def analyzer(self) -> Analyzer: ...

    @property
    def table(self) -> _core.FeatureTable | None: ...

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]: ...


def accuracy_on(dataset: Dataset, state: _State, classes: NDArray[Any], *, threads: int) -> float:
    """The accuracy on a dataset; labels are compared as text, since files contain text.

    Parameters
    ----------
    dataset : Dataset
        Labelled rows. A label that is not in ``classes`` counts as an error.
    state : LinearState or LoadedState
        Scores rows.
    classes : ndarray of shape (n_classes,)
        In the order of the state's outputs.
    threads : int
        Threads that hash.

    Raises
    ------
    SchemaError
        If the dataset has no labels.
    PlanError
        If it has no row.
    """
    if not dataset.labelled:
        raise SchemaError("the rows to score have no labels", "leave out labelled=False")
    index = ClassIndex.in_order([str(label) for label in classes.tolist()])
    n_rows = n_correct = 0
    with workers(threads) as executor:
        batches = read(dataset.plan(), executor=executor, look_ahead=2 * threads)
        hasher = SliceHasher(state.analyzer, executor, 2 * threads, state.table)
        for part, rows in hasher.hash_all(all_rows(batch, index) for batch in batches if len(batch)):
            n_rows += len(rows)
            n_correct += int(np.sum(choose_classes(state.scores(rows)) == part.classes))
    if not n_rows:
        raise PlanError("there is no row to score", "check the labels and texts of the files")
    return n_correct / n_rows


def _has_probabilities(classifier: TextPrediction) -> bool:
    if (loss := loss_of(classifier)) not in PROBABILISTIC_LOSSES:
        raise AttributeError(f"the loss {loss!r} gives no probabilities")
    return True


class TextPrediction(ClassifierMixin):
    """Mixin of classifiers with a fitted linear state: prediction, scoring, saving and loading."""

    loss: Any
    threads: int | None
    classes_: NDArray[Any]
    temperature_: float
    _state: LinearState | LoadedState

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Scores of the classes, float32.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts.

        Returns
        -------
        ndarray of shape (n_rows,) for two classes (positive for the second class), else (n_rows, n_classes)
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each text, ``(n_rows,)``.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts. Bad records of a Dataset are skipped, as are rows without a label unless it has ``labelled=False``:
            there may be fewer labels than records.
        """
        check_is_fitted(self, "classes_")
        # Part by part: all scores of many classes would need much memory.
        parts = [choose_classes(self._state.scores(rows)) for rows in self._rows(X)]
        return self.classes_[np.concatenate(parts) if parts else np.zeros(0, np.intp)]

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """The accuracy: the share of rows whose label is predicted correctly.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts. Bad records of a Dataset are skipped.
        y, sample_weight : array-like of shape (n_rows,)
            Labels and optional weights; omitted with a Dataset, which contains labels.

        Raises
        ------
        SchemaError, PlanError
            If a Dataset has no labels or no row, or if labels are given in addition to it.
        """
        if not isinstance(X, Dataset):
            return float(super().score(X, y, sample_weight))
        refuse_own_labels(y, sample_weight)
        check_is_fitted(self, "classes_")
        return accuracy_on(X, self._state, self.classes_, threads=thread_count(self))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, ``(n_rows, n_classes)``.

        Only available for ``loss`` "log" and "modified_huber".

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts.
        """
        return probabilities(self._scores(X), link_of(self), self.temperature_)

    def _scores(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "classes_")
        parts = [self._state.scores(rows) for rows in self._rows(X)]
        n_outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        return np.concatenate(parts) if parts else np.zeros((0, n_outputs), np.float32)

    def _rows(self, X: Any) -> Any:
        return rows_of(X, self._state.analyzer, self._state.table, threads=thread_count(self))

    @property
    def coef_(self) -> NDArray[np.float32]:
        """Weights, ``(n_outputs, n_columns)``: a column for each of ``features_``."""
        check_is_fitted(self, "classes_")
        slices = list(self._state.weights())
        return (slices[0] if len(slices) == 1 else np.concatenate(slices)).T

    @property
    def features_(self) -> NDArray[np.uint32]:
        """Hash bucket of each column of ``coef_``, ascending, ``(n_columns,)``."""
        check_is_fitted(self, "classes_")
        table = self._state.table
        return np.arange(self._state.n_columns, dtype=np.uint32) if table is None else table.features

    @property
    def intercept_(self) -> NDArray[np.float32]:
        """Intercepts, ``(n_outputs,)``."""
        check_is_fitted(self, "classes_")
        return self._state.intercept()

    # ---- saving

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the model as a folder of JSON and safetensors, which contains no code.

        An old model in the folder stays until the new one is complete. Labels that are neither strings nor integers are
        saved as strings.

        Raises
        ------
        ModelError
            If the folder cannot be written.
        """
        check_is_fitted(self, "classes_")
        save_model(folder, describe(self), **self._state.arrays())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load a classifier from a model folder; its weights are memory-mapped.

        Raises
        ------
        ModelError
            If the folder is corrupt or hostile.
        """
        classifier: Self = from_model(cls, load_model(folder))
        return classifier
