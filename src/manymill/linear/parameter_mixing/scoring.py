"""The score of an averaged estimator on a dataset's own labels, in memory that does not grow with the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.data.dataset import Dataset
from manymill.errors import PlanError, SchemaError
from manymill.linear.parameter_mixing.datasets import batches_of, matrix_of


def score_on(dataset: Dataset, vectorizer: Any, model: Any, classes: NDArray[Any] | None) -> float:
    """Accuracy (files hold labels as text, so texts are compared), or R² for regression; rows weigh the same.

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
