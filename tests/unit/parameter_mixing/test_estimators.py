"""The estimators: reports, weights, refusals, and the protocol of scikit-learn."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from manymill import AveragingWarning, ParameterMixingClassifier, ParameterMixingRegressor
from manymill.engine.selection import as_engine
from manymill.errors import PlanError, SchemaError, SettingsError
from manymill.parameter_mixing.rounds import MixingScores

X, Y = make_classification(400, 8, n_informative=6, flip_y=0.05, random_state=0)


def test_scores_are_of_every_part_the_average_and_the_reference():
    mixed = ParameterMixingClassifier(
        LogisticRegression(), n_partitions=4, validation_fraction=0.25, reference=True
    ).fit(X, Y)
    scores = mixed.scores_
    assert scores.n_rows == 100
    assert len(scores.parts) == 4
    assert all(0.5 < score <= 1 for score in (*scores.parts, scores.average, scores.reference))
    assert sum(mixed.history_[0].n_rows) == 300


def test_held_out_rows_are_not_learnt():
    y = np.random.default_rng(0).integers(0, 2, 400)  # nothing can be learnt of these but by heart
    wide = np.random.default_rng(1).normal(size=(400, 600))
    mixed = ParameterMixingClassifier(
        LogisticRegression(), n_partitions=1, validation_fraction=0.5, reference=True
    ).fit(wide, y)
    assert mixed.score(wide, y) > 0.7
    assert mixed.scores_.average < 0.65
    assert mixed.scores_.reference == mixed.scores_.average


def test_nothing_is_held_out_of_few_rows_unless_asked():
    assert ParameterMixingClassifier(n_partitions=2).fit(X, Y).scores_ is None
    assert ParameterMixingClassifier(n_partitions=2, reference=True).fit(X, Y).scores_.n_rows == 40


def test_a_lost_average_warns_and_says_against_whom():
    y = X[:, 0] + 100 * X[:, 1] > 0
    order = np.argsort(X[:, 0])
    with pytest.warns(AveragingWarning, match=r"average scores .* but .*all rows"):
        ParameterMixingRegressor(
            Ridge(1e-6), n_partitions=60, partitioning="contiguous", validation_fraction=0.2, reference=True
        ).fit(X[order], (y * X[:, 2])[order])


def test_what_is_within_chance_is_no_loss():
    assert MixingScores(100, (0.81, None), 0.80, 0.82).lost(classification=True) == ""
    assert "the best part 0.9000" in MixingScores(100, (0.9, None), 0.80).lost(classification=True)
    assert MixingScores(100, (0.805,), 0.80).lost(classification=False) == ""


@pytest.mark.parametrize("weighting", ["rows", "uniform"])
def test_votes_weigh_as_the_weights_of_the_rows_or_all_the_same(weighting):
    weight = np.r_[np.full(200, 1.0), np.full(200, 3.0)]
    mixed = ParameterMixingClassifier(
        LogisticRegression(), n_partitions=2, partitioning="contiguous", weighting=weighting
    ).fit(X, Y, weight)
    a, b = (LogisticRegression().fit(X[i], Y[i], weight[i]).coef_ for i in (slice(200), slice(200, 400)))
    mean = (a + 3 * b) / 4 if weighting == "rows" else (a + b) / 2
    np.testing.assert_allclose(mixed.coef_, mean, rtol=1e-12)


def test_rows_of_weight_zero_are_left_out():
    weight = np.tile([0.0, 1.0], 200)
    mixed = ParameterMixingClassifier(n_partitions=3, random_state=5).fit(X, Y, weight)
    other = ParameterMixingClassifier(n_partitions=3, random_state=5).fit(X[1::2], Y[1::2], np.ones(200))
    np.testing.assert_array_equal(mixed.coef_, other.coef_)


def test_balanced_weights_in_rounds_are_those_of_all_rows():
    y = (np.arange(400) % 10 == 0).astype(int)
    balanced = ParameterMixingClassifier(SGDClassifier(class_weight="balanced"), n_partitions=3, rounds=2)
    given = ParameterMixingClassifier(
        SGDClassifier(class_weight={0: 400 / 720, 1: 400 / 80}), n_partitions=3, rounds=2
    )
    np.testing.assert_allclose(balanced.fit(X, y).coef_, given.fit(X, y).coef_, rtol=1e-9)
    assert balanced.estimator_.class_weight == "balanced"


def test_a_memory_mapped_array_gives_the_same_model(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    known = ParameterMixingClassifier(n_partitions=4).fit(X, Y)
    np.testing.assert_array_equal(ParameterMixingClassifier(n_partitions=4).fit(mapped, Y).coef_, known.coef_)


def test_the_user_s_estimator_is_not_touched():
    estimator = SGDClassifier(alpha=0.01)
    ParameterMixingClassifier(estimator, n_partitions=3, rounds=2).fit(X, Y)
    assert not hasattr(estimator, "coef_")
    assert estimator.get_params() == SGDClassifier(alpha=0.01).get_params()


def test_it_fits_into_pipelines_searches_and_cross_validation():
    mixing = ParameterMixingClassifier(SGDClassifier(), n_partitions=3)
    assert cross_val_score(make_pipeline(StandardScaler(), mixing), X, Y, cv=3).mean() > 0.7
    search = GridSearchCV(mixing, {"estimator__alpha": [1e-4, 1e3], "n_partitions": [2]}, cv=2).fit(X, Y)
    assert search.best_params_["estimator__alpha"] == 1e-4
    assert pickle.loads(pickle.dumps(search)).predict(X).shape == (400,)


def test_a_clone_has_the_same_pool():
    with ThreadPoolExecutor(2) as pool:
        mixing = ParameterMixingClassifier(n_partitions=2, engine=pool)
        assert clone(mixing).engine is pool
        assert cross_val_score(mixing, X, Y, cv=2).mean() > 0.6


def test_filters_of_warnings_are_left_as_they_were():
    X3, y3 = make_classification(90, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=0)
    before = list(warnings.filters)
    ParameterMixingClassifier(SGDClassifier(), n_partitions=8, rounds=5, engine=4).fit(X3, y3)
    assert warnings.filters == before


def test_an_engine_that_was_given_stays_open_and_keeps_nothing(tmp_path):
    with as_engine("processes:1", spool=tmp_path) as engine:
        for _ in range(2):
            mixed = ParameterMixingClassifier(
                n_partitions=2, rounds=2, validation_fraction=0.1, engine=engine
            )
            assert mixed.fit(X, Y).score(X, Y) > 0.6
        assert not list(tmp_path.rglob("*.safetensors"))


def test_targets_of_several_columns_are_averaged():
    A, b = make_regression(100, 5, n_targets=3, noise=0.1, random_state=0)
    assert ParameterMixingRegressor(Ridge(), n_partitions=3).fit(A, b).coef_.shape == (3, 5)


def test_methods_are_those_of_the_estimator():
    assert not hasattr(ParameterMixingClassifier(LinearSVC()), "predict_proba")
    assert hasattr(ParameterMixingClassifier(LogisticRegression()), "predict_proba")
    mixed = ParameterMixingClassifier(LogisticRegression(), n_partitions=2).fit(X, Y)
    np.testing.assert_allclose(np.exp(mixed.predict_log_proba(X)), mixed.predict_proba(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_partitions": 0}, "n_partitions=0"),
        ({"rounds": 1.5}, "rounds=1.5"),
        ({"partitioning": "random"}, "partitioning='random'"),
        ({"weighting": "size"}, "weighting='size'"),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"reference": True, "validation_fraction": 0}, "held-out rows"),
        ({"reference": "yes"}, "reference='yes' is invalid: expected True or False"),
        ({"random_state": True}, "random_state=True is invalid"),
        ({"vectorizer": 5}, "vectorizer=5 is invalid: expected a transformer"),
        ({"estimator": "SGD"}, "estimator='SGD' is invalid: expected an estimator"),
        ({"estimator": Ridge()}, r"estimator=Ridge\(\) is invalid: expected a classifier"),
    ],
)
def test_an_invalid_parameter_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        ParameterMixingClassifier(**options).fit(X, Y)


def test_a_regressor_refuses_a_classifier():
    with pytest.raises(
        SettingsError, match=r"estimator=LogisticRegression\(\) is invalid: expected a regressor"
    ):
        ParameterMixingRegressor(LogisticRegression()).fit(X, Y)


def test_what_cannot_be_learnt_is_refused():
    with pytest.raises(PlanError, match="only one class"):
        ParameterMixingClassifier().fit(X, np.zeros(400))
    with pytest.raises(SchemaError, match="negative"):
        ParameterMixingClassifier().fit(X, Y, np.full(400, -1.0))
    with pytest.raises(SettingsError, match="needs classes"):
        ParameterMixingRegressor(partitioning="stratified").fit(X, Y)


def test_weights_an_estimator_does_not_take_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sklearn.linear_model import PassiveAggressiveClassifier

        with pytest.raises(SettingsError, match="does not support sample_weight"):
            ParameterMixingClassifier(PassiveAggressiveClassifier()).fit(X, Y, np.ones(400))
