"""Every linear model of scikit-learn, mixed: the weighted mean, an ordinary estimator, the same on every engine."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import (
    ElasticNet,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.svm import LinearSVC, LinearSVR

from manymill import ParameterMixingClassifier, ParameterMixingRegressor
from manymill.engine.selection import as_engine

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # they are to go in a later scikit-learn
    PASSIVE = [PassiveAggressiveClassifier(random_state=0)], [PassiveAggressiveRegressor(random_state=0)]

CLASSIFIERS = [
    SGDClassifier(random_state=0),
    SGDClassifier(loss="log_loss", average=True, random_state=0),
    SGDClassifier(fit_intercept=False, class_weight="balanced", random_state=0),
    Perceptron(random_state=0),
    LogisticRegression(max_iter=500),
    LogisticRegression(max_iter=500, fit_intercept=False),
    LinearSVC(random_state=0),
    LinearSVC(fit_intercept=False, random_state=0),
    LinearSVC(multi_class="crammer_singer", random_state=0),
    RidgeClassifier(),
    *PASSIVE[0],
]
REGRESSORS = [
    SGDRegressor(random_state=0),
    SGDRegressor(average=True, random_state=0),
    Ridge(),
    Ridge(fit_intercept=False),
    LinearRegression(),
    Lasso(),
    ElasticNet(),
    HuberRegressor(max_iter=20),
    LinearSVR(random_state=0),
    *PASSIVE[1],
]
OF_CLASSES = [(model, n) for model in CLASSIFIERS for n in (2, 3)] + [(model, 0) for model in REGRESSORS]
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Class PassiveAggressive:FutureWarning"
)


def table(estimator, n_classes=3):
    """Rows that suit the estimator, and the mixing for it."""
    if estimator in CLASSIFIERS:
        X, y = make_classification(
            120, 6, n_informative=5, n_redundant=0, n_classes=n_classes, random_state=1
        )
        return X, y, ParameterMixingClassifier
    X, y = make_regression(120, 6, noise=1.0, random_state=1)
    return X, y / 50, ParameterMixingRegressor


@pytest.mark.parametrize(("estimator", "n_classes"), OF_CLASSES, ids=repr)
def test_one_part_is_the_plain_fit(estimator, n_classes):
    X, y, mixing = table(estimator, n_classes)
    mixed = mixing(estimator, n_partitions=1).fit(X, y)
    plain = clone(estimator).fit(X, y)
    np.testing.assert_array_equal(mixed.coef_, plain.coef_)
    np.testing.assert_array_equal(mixed.intercept_, plain.intercept_)
    np.testing.assert_array_equal(mixed.predict(X), plain.predict(X))


@pytest.mark.parametrize(("estimator", "n_classes"), OF_CLASSES, ids=repr)
def test_the_mixture_is_the_mean_of_fits_on_the_parts_weighted_by_rows(estimator, n_classes):
    X, y, mixing = table(estimator, n_classes)
    X, y = X[:115], y[:115]
    mixed = mixing(estimator, n_partitions=4, partitioning="contiguous", random_state=3).fit(X, y)
    parts = np.array_split(np.arange(len(X)), 4)
    seeds = [int(np.random.SeedSequence(3, spawn_key=(0, p)).generate_state(1)[0] >> 1) for p in range(4)]
    fits = []
    for rows, seed in zip(parts, seeds, strict=True):
        own = clone(estimator)
        if "random_state" in own.get_params():
            own.set_params(random_state=seed)
        fits.append(own.fit(X[rows], y[rows]))
    weights = [len(rows) for rows in parts]
    for name in ("coef_", "intercept_"):
        mean = np.average([getattr(fit, name) for fit in fits], axis=0, weights=weights)
        np.testing.assert_allclose(getattr(mixed, name), mean, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("estimator", CLASSIFIERS + REGRESSORS, ids=repr)
def test_what_comes_out_is_an_ordinary_estimator(estimator):
    X, y, mixing = table(estimator)
    mixed = mixing(estimator, n_partitions=3).fit(X, y)
    inner = pickle.loads(pickle.dumps(mixed)).estimator_
    assert type(inner) is type(estimator)
    assert clone(inner).get_params() == clone(estimator).get_params()
    np.testing.assert_array_equal(inner.predict(X), mixed.predict(X))
    if hasattr(inner, "predict_proba"):
        np.testing.assert_allclose(mixed.predict_proba(X).sum(axis=1), 1)
    if hasattr(inner, "partial_fit"):
        inner.partial_fit(X, y)


@pytest.mark.parametrize("estimator", CLASSIFIERS + REGRESSORS, ids=repr)
def test_sparse_rows_give_a_mixture_of_the_same_quality(estimator):
    X, y, mixing = table(estimator)
    dense = mixing(estimator, n_partitions=3).fit(X, y).score(X, y)
    assert mixing(estimator, n_partitions=3).fit(csr_matrix(X), y).score(csr_matrix(X), y) > dense - 0.1


@pytest.mark.parametrize("estimator", CLASSIFIERS[:5] + REGRESSORS[:2], ids=repr)
def test_rounds_go_on_from_the_mean(estimator):
    X, y, mixing = table(estimator)
    mixed = mixing(estimator, n_partitions=3, rounds=6).fit(X, y)
    assert [row.number for row in mixed.history_] == [1, 2, 3, 4, 5, 6]
    assert mixed.history_[-1].change < mixed.history_[1].change
    assert mixed.score(X, y) > 0.5


@pytest.fixture(scope="module")
def processes():
    with as_engine("processes:1") as engine:
        yield engine


@pytest.mark.parametrize("estimator", CLASSIFIERS + REGRESSORS, ids=repr)
def test_every_engine_gives_the_same_bytes(estimator, processes):
    X, y, mixing = table(estimator)
    models = [mixing(estimator, n_partitions=6, engine=engine).fit(X, y) for engine in (1, 3, processes)]
    assert len({model.coef_.tobytes() for model in models}) == 1
    assert len({np.asarray(model.intercept_).tobytes() for model in models}) == 1


@pytest.mark.parametrize("estimator", [CLASSIFIERS[0], CLASSIFIERS[4], REGRESSORS[0]], ids=repr)
def test_every_engine_gives_the_same_bytes_after_some_rounds(estimator, processes):
    X, y, mixing = table(estimator)
    models = [
        mixing(estimator, n_partitions=6, rounds=3, engine=engine).fit(X, y) for engine in (2, processes)
    ]
    assert len({model.coef_.tobytes() for model in models}) == 1
