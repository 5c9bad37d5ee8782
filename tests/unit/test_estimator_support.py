"""Parameters that all estimators share: one form of error for each."""

import re

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.svm import SVC

from manymill import (
    ComplementNaiveBayes,
    ParameterMixingClassifier,
    PartitionedForestClassifier,
    SearchCV,
    TextClassifier,
)
from manymill.errors import SettingsError
from manymill.estimator_support import check_seed

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
TEXTS, LABELS = ["good fun", "bad plot"] * 3, ["pos", "neg"] * 3


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0", True, np.random.default_rng(0)])
def test_a_random_state_of_another_type_or_size_is_refused(seed):
    with pytest.raises(
        SettingsError, match=r"random_state=.* is invalid: expected an integer from 0 to 2\^32 - 1"
    ):
        check_seed(seed)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(3), None, np.random.RandomState(0), np.random])
def test_every_random_state_of_scikit_learn_is_valid(seed):
    check_seed(seed)


@pytest.mark.parametrize(
    ("estimator", "name", "value"),
    [
        (PartitionedForestClassifier(), "random_state", 2**32),
        (PartitionedForestClassifier(), "random_state", "0"),
        (PartitionedForestClassifier(), "early_stopping", "yes"),
        (PartitionedForestClassifier(), "estimator", SVC),
        (ParameterMixingClassifier(SGDClassifier()), "estimator", 3),
        (ParameterMixingClassifier(SGDClassifier()), "vectorizer", "words"),
        (SearchCV(SVC(), {"C": [1]}), "estimator", SVC),
        (SearchCV(SVC(), {"C": [1]}), "seconds", np.inf),
        (TextClassifier(), "ngram_range", (1, 2**16)),
        (TextClassifier(), "class_weight", {"good": 1.0}),
        (ComplementNaiveBayes(), "alpha", True),
        (ComplementNaiveBayes(), "weight_norm", "l1"),
    ],
    ids=str,
)
def test_an_invalid_parameter_is_named_with_its_value(estimator, name, value):
    estimator.set_params(**{name: value})
    is_text = isinstance(estimator, TextClassifier | ComplementNaiveBayes)
    with pytest.raises(SettingsError, match=re.escape(f"{name}={value!r} is invalid: expected ")):
        estimator.fit(*((TEXTS, LABELS) if is_text else (X, Y)))
