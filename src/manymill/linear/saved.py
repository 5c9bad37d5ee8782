"""A classifier as the description of a model folder, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from manymill.linear.labels import plain_classes
from manymill.linear.loaded import LoadedState
from manymill.model import LinearModel, ModelDescription
from manymill.model.linear import FEATURE_WEIGHTS, FeatureWeights


def description_of(classifier: Any) -> ModelDescription:
    """What the folder of a fitted classifier says."""
    return ModelDescription(
        classes=plain_classes(classifier.classes_),
        loss=classifier.loss,
        analyzer=classifier._state.analyzer,
        fit_intercept=classifier.fit_intercept,
        temperature=classifier.temperature_,
        facts={
            "passes": classifier.n_iter_,
            "holdout_accuracy": classifier.holdout_score_,
            "settings": {"feature_weights": classifier.feature_weights},
        },
    )


def restored(kind: type[Any], model: LinearModel) -> Any:
    """A fitted classifier of that class with the weights of a model."""
    classifier = kind(**_parameters_of(model))
    classifier._state = LoadedState(model)
    classifier.classes_ = np.array(model.classes)
    classifier.temperature_ = model.temperature
    classifier.n_iter_ = int(model.facts.get("passes", 0))
    classifier.holdout_score_ = model.facts.get("holdout_accuracy")
    return classifier


def _parameters_of(model: LinearModel) -> dict[str, Any]:
    """The parameters of the classifier that a folder holds, as far as the folder tells them."""
    analyzer = model.analyzer
    return {
        "ngram_range": analyzer.ngram_range,
        "n_features": analyzer.n_features,
        "lowercase": analyzer.lowercase,
        "value": analyzer.value,
        "norm": analyzer.norm,
        "feature_weights": _feature_weights(model.facts),
        "loss": model.loss,
        "fit_intercept": model.fit_intercept,
    }


def _feature_weights(facts: Mapping[str, Any]) -> FeatureWeights | None:
    """The kind of feature weights that a model says it was trained with; None if it does not say."""
    settings = facts.get("settings")
    told = settings.get("feature_weights") if isinstance(settings, dict) else None
    return next((kind for kind in FEATURE_WEIGHTS if kind == told), None)
