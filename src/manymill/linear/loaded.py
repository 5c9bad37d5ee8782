"""A model read from a folder, with the face of a state that was learnt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from manymill import _core
from manymill.model import Analyzer, LinearModel


class LoadedState:
    """Weights that lie in a memory-mapped file: they can be used, and not changed.

    Parameters
    ----------
    model : LinearModel
        What :func:`manymill.model.load_model` gives.
    """

    def __init__(self, model: LinearModel) -> None:
        self._model = model

    @property
    def analyzer(self) -> Analyzer:
        """How documents become rows."""
        return self._model.analyzer

    @property
    def feature_weights(self) -> NDArray[np.float32] | None:
        """What each value is multiplied by, ``(n_features,)``; None: by 1."""
        return self._model.feature_weights

    def scores(self, rows: _core.Rows) -> NDArray[np.float32]:
        """Decision values, ``(n_rows, n_outputs)``."""
        return _core.score_rows(rows, self._model.weights, self._model.intercept)

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """The weights as one slice, ``(n_features, n_outputs)``."""
        yield self._model.weights

    def intercept(self) -> NDArray[np.float32]:
        """The intercepts, ``(n_outputs,)``."""
        return self._model.intercept
