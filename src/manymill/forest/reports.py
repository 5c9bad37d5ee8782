"""Report of a forest fit: scores of the forest and of its partitions, and how much partitions differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manymill.forest.budget import LeafBudget


class ForestWarning(UserWarning):
    """Partitions differ too much, rows are unused, columns are left out, or the fit was interrupted.

    Turn it into an error where a forest on partitions that are sorted by class must not go unnoticed.

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
    """Report of one partition.

    Attributes
    ----------
    n_rows : int
    n_trees : int
        Number of trees grown on it.
    score : float or None
        Score of its trees alone on held-out rows.
    class_counts : tuple of int
        Number of rows of each class.
    """

    n_rows: int
    n_trees: int
    score: float | None
    class_counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ForestReport:
    """Report of a fit; scores are accuracies for classification and R² for regression.

    Attributes
    ----------
    mode : str
    n_trees : int
    n_nodes : int
        Number of nodes of all trees.
    n_held_out : int
        Number of rows that the scores are computed on.
    score : float or None
        Score of the forest on held-out rows; None without any.
    parts : tuple of PartReport
        One for each partition, in order; empty unless each tree is grown on one partition.
    cramers_v : float or None
        How much partitions differ in their classes, from 0 to 1.
    settled : bool
        Whether early stopping ended the fit.
    interrupted : bool
        Whether Ctrl-C ended the fit.
    seconds : float
        Duration of the fit.
    budget : LeafBudget or None
        How ``max_bytes`` limits the trees.
    saved_bytes : int or None
        Size in bytes of the nodes file of the saved forest; None if its members are not trees.
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
        """The report as a few lines of text."""
        lines = [f"{self.n_trees:,} trees, {self.n_nodes:,} nodes, {self.seconds:.1f} s"]
        if self.score is not None:
            lines.append(f"held-out score: {self.score:.4f} over {self.n_held_out:,} rows")
        scores = [part.score for part in self.parts if part.score is not None]
        if scores:
            mean = sum(scores) / len(scores)
            lines.append(
                f"{len(scores)} partitions alone: {min(scores):.4f} to {max(scores):.4f}, mean {mean:.4f}; "
                "this does not tell how one forest on all rows would score"
            )
        if self.budget is not None and self.saved_bytes is not None:
            leaves = self.budget.max_leaf_nodes
            bound = "trees need no limit" if leaves is None else f"at most {leaves:,} leaves per tree"
            lines.append(
                f"{self.saved_bytes:,} bytes saved of {self.budget.max_bytes:,} allowed, "
                f"{self.budget.estimated_bytes:,} expected: {bound}"
            )
        if self.cramers_v is not None:
            lines.append(f"partitions differ in their classes by {self.cramers_v:.2f} (Cramér's V)")
        return "\n".join(lines)
