"""The model: what training leaves behind, and the folder it lives in.

::

    my-model/
    ├── model.json                          classes, loss, analyzer, facts, and what the weights file must be
    └── weights-<checksum>.safetensors      float32 tensors "weights" and "intercept"

Replacing ``model.json`` is the one moment at which a saved model becomes the folder's model.
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
