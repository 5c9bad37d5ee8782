"""Learning and validation curves equal scikit-learn's."""

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from manymill import learning_curve, validation_curve
from manymill.errors import PlanError, SettingsError
from manymill.search.estimator import FailedCandidatesWarning

X, y = load_iris(return_X_y=True)


@pytest.mark.parametrize("sizes", [[0.1, 0.5, 1.0], [30, 60]])
def test_a_learning_curve_is_scikit_learns(sizes):
    options = {"train_sizes": sizes, "cv": 3, "shuffle": True, "random_state": 1}
    ours = learning_curve(GaussianNB(), X, y, engine=2, **options)
    theirs = model_selection.learning_curve(GaussianNB(), X, y, **options)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other)


@pytest.mark.parametrize("engine", [1, "processes:2"])
def test_a_validation_curve_is_scikit_learns(engine):
    options = {"param_name": "C", "param_range": [0.01, 1, 100], "cv": 3, "scoring": "f1_macro"}
    ours = validation_curve(SVC(), X, y, engine=engine, **options)
    theirs = model_selection.validation_curve(SVC(), X, y, **options)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other)


@pytest.mark.parametrize("sizes", [[], [0.0], [1.5], [500], [0]])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(SettingsError, match="train_sizes"):
        learning_curve(GaussianNB(), X, y, train_sizes=sizes)


@pytest.mark.parametrize("values", [["nonsense"], ["nonsense", "rbf"]])
def test_a_fit_that_fails_is_raised_if_all_do_or_if_that_is_wanted(values):
    how = {"error_score": "raise"} if len(values) > 1 else {}
    with pytest.raises(PlanError, match=r"a fit failed: .*kernel"):
        validation_curve(SVC(), X, y, param_name="kernel", param_range=values, **how)


def test_a_fit_that_fails_among_others_has_no_score_as_in_scikit_learn():
    asked = {"param_name": "kernel", "param_range": ["nonsense", "rbf"]}
    with pytest.warns(FailedCandidatesWarning, match="5 of 10 fits failed"):
        ours = validation_curve(SVC(), X, y, **asked)
    theirs = model_selection.validation_curve(SVC(), X, y, **asked)
    for own, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own, their)
