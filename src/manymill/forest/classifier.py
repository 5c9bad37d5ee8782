"""Any forest of classifiers, grown in parallel."""

from __future__ import annotations

from typing import Any

from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from manymill.forest.base import PartitionedForest


class PartitionedForestClassifier(ClassifierMixin, PartitionedForest):
    """Any forest of scikit-learn, grown in parallel on shared data or on partitions."""

    _classification = True

    @property
    def classes_(self) -> Any:
        """The labels, sorted; a list of such arrays if there are several outputs."""
        check_is_fitted(self, "forest_")
        return self.forest_.classes_

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, ``(n_rows, n_classes)``; a list of such arrays for several outputs."""
        check_is_fitted(self, "forest_")
        return self.forest_.predict_proba(X)

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of `predict_proba`."""
        check_is_fitted(self, "forest_")
        return self.forest_.predict_log_proba(X)
