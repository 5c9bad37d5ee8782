"""What a fitted classifier does: scores, labels, probabilities of texts; saving and loading."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from manymill.data.dataset import Dataset
from manymill.errors import SchemaError
from manymill.linear.accuracy import accuracy_on
from manymill.linear.hashing import rows_of
from manymill.linear.loaded import LoadedState
from manymill.linear.parameters import threads_of
from manymill.linear.saved import description_of, restored
from manymill.linear.state import LinearState
from manymill.model import PROBABILISTIC_LOSSES, choose_classes, load_model, probabilities, save_model


def _has_probabilities(classifier: Predicting) -> bool:
    if classifier.loss not in PROBABILISTIC_LOSSES:
        raise AttributeError(f"the loss {classifier.loss!r} gives no probabilities")
    return True


class Predicting(ClassifierMixin):
    """The half of a classifier that a fitted state is enough for."""

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
        ndarray of shape (n_rows,) for two classes (above 0 is the second class), else (n_rows, n_classes)
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each text, ``(n_rows,)``.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts. Records of a Dataset that are no rows are left out (so are rows without a label,
            unless it has ``labelled=False``): there may be fewer labels than records.
        """
        scores = self._scores(X)
        return self.classes_[choose_classes(scores)]

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """The share of rows whose label is predicted.

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts. Records of a Dataset that are no rows are left out.
        y, sample_weight : array-like of shape (n_rows,)
            Labels and, if wanted, weights; left out with a Dataset, which has its own labels.

        Raises
        ------
        SchemaError, PlanError
            If a Dataset has no labels, or has no row; if labels are given besides it.
        """
        if not isinstance(X, Dataset):
            return float(super().score(X, y, sample_weight))
        if y is not None or sample_weight is not None:
            raise SchemaError("a Dataset has its own labels and weights", "leave out y and sample_weight")
        check_is_fitted(self, "classes_")
        return accuracy_on(X, self._state, self.classes_, threads=threads_of(self))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, ``(n_rows, n_classes)``.

        There is none but for ``loss`` "log" and "modified_huber".

        Parameters
        ----------
        X : sequence of str of shape (n_rows,), or Dataset
            Texts.
        """
        return probabilities(self._scores(X), self.loss, len(self.classes_), self.temperature_)

    def _scores(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "classes_")
        parts = [self._state.scores(rows) for rows in self._rows(X)]
        n_outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        return np.concatenate(parts) if parts else np.zeros((0, n_outputs), np.float32)

    def _rows(self, X: Any) -> Any:
        return rows_of(X, self._state.analyzer, self._state.feature_weights, threads=threads_of(self))

    @property
    def coef_(self) -> NDArray[np.float32]:
        """Weights, ``(n_outputs, n_features)``."""
        check_is_fitted(self, "classes_")
        slices = list(self._state.weights())
        return (slices[0] if len(slices) == 1 else np.concatenate(slices)).T

    @property
    def intercept_(self) -> NDArray[np.float32]:
        """Intercepts, ``(n_outputs,)``."""
        check_is_fitted(self, "classes_")
        return self._state.intercept()

    # ---- saving

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the model as a folder of JSON and safetensors: nothing in it can be executed.

        The old model of that name, if any, stays until the new one is whole. Labels that are neither strings
        nor integers are saved as strings.

        Raises
        ------
        ModelError
            If the folder cannot be written.
        """
        check_is_fitted(self, "classes_")
        save_model(
            folder, description_of(self), self._state.weights(), self.intercept_, self._state.feature_weights
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """The classifier of a model folder; its weights stay on disk, memory-mapped.

        Raises
        ------
        ModelError
            If the folder is corrupt or hostile.
        """
        classifier: Self = restored(cls, load_model(folder))
        return classifier
