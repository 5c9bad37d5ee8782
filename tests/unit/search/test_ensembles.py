"""Ensembles of the best candidates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVC

from manymill import SearchCV
from manymill.errors import SettingsError
from manymill.search.ensembles import select_greedily

X, y = load_digits(return_X_y=True)
X, y, OTHER_X, OTHER_Y = X[:500], y[:500].astype(str), X[500:900], y[500:900].astype(str)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=6), st.floats(-10, 10))
def test_the_mean_is_never_worse_than_the_best_candidate(values, truth):
    predictions = np.array(values).reshape(-1, 1, 1)
    counts, loss = select_greedily(predictions, lambda mean: float((mean[0, 0] - truth) ** 2))
    assert loss <= min((value - truth) ** 2 for value in values) + 1e-12
    mean = (counts[:, None, None] * predictions).sum(axis=0) / counts.sum()
    assert loss == pytest.approx(float((mean[0, 0] - truth) ** 2), abs=1e-9)


def test_an_ensemble_of_classifiers_predicts_and_is_of_scikit_learn():
    space = {"var_smoothing": [1e-9, 1e-5, 1e-3, 1e-2, 1e-1]}
    search = SearchCV(GaussianNB(), space, cv=3, ensemble="top3", engine=2).fit(X, y)
    assert type(search.ensemble_) is VotingClassifier
    assert len(search.ensemble_.estimators_) <= 3
    proba = search.predict_proba(OTHER_X)
    np.testing.assert_allclose(proba, search.ensemble_.predict_proba(OTHER_X))
    best = log_loss(OTHER_Y, search.best_estimator_.predict_proba(OTHER_X))
    assert log_loss(OTHER_Y, proba) <= best * 1.05
    assert search.predict(OTHER_X).tolist() == search.classes_[proba.argmax(axis=1)].tolist()
    assert search.score(OTHER_X, OTHER_Y) > 0.7


def test_an_ensemble_of_regressors_is_weighted_by_votes():
    rows, target = load_diabetes(return_X_y=True)
    search = SearchCV(KNeighborsRegressor(), {"n_neighbors": [1, 5, 20]}, cv=3, ensemble=3).fit(rows, target)
    assert type(search.ensemble_) is VotingRegressor
    members, weights = search.ensemble_.estimators_, search.ensemble_.weights
    expected = np.average([member.predict(rows) for member in members], axis=0, weights=weights)
    np.testing.assert_allclose(search.predict(rows), expected)


@pytest.mark.parametrize("ensemble", ["best", 0, "top", True])
def test_an_ensemble_of_nothing_is_refused(ensemble):
    with pytest.raises(SettingsError, match="ensemble="):
        SearchCV(SVC(), {"C": [1]}, ensemble=ensemble).fit(X, y)
