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

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
TEXTS, LABELS = ["good fun", "bad plot"] * 3, ["pos", "neg"] * 3


@pytest.mark.parametrize(
    ("estimator", "name", "value"),
    [
        (PartitionedForestClassifier(), "random_state", 2**32),
        (PartitionedForestClassifier(), "random_state", "0"),
        (ParameterMixingClassifier(SGDClassifier()), "estimator", 3),
        (ParameterMixingClassifier(SGDClassifier()), "vectorizer", "words"),
        (SearchCV(SVC(), {"C": [1]}), "estimator", SVC),
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
