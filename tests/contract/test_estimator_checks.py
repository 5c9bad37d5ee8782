"""All of scikit-learn's checks of a classifier, which make up tables of numbers, on numbers spelled as words."""

import warnings

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

from manymill import ComplementNaiveBayes, TextClassifier

# Rows are steps of a stochastic gradient: one of weight 2 is one long step, the same row twice are two steps.
# A row of weight 0 is a row left out; the classifier's own tests hold it to that.
STOCHASTIC = "check_sample_weight_equivalence"


class NumbersAsWords:
    """Spells each number as two words, its column and where it lies on a coarse and on a finer scale."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags

    def _spelled(self, X, *, reset):
        X = np.clip(validate_data(self, X, reset=reset), -1e6, 1e6)
        rows = zip(np.floor(X).astype(int).tolist(), np.floor(2 * X).astype(int).tolist(), strict=True)
        return [
            " ".join(
                f"c{column}coarse{a} c{column}fine{b}" for column, (a, b) in enumerate(zip(*row, strict=True))
            )
            for row in rows
        ]

    def _spelled_if_fitted(self, X):
        check_is_fitted(self, "classes_")
        return self._spelled(X, reset=False)

    def decision_function(self, X):
        return super().decision_function(self._spelled_if_fitted(X))

    def predict(self, X):
        return super().predict(self._spelled_if_fitted(X))

    def predict_proba(self, X):
        return super().predict_proba(self._spelled_if_fitted(X))


class TextClassifierOfNumbers(NumbersAsWords, TextClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(self._spelled(X, reset=True), y, sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        texts = self._spelled(X, reset=not hasattr(self, "classes_"))
        return super().partial_fit(texts, y, classes, sample_weight)


class NaiveBayesOfNumbers(NumbersAsWords, ComplementNaiveBayes):
    def fit(self, X, y=None):
        return super().fit(self._spelled(X, reset=True), y)

    def partial_fit(self, X, y, classes=None):
        return super().partial_fit(self._spelled(X, reset=not hasattr(self, "classes_")), y, classes)

    def score(self, X, y, sample_weight=None):
        return super().score(self._spelled_if_fitted(X), y, sample_weight)


@pytest.mark.parametrize(
    "classifier",
    [
        TextClassifierOfNumbers(n_features=2**14, threads=1),
        TextClassifierOfNumbers(recipe="fast", n_features=2**10, threads=1, passes=5),
        NaiveBayesOfNumbers(n_features=2**10, threads=1),
    ],
    ids=["standard", "fast", "naive Bayes"],
)
def test_all_checks_of_a_classifier_find_nothing(classifier):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(classifier, on_fail=None)
    failed = [result for result in results if result["status"] == "failed"]
    assert sum(result["status"] == "passed" for result in results) > 40
    assert [
        (r["check_name"], r["exception"]) for r in failed if not r["check_name"].startswith(STOCHASTIC)
    ] == []
