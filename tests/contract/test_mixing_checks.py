"""All of scikit-learn's checks of estimators, on mixtures."""

import warnings

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import check_estimator

from manymill import ParameterMixingClassifier, ParameterMixingRegressor

# Where rows are dealt to parts, a row of weight 2 is in one part, but the same row twice may be in two. One part
# passes, so it is the dealing alone.
DEALT = {
    "check_sample_weight_equivalence_on_dense_data": "a repeated row may be dealt to two parts, a weighted one not",
    "check_sample_weight_equivalence_on_sparse_data": "a repeated row may be dealt to two parts, a weighted one not",
}


@pytest.mark.parametrize(
    ("mixing", "impossible"),
    [
        (ParameterMixingClassifier(LogisticRegression(), n_partitions=1), {}),
        (ParameterMixingRegressor(Ridge(), n_partitions=1), {}),
        (ParameterMixingClassifier(), DEALT),
        (ParameterMixingRegressor(Ridge(), n_partitions=3), DEALT),
        (ParameterMixingClassifier(n_partitions=3, rounds=3), DEALT),
    ],
    ids=str,
)
def test_all_checks_of_an_estimator_find_nothing(mixing, impossible):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(mixing, on_fail=None, expected_failed_checks=impossible)
    assert [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"] == []
    assert sum(result["status"] == "passed" for result in results) > 50
