"""The accuracy on a dataset's own labels, in memory that does not grow with the rows."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.data.dataset import Dataset
from manymill.data.reader import read
from manymill.engine.local import workers
from manymill.errors import PlanError, SchemaError
from manymill.linear.classes import ClassIndex
from manymill.linear.hashing import RowMaker
from manymill.linear.slices import whole
from manymill.model import Analyzer, choose_classes


class _State(Protocol):
    @property
    def analyzer(self) -> Analyzer: ...

    @property
    def feature_weights(self) -> NDArray[np.float32] | None: ...

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]: ...


def accuracy_on(dataset: Dataset, state: _State, classes: NDArray[Any], *, threads: int) -> float:
    """The share of rows whose label is predicted; files hold labels as text, so the texts are compared.

    Parameters
    ----------
    dataset : Dataset
        With labels. A label that is none of ``classes`` counts as missed.
    state : LinearState or LoadedState
        What scores rows.
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
        maker = RowMaker(state.analyzer, executor, 2 * threads, state.feature_weights)
        for part, rows in maker.ahead(whole(batch, index) for batch in batches if len(batch)):
            n_rows += len(rows)
            n_correct += int(np.sum(choose_classes(state.scores(rows)) == part.classes))
    if not n_rows:
        raise PlanError("there is no row to score", "look at the labels and texts of the files")
    return n_correct / n_rows
