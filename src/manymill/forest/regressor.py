"""Any forest of regressors, grown in parallel."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from manymill.forest.base import PartitionedForest


class PartitionedForestRegressor(RegressorMixin, PartitionedForest):
    """Any forest of scikit-learn, grown in parallel on shared data or on partitions."""

    _classification = False
