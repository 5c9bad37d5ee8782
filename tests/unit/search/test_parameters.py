"""Invalid parameters of SearchCV and of learning curves have one form of error."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from manymill import SearchCV, learning_curve, validation_curve
from manymill.errors import SettingsError

X, Y = load_iris(return_X_y=True)
SEARCH = {"distributions": {"C": [1.0, 2.0]}, "cv": 2, "engine": 1}
CURVE = {"param_name": "C", "param_range": [1.0], "cv": 2, "engine": 1}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("estimator", None),
        ("estimator", SVC),
        ("distributions", None),
        ("distributions", {5: [1]}),
        ("cv", 0),
        ("cv", "five"),
        ("cv", (1, 2)),
        ("scoring", -1),
        ("scoring", "accurracy"),
        ("scoring", []),
        ("scoring", (1, 2)),
        ("refit", 2.5),
        ("refit", None),
        ("halving", "yes"),
        ("return_train_score", 1),
        ("error_score", "ignore"),
        ("error_score", []),
        ("seconds", 0),
        ("random_state", True),
        ("random_state", -1),
        ("run", 5),
        ("engine", "spark"),
    ],
)
def test_an_invalid_parameter_of_a_search_is_refused(name, value):
    if name == "scoring" and isinstance(value, tuple):
        value, shown = list(value), "1"
    else:
        shown = ""
    with pytest.raises(SettingsError, match=rf"^{name}={shown}.* is invalid: expected "):
        SearchCV(**{"estimator": SVC(), **SEARCH, name: value}).fit(X, Y)


def test_a_resource_is_the_name_of_a_parameter():
    with pytest.raises(SettingsError, match=r"resource=\[\] is invalid: expected 'rows', or a parameter"):
        SearchCV(SVC(), **SEARCH, halving=True, resource=[]).fit(X, Y)


def test_a_misspelt_scorer_is_corrected():
    with pytest.raises(SettingsError, match=r"scoring='accurracy' is invalid: .*did you mean 'accuracy'"):
        SearchCV(SVC(), **SEARCH, scoring="accurracy").fit(X, Y)


@pytest.mark.parametrize("limit", [np.float32(60), float("inf"), 2**70])
@pytest.mark.parametrize("engine", [1, "processes:1"])
def test_any_number_is_a_limit_of_time(limit, engine):
    search = SearchCV(SVC(), **{**SEARCH, "engine": engine}, seconds=limit, timeout=limit).fit(X, Y)
    assert search.handle_.progress().done == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("estimator", 5),
        ("train_sizes", 0.5),
        ("train_sizes", "half"),
        ("train_sizes", [True]),
        ("cv", 0),
        ("scoring", "accurracy"),
        ("shuffle", "yes"),
        ("random_state", "seed"),
        ("error_score", "ignore"),
    ],
)
def test_an_invalid_parameter_of_a_learning_curve_is_refused(name, value):
    options = {"estimator": SVC(), "cv": 2, "engine": 1, "shuffle": True, name: value}
    with pytest.raises(SettingsError, match=f"^{name}=.* is invalid: expected "):
        learning_curve(options.pop("estimator"), X, Y, **options)


@pytest.mark.parametrize(
    ("name", "value"), [("param_name", []), ("param_range", 1.0), ("cv", "five"), ("error_score", None)]
)
def test_an_invalid_parameter_of_a_validation_curve_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"^{name}=.* is invalid: expected "):
        validation_curve(SVC(), X, Y, **{**CURVE, name: value})
