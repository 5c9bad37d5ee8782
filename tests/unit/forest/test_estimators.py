"""The forests pass the checks of scikit-learn."""

import pytest
from sklearn.utils.estimator_checks import check_estimator

from manymill.forest.estimators import PartitionedForestClassifier, PartitionedForestRegressor

# Rows that are repeated or left out are parted otherwise than rows that weigh.
PARTED = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "a part of the rows is not the whole",
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["shared", "partitions", "patches"])
@pytest.mark.parametrize("kind", [PartitionedForestClassifier, PartitionedForestRegressor])
def test_estimators_keep_the_protocol(kind, mode):
    check_estimator(
        kind(n_estimators=8, n_partitions=2, mode=mode, engine=1),
        expected_failed_checks=None if mode == "shared" else PARTED,
    )
