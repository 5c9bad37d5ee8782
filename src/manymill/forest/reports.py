"""What a fit found out about itself: how good the forest is, how good its parts are, whether they are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manymill.forest.budget import LeafBudget


class ForestWarning(UserWarning):
    """Partitions differ too much, rows go unused, or growing was stopped.

    Make it an error where no forest on partitions that are sorted by class may go unnoticed.

    Examples
    --------
    >>> import warnings
    >>> from sklearn.datasets import load_iris
    >>> from manymill import ForestWarning, PartitionedForestClassifier
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", ForestWarning)
    ...     try:
    ...         forest = PartitionedForestClassifier(mode="partitions").fit(*load_iris(return_X_y=True))
    ...     except ForestWarning as warning:
    ...         print(str(warning)[:38])
    the partitions differ in their classes
    """


@dataclass(frozen=True, slots=True)
class PartReport:
    """A partition and the forest of its own trees."""

    n_rows: int
    n_trees: int
    score: float | None  # of its trees alone, on held-out rows
    class_counts: tuple[int, ...] = ()  # rows of each class


@dataclass(frozen=True, slots=True)
class ForestReport:
    """What came out; the scores of classifiers are accuracies, those of regressors R².

    Attributes
    ----------
    mode : str
    n_trees : int
        Of the forest.
    n_nodes : int
        Of all its trees.
    n_held_out : int
        Rows that the scores are of.
    score : float or None
        Of the forest on held-out rows; None without any.
    parts : tuple of PartReport
        In the order of the partitions; none unless each tree has seen one partition.
    cramers_v : float or None
        How much partitions differ in their classes, 0 to 1.
    settled : bool
        Whether growing was stopped because the score did not change any more.
    interrupted : bool
        Whether the user stopped it.
    seconds : float
        That it took.
    budget : LeafBudget or None
        How the forest was held to ``max_bytes``.
    saved_bytes : int or None
        Of the nodes when the forest is saved; None if its members are no trees.
    """

    mode: str
    n_trees: int
    n_nodes: int
    n_held_out: int
    score: float | None
    parts: tuple[PartReport, ...]
    cramers_v: float | None
    settled: bool
    interrupted: bool
    seconds: float
    budget: LeafBudget | None = None
    saved_bytes: int | None = None

    def words(self) -> str:
        """The report in a few lines."""
        lines = [f"{self.n_trees:,} trees, {self.n_nodes:,} nodes, {self.seconds:.1f} s"]
        if self.score is not None:
            lines.append(f"held out: {self.score:.4f} over {self.n_held_out:,} rows")
        scores = [part.score for part in self.parts if part.score is not None]
        if scores:
            mean = sum(scores) / len(scores)
            lines.append(
                f"{len(scores)} partitions alone: {min(scores):.4f} to {max(scores):.4f}, mean {mean:.4f}; "
                "what all rows in one forest would score is not known from this"
            )
        if self.budget is not None and self.saved_bytes is not None:
            bound = self.budget.max_leaf_nodes
            kept = "any number of leaves fits" if bound is None else f"{bound:,} leaves a tree at most"
            lines.append(
                f"{self.saved_bytes:,} bytes saved of {self.budget.max_bytes:,} allowed, "
                f"{self.budget.estimated_bytes:,} expected: {kept}"
            )
        if self.cramers_v is not None:
            lines.append(f"partitions differ in their classes by {self.cramers_v:.2f} (Cramér's V)")
        return "\n".join(lines)
