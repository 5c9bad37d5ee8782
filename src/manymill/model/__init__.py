"""Trained linear models, and the folders that store them.

::

    my-model/
    ├── model.json                          classes, loss, analyzer, facts, and a description of the weights file
    └── weights-<checksum>.safetensors      float32 tensors "weights" and "intercept"

Saving is atomic: replacing ``model.json`` switches the folder to the new model.
"""

from manymill.model.linear import (
    PROBABILISTIC_LOSSES,
    Analyzer,
    LinearModel,
    ModelDescription,
    choose_classes,
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
    "load_model",
    "locate_model",
    "probabilities",
    "save_model",
]
