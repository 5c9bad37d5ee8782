"""The columns of a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manymill.model import LinearModel, choose_classes, probabilities


@dataclass(frozen=True)
class Columns:
    """Which columns are wanted besides position, label and score.

    Parameters
    ----------
    scores : bool
        A column ``score_<class>`` for each class.
    probabilities : bool
        A column ``probability_<class>`` for each class.
    file : bool
        A first column with the input's name.
    """

    scores: bool = False
    probabilities: bool = False
    file: bool = False

    def schema(self, model: LinearModel) -> pa.Schema:
        """The columns' names and types."""
        kind = pa.int64() if isinstance(model.classes[0], int) else pa.string()
        fields = [("file", pa.string())] if self.file else []
        fields += [("position", pa.int64()), ("label", kind), ("score", pa.float32())]
        if self.scores:
            fields += [(f"score_{name}", pa.float32()) for name in model.classes]
        if self.probabilities:
            fields += [(f"probability_{name}", pa.float32()) for name in model.classes]
        return pa.schema(fields)

    def table(
        self, model: LinearModel, position: NDArray[np.int64], scores: NDArray[np.float32], file: str
    ) -> pa.RecordBatch:
        """The columns of some rows.

        Parameters
        ----------
        model : LinearModel
        position : ndarray of int64, shape (n_rows,)
            Where each row stands in its file.
        scores : ndarray of float32, shape (n_rows, n_outputs)
        file : str
            The input's name.

        Raises
        ------
        PlanError
            If probabilities are wanted and the model's loss gives none.
        """
        chosen = choose_classes(scores)
        schema = self.schema(model)
        arrays: list[Any] = [pa.repeat(file, len(position))] if self.file else []
        by_class = np.hstack([-scores, scores]) if model.n_outputs == 1 else scores
        names = pa.array(model.classes, schema.field("label").type)
        arrays += [pa.array(position), names.take(pa.array(chosen))]
        arrays.append(pa.array(by_class[np.arange(len(chosen)), chosen]))
        if self.scores:
            arrays += _by_column(by_class)
        if self.probabilities:
            given = probabilities(scores, model.loss, len(model.classes), model.temperature)
            arrays += _by_column(given.astype(np.float32))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _by_column(values: NDArray[np.float32]) -> list[pa.Array]:
    return [pa.array(column) for column in np.ascontiguousarray(values.T)]
