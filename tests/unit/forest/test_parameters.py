"""Invalid parameters of forests have one form of error."""

import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesClassifier

from manymill import PartitionedForestClassifier, combine_forests, save_forest, sub_forest
from manymill.errors import SettingsError

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def forest():
    return ExtraTreesClassifier(3, random_state=0).fit(X, Y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("early_stopping", "yes"),
        ("warm_start", None),
        ("random_state", True),
        ("random_state", -1),
        ("random_state", "seed"),
        ("n_estimators", 0),
        ("max_features", 1.5),
        ("engine", "processes:0"),
    ],
)
def test_an_invalid_parameter_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"^{name}=.* is invalid: expected "):
        PartitionedForestClassifier(**{"n_estimators": 2, "engine": 1, name: value}).fit(X, Y)


@pytest.mark.parametrize("validation", [5, "xy", (X,), (X, Y, None)], ids=["5", "xy", "one", "three"])
def test_validation_rows_are_a_pair(validation):
    with pytest.raises(SettingsError, match=r"validation is invalid: expected a pair \(X, y\)"):
        PartitionedForestClassifier(n_estimators=2).fit(X, Y, validation=validation)


@pytest.mark.parametrize("seed", [-1, 2**32, 2.5, True, "seed", []])
def test_an_invalid_seed_draws_no_trees(forest, seed):
    with pytest.raises(
        SettingsError, match=r"random_state=.* is invalid: expected an integer from 0 to 2\^32"
    ):
        sub_forest(forest, 1, random_state=seed)


def test_one_number_is_not_a_sequence_of_forests():
    with pytest.raises(SettingsError, match="forests=5 is invalid: expected a sequence of fitted forests"):
        combine_forests(5)


def test_facts_are_a_mapping(forest, tmp_path):
    with pytest.raises(SettingsError, match="facts='rows' is invalid: expected a mapping"):
        save_forest(tmp_path / "forest", forest, facts="rows")
