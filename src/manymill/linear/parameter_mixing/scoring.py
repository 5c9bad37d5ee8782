"""The score of an averaged estimator: on rows given with labels, or on a dataset, which has its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from manymill.data.dataset import Dataset
from manymill.errors import PlanError, SchemaError
from manymill.linear.parameter_mixing.datasets import batches_of, matrix_of


class ScoresDatasets:
    """Adds datasets to what the ``score`` of scikit-learn's mixins takes; stands before them."""

    vectorizer: Any
    estimator_: Any

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy, or R² for regression.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features), sequence of str, or Dataset
            Records of a Dataset that are no rows are left out.
        y, sample_weight : array-like of shape (n_rows,)
            Labels or targets and, if wanted, weights; left out with a Dataset, which has its own labels.

        Raises
        ------
        SchemaError, PlanError
            If a Dataset has no labels, or has no row; if labels are given besides it.
        """
        if not isinstance(X, Dataset):
            return float(super().score(X, y, sample_weight))  # type: ignore[misc]
        check_is_fitted(self, "estimator_")
        if y is not None or sample_weight is not None:
            raise SchemaError("a Dataset has its own labels and weights", "leave out y and sample_weight")
        return score_on(X, self.vectorizer, self.estimator_, getattr(self, "classes_", None))


def score_on(dataset: Dataset, vectorizer: Any, model: Any, classes: NDArray[Any] | None) -> float:
    """Accuracy (files hold labels as text, so texts are compared), or R² for regression; rows weigh the same.

    Texts are read and vectorized batch by batch; what is kept is a label and a prediction a row.

    Raises
    ------
    SchemaError
        If the dataset has no labels.
    PlanError
        If it has no row.
    """
    if not dataset.labelled:
        raise SchemaError("the rows to score have no labels", "leave out labelled=False")
    told, said = [], []
    for batch in batches_of(dataset):
        if len(batch):
            said.append(model.predict(matrix_of(vectorizer, batch)))
            told += batch.labels()
    if not told:
        raise PlanError("there is no row to score", "look at the labels and texts of the files")
    guesses = np.concatenate(said)
    if classes is not None:
        return float(np.mean(guesses.astype(str) == np.array(told)))
    from sklearn.metrics import r2_score

    return float(r2_score(np.array(told, np.float64), guesses))
