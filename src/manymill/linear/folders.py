"""An estimator as the description of a model folder, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from manymill.linear.labels import plain_classes
from manymill.linear.loaded import LoadedState
from manymill.model import LinearModel, ModelDescription


def description_of(classifier: Any) -> ModelDescription:
    """What a folder says of a fitted classifier."""
    return ModelDescription(
        classes=plain_classes(classifier.classes_),
        loss=classifier.loss,
        analyzer=classifier._state.analyzer,
        fit_intercept=classifier.fit_intercept,
        temperature=classifier.temperature_,
        facts={"passes": classifier.n_iter_, "holdout_accuracy": classifier.holdout_score_},
    )


def restored(kind: type[Any], model: LinearModel) -> Any:
    """A fitted classifier of that class with the weights of a model."""
    analyzer = model.analyzer
    classifier = kind(
        ngram_range=analyzer.ngram_range,
        n_features=analyzer.n_features,
        lowercase=analyzer.lowercase,
        value=analyzer.value,
        norm=analyzer.norm,
        loss=model.loss,
        fit_intercept=model.fit_intercept,
    )
    classifier._state = LoadedState(model)
    classifier.classes_ = np.array(model.classes)
    classifier.temperature_ = model.temperature
    classifier.n_iter_ = int(model.facts.get("passes", 0))
    classifier.holdout_score_ = model.facts.get("holdout_accuracy")
    return classifier
