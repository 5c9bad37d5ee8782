"""Trained linear models, and the folders that store them.

::

    my-model/
    ├── model.json                          classes, loss, analyzer, facts, and a description of the weights file
    └── weights-<checksum>.safetensors      tensors "weights", "intercept", and optional "feature_weights", "features"

Saving is atomic: replacing ``model.json`` switches the folder to the new model.
"""

from manymill.model.linear import (
    PROBABILISTIC_LOSSES,
    Analyzer,
    LinearModel,
    ModelDescription,
    choose_classes,
    link_of_loss,
    link_of_version_1,
    logits,
    probabilities,
)
from manymill.model.loading import load_model, locate_model
from manymill.model.saving import save_model

__all__ = [
    "PROBABILISTIC_LOSSES",
    "Analyzer",
    "LinearModel",
    "ModelDescription",
    "choose_classes",
    "link_of_loss",
    "link_of_version_1",
    "load_model",
    "locate_model",
    "logits",
    "probabilities",
    "save_model",
]
