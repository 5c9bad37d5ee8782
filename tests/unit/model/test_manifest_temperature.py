"""The temperature of a model: saved, validated, applied."""

import json

import numpy as np
import pytest

from manymill.errors import ModelError
from manymill.model import Analyzer, ModelDescription, load_model, manifest, probabilities, save_model

ANALYZER = Analyzer(ngram_range=(1, 1), lowercase=True, value="log", norm="l2", n_features=4)
WEIGHTS = manifest.WeightsFile("blake2b-256:" + "0" * 64, 4, 1, has_feature_weights=False)


def described(temperature):
    return ModelDescription(classes=("a", "b"), loss="log", analyzer=ANALYZER, temperature=temperature)


def test_a_temperature_comes_back_from_the_folder(tmp_path):
    save_model(tmp_path / "m", described(0.7), iter([np.zeros((4, 1), np.float32)]), np.zeros(1, np.float32))
    assert load_model(tmp_path / "m").temperature == 0.7


def test_a_folder_from_before_there_were_temperatures_has_that_of_one():
    text = manifest.dump(described(1.0), WEIGHTS, "0.1")
    assert "temperature" not in json.loads(text)
    assert manifest.load(text)[0].temperature == 1.0


@pytest.mark.parametrize("wrong", [0.0, -1.0, 2, "1.0", None])
def test_a_temperature_that_divides_nothing_is_refused(wrong):
    with pytest.raises(ModelError, match="temperature"):
        manifest.dump(described(wrong), WEIGHTS, "0.1")


@pytest.mark.parametrize("loss", ["log", "modified_huber"])
def test_a_temperature_softens_probabilities_and_leaves_their_order(loss):
    scores = np.array([[0.3, -0.2, 0.9]], np.float32)
    plain, soft = (probabilities(scores, loss, 3, temperature) for temperature in (1.0, 4.0))
    assert np.array_equal(plain.argsort(), soft.argsort())
    assert soft.max() < plain.max()
