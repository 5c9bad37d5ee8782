"""Predictions added up tree by tree: the score of the trees so far, on rows that they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.forest.grown import Grown
from manymill.forest.kinds import is_bagging
from manymill.forest.planning import rows_not_drawn
from manymill.forest.rows import Rows

Forest = Callable[[list[Grown]], Any]


class Votes:
    """The votes of trees for rows, and how right they are.

    Parameters
    ----------
    classes : list of ndarray or None
        Of each output; None for regression.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        What is right.
    """

    def __init__(self, classes: list[NDArray[Any]] | None, y: NDArray[Any]) -> None:
        self._classes = classes
        self._y = y.reshape(len(y), -1)
        n_outputs = self._y.shape[1]
        widths = [len(names) for names in classes] if classes else [1] * n_outputs
        self._sums = [np.zeros((len(y), width)) for width in widths]
        self._trees = np.zeros(len(y), np.int64)

    def add(self, predicted: list[NDArray[np.float64]], rows: Any = slice(None)) -> None:
        """Add what one tree (see `predictions`) says of some rows."""
        for total, one in zip(self._sums, predicted, strict=True):
            total[rows] += one
        self._trees[rows] += 1

    def score(self) -> float | None:
        """Accuracy or R² over the rows with a vote; None if there is none."""
        voted = self._trees > 0
        if not voted.any():
            return None
        y = self._y[voted]
        if self._classes is not None:
            right = np.ones(len(y), bool)
            for output, (total, names) in enumerate(zip(self._sums, self._classes, strict=True)):
                right &= names[np.argmax(total[voted], axis=1)] == y[:, output]
            return float(right.mean())
        means = np.hstack(self._sums)[voted] / self._trees[voted, None]
        around = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        errors = ((y - means) ** 2).sum(axis=0)
        return float(np.mean(np.where(around > 0, 1 - errors / np.where(around > 0, around, 1), 0.0)))


def predictions(forest: Any, X: Any, *, classification: bool) -> list[NDArray[np.float64]]:
    """What a forest says of rows, an array of ``(n_rows, n_classes)`` or ``(n_rows, 1)`` for each output."""
    if classification:
        said = forest.predict_proba(X)
        return list(said) if isinstance(said, list) else [said]
    said = np.asarray(forest.predict(X), np.float64).reshape(X.shape[0], -1)
    return [said[:, [output]] for output in range(said.shape[1])]


class OutOfBag:
    """Votes of trees for those rows of their part that they have not drawn.

    Parameters
    ----------
    forest : callable
        Makes a forest of members.
    ensemble : BaseForest
        With ``bootstrap``.
    rows : Rows
        All; labels as ``classes`` has them.
    rows_of : callable
        The rows of the part that a member was grown on, sorted or as a slice.
    classes : list of ndarray or None
    """

    def __init__(
        self,
        forest: Forest,
        ensemble: Any,
        rows: Rows,
        rows_of: Callable[[Grown], Any],
        classes: list[NDArray[Any]] | None,
    ) -> None:
        self._forest, self._ensemble, self._rows, self._rows_of = forest, ensemble, rows, rows_of
        self._classification = classes is not None
        self.votes = Votes(classes, rows.y)

    def add(self, member: Grown) -> float | None:
        """Count a tree's votes; the score of all so far."""
        part = self._rows_of(member)
        numbers = np.arange(len(self._rows))[part] if isinstance(part, slice) else part
        weight = None if self._rows.weight is None else self._rows.weight[part]
        unseen = numbers[rows_not_drawn(self._ensemble, member.tree, len(numbers), weight)]
        if len(unseen):
            said = predictions(
                self._forest([member]), self._rows.X[unseen], classification=self._classification
            )
            self.votes.add(said, unseen)
        return self.votes.score()


class HeldOut:
    """Votes for held-out rows: of all trees, and of those of each partition.

    Parameters
    ----------
    forest : callable
        Makes a forest of members.
    rows : Rows
        Held out; labels as ``classes`` has them.
    classes : list of ndarray or None
    n_parts : int
    """

    def __init__(self, forest: Forest, rows: Rows, classes: list[NDArray[Any]] | None, n_parts: int) -> None:
        self._forest, self.rows, self._classification = forest, rows, classes is not None
        self.votes = Votes(classes, rows.y)
        self.parts = [Votes(classes, rows.y) for _ in range(n_parts)]

    def add(self, member: Grown) -> float | None:
        """Count a tree's votes; the score of all so far."""
        said = predictions(self._forest([member]), self.rows.X, classification=self._classification)
        self.votes.add(said)
        if member.part is not None:
            self.parts[member.part].add(said)
        return self.votes.score()


class Settled:
    """Whether a score has settled: over the last trees it moved by no more than a tolerance."""

    def __init__(self, tol: float, n_trees: int) -> None:
        self._tol, self._n_trees = tol, n_trees
        self._scores: list[float] = []

    def after(self, score: float | None) -> bool:
        """Take the score after one more tree."""
        if score is None:
            return False
        self._scores = [*self._scores[-self._n_trees :], score]
        return len(self._scores) > self._n_trees and max(self._scores) - min(self._scores) <= self._tol


def can_score_out_of_bag(ensemble: Any) -> bool:
    """Whether it is known of each tree which rows it has not drawn."""
    return not is_bagging(ensemble) and bool(ensemble.bootstrap)
